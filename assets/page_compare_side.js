/* Side by side: one view of several variants. Each panel draws the ordinary view of its own variant; in time they go
 * together by epoch, by aligned time (dashboard/pages/compare_times.py), or each for itself. */
(function (tdw) {
  "use strict";
  const [LEAST, MOST] = [2, 6];
  const LINKS = { epoch: "same epoch (nearest saved)", aligned: "same aligned time", own: "each its own" };
  const THINGS = ["neuron", "head", "frequency", "pair"];
  const KIND = "beside";
  let views = null; // name -> view, with its group
  let times = { key: "", of: {} };
  const infos = new Map(); // variant -> {token, info}

  const isBeside = (panel) => panel.kind === KIND;
  const nameOf = (panel) => panel.el.dataset.variant;
  const view = () => (views === null ? null : views.get(tdw.compare.option("side")) || null);
  const link = () => (tdw.compare.option("link") in LINKS ? tdw.compare.option("link") : "epoch");
  const shares = () => tdw.compare.option("things") !== "own";

  /* The variants that stand side by side: those chosen of the selected ones, at first the first four. */
  function variants() {
    const selected = tdw.compare.selected();
    const chosen = (tdw.compare.option("beside") || "").split(",").filter((name) => selected.includes(name));
    return (chosen.length ? chosen : selected.slice(0, 4)).slice(0, MOST);
  }

  /* What a panel shows in its own way: {variant: {epoch, neuron, ...}}, part of the address. */
  function own() {
    try {
      return JSON.parse(tdw.compare.option("own", "{}"));
    } catch (error) {
      return {};
    }
  }
  function setOwn(name, patch) {
    const all = own();
    all[name] = Object.assign({}, all[name], patch);
    tdw.compare.setOptions({ own: JSON.stringify(all) }, "replace");
  }

  /* --- what each variant has --- */
  const tokenOf = (name) => {
    const table = tdw.compare.table();
    return table === null ? "" : table.tokens[table.at.get(name)];
  };
  const infoOf = (name) => {
    const known = infos.get(name);
    return known && known.info && !known.info.error ? known.info : null;
  };
  async function learn(name) {
    const token = tokenOf(name);
    if ((infos.get(name) || {}).token === token) return;
    infos.set(name, Object.assign({}, infos.get(name), { token }));
    try {
      infos.set(name, { token, info: await tdw.fetch("/_info?variant=" + encodeURIComponent(name)) });
    } catch (error) {
      infos.delete(name);
    }
    draw();
  }
  async function learnTimes() {
    const names = [...new Set([tdw.selection.get().variant, ...variants()])].filter((name) => name && tokenOf(name) !== undefined);
    const asked = { names, align: tdw.compare.option("align", "epoch") };
    const key = JSON.stringify([asked, names.map(tokenOf)]);
    if (key === times.key || link() !== "aligned") return;
    times = { key, of: {} };
    try {
      const of = await tdw.post("/_compare/times", asked);
      if (times.key === key) times = { key, of };
    } catch (error) {
      tdw.notices.show("warning", error.message);
    }
    draw();
  }

  function nearest(values, wanted) {
    let best = 0;
    for (let i = 1; i < values.length; i++) if (values[i] !== null && (values[best] === null || Math.abs(values[i] - wanted) < Math.abs(values[best] - wanted))) best = i;
    return best;
  }
  /* [epoch, what is to be said of it] */
  function epochOf(name, { epochs }) {
    const { variant, epoch } = tdw.selection.get();
    if (!epochs.length || epoch === null) return [null, ""];
    if (link() === "own") return [epochs[nearest(epochs, (own()[name] || {}).epoch ?? epoch)], ""];
    if (name === variant) return [epochs[nearest(epochs, epoch)], ""];
    if (link() === "aligned" && times.of[name]) {
      const [here, there] = [times.of[variant], times.of[name]];
      const why = !here || here.reason ? `${variant}: ${here ? here.reason : "unknown"}` : there.reason ? `${name}: ${there.reason}` : "";
      const place = why ? null : here.places[nearest(here.epochs, epoch)];
      if (place !== null) return [there.epochs[nearest(there.places, place)], ""];
      return [epochs[nearest(epochs, epoch)], `Shown at the same epoch: ${why || "no aligned time"}.`];
    }
    return [epochs[nearest(epochs, epoch)], ""];
  }

  /* The selection of a panel: the page's, with its own variant and epoch and within its own limits. */
  function selectionOf(panel) {
    const [name, page] = [nameOf(panel), tdw.selection.get()];
    const info = infoOf(name);
    const found = { variant: name, epoch: null };
    if (!info) return Object.assign({}, page, found);
    [found.epoch] = epochOf(name, info);
    const mine = shares() ? {} : own()[name] || {};
    const p = (tdw.selection.info() || {}).p;
    for (const field of THINGS) {
      const range = info.limits[field];
      let value = mine[field] ?? page[field];
      if (field === "pair" && mine[field] === undefined && p && value !== null) value = Math.min(Math.floor(value / p), info.p - 1) * info.p + Math.min(value % p, info.p - 1);
      found[field] = range && value !== null ? Math.min(range[1], Math.max(range[0], value)) : value;
    }
    return found;
  }

  /* --- the panels --- */
  function lacking(panel) {
    const info = infoOf(nameOf(panel));
    const told = (infos.get(nameOf(panel)) || {}).info;
    if (told && told.error) return told.error;
    if (!info) return "The variant is being read.";
    if (view() && view().checkpoints && !info.epochs.length) return `Needs checkpoints; of ${nameOf(panel)} only the history was kept.`;
    return "";
  }
  const ready = (panel) => tdw.compare.isHere() && tdw.selection.known() && view() !== null && lacking(panel) === "" && (link() !== "aligned" || Object.keys(times.of).length > 0);
  function wanted(panel, size) {
    const selection = selectionOf(panel);
    const fields = {};
    for (const field of panel.depends) if (field !== "variant") fields[field] = selection[field];
    return { view: panel.view, variant: selection.variant, selection: fields, params: tdw.panels.parametersOf(panel), theme: tdw.theme.current(), size, density: tdw.theme.densityOf(panel.el), tokens: [tokenOf(selection.variant)] };
  }
  function choose(panel, carried, field) {
    const chosen = carried.find(([name]) => name === field);
    if (!chosen) return;
    const [name, value] = chosen;
    if ((name === "epoch" && link() === "own") || (THINGS.includes(name) && !shares())) setOwn(nameOf(panel), { [name]: value });
    tdw.selection.set(Object.assign({ variant: nameOf(panel), epoch: selectionOf(panel).epoch }, { [name]: value }), "push");
  }
  function step(panel, field, by) {
    const info = infoOf(nameOf(panel));
    if (!info) return;
    const now = selectionOf(panel);
    const list = info.epochs;
    const range = info.limits[field];
    const next = field === "epoch" ? list[Math.min(list.length - 1, Math.max(0, list.indexOf(now.epoch) + by))] : Math.min(range[1], Math.max(range[0], now[field] + by));
    if (field === "epoch" ? link() === "own" : !shares()) setOwn(nameOf(panel), { [field]: next });
    else tdw.selection.set({ variant: nameOf(panel), epoch: now.epoch, [field]: next }, "replace");
  }

  function panelOf(name) {
    const { title, depends, marks, shape, parameters } = view();
    const defaults = Object.fromEntries(Object.entries(parameters).map(([key, one]) => [key, { default: one.default, label: one.label }]));
    const ident = "beside-" + name;
    return tdw.el("section", {
      class: `panel is-${shape} in-compare`, "aria-labelledby": ident, "data-view": view().name, "data-kind": KIND, "data-variant": name, "data-title": `${title} of ${name}`, "data-blurb": "",
      "data-place": "compare", "data-depends": depends.join(" "), "data-needs": "", "data-required": "", "data-checkpoints": "", "data-marks": marks.join(" "), "data-component": "", "data-parameters": JSON.stringify(defaults),
    }, tdw.el("h3", { id: ident, class: "panel-title" }, name));
  }
  function arrange() {
    const home = tdw.compare.home("side-panels");
    const names = view() === null || variants().length < LEAST ? [] : variants();
    const key = JSON.stringify([view() && view().name, names]);
    if (home.dataset.key === key) return;
    home.dataset.key = key;
    home.dataset.count = names.length;
    const kept = new Map([...home.querySelectorAll(".panel")].map((el) => [el.dataset.view + el.dataset.variant, el]));
    home.replaceChildren(...names.map((name) => kept.get(view().name + name) || panelOf(name)));
    tdw.panels.scan();
  }

  /* The line under the title: which epoch, and steps. */
  function heads() {
    for (const panel of tdw.panels.all()) {
      if (!isBeside(panel) || !panel.built) continue;
      const head = panel.el.querySelector(".beside-head");
      const info = infoOf(nameOf(panel));
      const selection = selectionOf(panel);
      const said = info ? epochOf(nameOf(panel), info)[1] : "";
      head.querySelector(".swatch").style.background = tdw.compare.colour(nameOf(panel)) || "var(--edge)";
      head.querySelectorAll(".panel-step-value").forEach((one) => (one.textContent = `${tdw.selection.WORDS[one.dataset.field]} ${one.dataset.field === "pair" && info ? `${Math.floor(selection.pair / info.p)} + ${selection.pair % info.p}` : tdw.selection.describe(one.dataset.field, selection[one.dataset.field])}`));
      head.querySelector(".beside-said").textContent = said;
      panel.el.classList.toggle("is-current-variant", nameOf(panel) === tdw.selection.get().variant);
    }
  }
  function frame(panel) {
    const fields = panel.depends.filter((field) => field === "epoch" || (THINGS.includes(field) && infoOf(nameOf(panel))));
    const steps = fields.map((field) => tdw.el("span", { class: "panel-step", role: "group", "aria-label": `${tdw.selection.WORDS[field]} of ${nameOf(panel)}` },
      tdw.el("button", { type: "button", class: "icon-button", "aria-label": `Previous ${field} of ${nameOf(panel)}`, onclick: () => step(panel, field, -1) }, "‹"),
      tdw.el("span", { class: "panel-step-value", "data-field": field }),
      tdw.el("button", { type: "button", class: "icon-button", "aria-label": `Next ${field} of ${nameOf(panel)}`, onclick: () => step(panel, field, 1) }, "›")));
    panel.el.querySelector(".panel-bar").before(tdw.el("div", { class: "beside-head" }, tdw.el("span", { class: "swatch" }), ...steps, tdw.el("span", { class: "beside-said" })));
    heads();
  }
  function advise(panel) {
    const text = panel.built ? lacking(panel) : "";
    if (text === "" || panel.answered === "hint " + text) return;
    Object.assign(panel, { asked: null, answered: "hint " + text });
    panel.el.dataset.state = "hint";
    tdw.drawing.tell(panel, { state: "hint", title: "", text });
  }

  function draw() {
    if (!tdw.compare.isHere() || views === null || tdw.compare.table() === null) return;
    arrange();
    tdw.compareSideTools.show();
    if (view() === null) return;
    for (const name of variants()) learn(name);
    learnTimes();
    for (const panel of tdw.panels.all()) if (isBeside(panel)) advise(panel);
    heads();
    tdw.panels.askAll();
  }

  const link_ = (panel) => tdw.selection.toUrl(Object.assign({}, selectionOf(panel), { page: "detail", view: panel.view, params: tdw.selection.get().params, options: {} }));
  function enlarge(panel) {
    const anchor = tdw.el("a", { href: "/view/" + panel.view, class: "icon-button", title: "Open large, for this variant", "aria-label": `Open ${panel.el.dataset.title} large` }, "⤢");
    anchor.addEventListener("pointerenter", () => (anchor.href = link_(panel)));
    anchor.addEventListener("click", (event) => {
      anchor.href = link_(panel);
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      tdw.selection.open(link_(panel));
    });
    return anchor;
  }
  function file(panel, ending) {
    const query = new URLSearchParams(link_(panel).split("?")[1]);
    query.set("theme", tdw.theme.current());
    return fetch(`/_export/${panel.view}.${ending}?${query}`);
  }

  tdw.on("boot", () => {
    const held = JSON.parse(document.getElementById("compare-views").content.textContent);
    views = new Map(Object.entries(held).flatMap(([group, list]) => list.map((one) => [one.name, Object.assign(one, { group })])));
    tdw.panels.kinds.set(KIND, { route: "/_figure", ready, wanted, choose, selection: selectionOf, enlarge, file, address: link_, fileName: (panel) => `${nameOf(panel)}_${panel.view}` });
    tdw.compareSideTools.build();
  });
  tdw.on("panel", (panel) => {
    if (!isBeside(panel)) return;
    frame(panel);
    advise(panel);
  });
  tdw.on("compare", draw);
  tdw.on("selection", (state, changed) => state.page === "compare" && (changed.has("variant") || changed.has("epoch") || THINGS.some((field) => changed.has(field))) && draw());
  /* Analyze in a panel means that panel's variant. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest(`.panel[data-kind=${KIND}] [data-action=analyze]`);
    if (!button) return;
    event.stopImmediatePropagation();
    button.disabled = true;
    const names = (button.dataset.analyzers || "").split(" ").filter(Boolean);
    tdw.jobs.order({ kind: "analyze", variants: [button.closest(".panel").dataset.variant], analyzers: names.length ? names : null }).catch((error) => tdw.notices.show("error", error.message));
  }, true);

  tdw.compareSide = { LINKS, LEAST, MOST, variants, view, link, shares, views: () => views };
})((window.tdw = window.tdw || {}));
