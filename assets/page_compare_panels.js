/* Panels of comparisons: what they ask, the choices that come with an answer, who was left out, one of them large. */
(function (tdw) {
  "use strict";
  const NONE = { overlay: "Tick rows of the table: their curves are laid over each other here.", side: "", geometry: "Tick rows of the table, all of one p: their weights are compared here." };
  const isComparison = (panel) => panel.kind === "comparison";
  const number = (text) => (text ? Number(text) : null);
  const cohortOf = (panel) => tdw.compare.cohort(panel.el.dataset.section, number(panel.el.dataset.least));

  /* A short text that changes with the tokens of the variants. */
  function digest(names) {
    const { at, tokens } = tdw.compare.table();
    let hash = 2166136261;
    for (const name of names) for (const letter of tokens[at.get(name)] || "") hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619) >>> 0;
    return hash.toString(16);
  }

  function wanted(panel, size) {
    const selection = tdw.selection.get();
    const variants = cohortOf(panel);
    const fields = {};
    for (const field of panel.depends) fields[field] = selection[field];
    return {
      comparison: panel.view, variants, selection: fields, params: tdw.panels.parametersOf(panel), align: panel.el.dataset.aligned ? tdw.compare.option("align", "epoch") : "epoch",
      color: tdw.compare.option("color", "variant"), theme: tdw.theme.current(), size, density: tdw.theme.densityOf(panel.el), tokens: digest(variants),
    };
  }

  /* What is lacking in the selection, "" if nothing. */
  function lacking(panel) {
    if (tdw.compare.table() === null || tdw.compare.shown() === null) return "The table is being read.";
    const [least, most] = [number(panel.el.dataset.least), number(panel.el.dataset.most)];
    const count = cohortOf(panel).length;
    if (count === 0) return NONE[panel.el.dataset.section] || "Tick rows of the table to compare them here.";
    if (count < least) return `Takes ${least} variants${most === least ? "" : " or more"}; ${count === 1 ? "one is" : count + " are"} selected. Tick more rows of the table.`;
    if (most !== null && count > most) return `Takes ${most} variants${most === least ? "" : " at most"}; ${count} are selected. Untick some.`;
    return "";
  }
  const ready = (panel) => tdw.compare.isHere() && tdw.selection.known() && lacking(panel) === "";

  function advise(panel) {
    if (!panel.built || !tdw.compare.isHere()) return;
    const text = lacking(panel);
    if (text === "" || panel.answered === "hint " + text) return;
    panel.asked = null;
    panel.answered = "hint " + text;
    panel.el.classList.remove("is-loading");
    panel.el.dataset.state = "hint";
    delete panel.el.dataset.drawn;
    tdw.drawing.tell(panel, { state: "hint", title: "", text });
    leave(panel, []);
  }

  /* --- choices that come with the answer --- */
  function choices(panel, { offered, values }) {
    const home = panel.el.querySelector(".panel-parameters");
    const made = (panel.choices = panel.choices || new Map());
    for (const [name, list] of Object.entries(offered)) {
      const key = JSON.stringify(list);
      const old = made.get(name);
      if (!old || old.key !== key) {
        const act = (value) => tdw.selection.setParameter(panel.view, name, value === panel.defaults[name].default ? null : value);
        const control = tdw.compareChoice.build(panel.defaults[name].label, `${panel.view}-${name}`, list, act, name === "view" ? titled : undefined);
        control.el.querySelector("select, input").setAttribute("aria-label", `${panel.defaults[name].label} of ${panel.el.dataset.title}`);
        if (old) old.control.el.replaceWith(control.el);
        else home.append(control.el);
        control.el.hidden = list.length < 2;
        made.set(name, { key, control });
      }
      made.get(name).control.set(values[name]);
    }
  }

  const titled = (name) => {
    const view = tdw.compareSide.views().get(name);
    return view ? `${view.group}: ${view.title}` : name;
  };

  function leave(panel, left) {
    const old = panel.el.querySelector(":scope > .compare-left");
    const wasOpen = old && old.open;
    if (old) old.remove();
    if (!left.length) return;
    const names = left.map(([name]) => name);
    const few = names.slice(0, 3).join(", ") + (names.length > 3 ? " …" : "");
    const details = tdw.el("details", { class: "compare-left" }, tdw.el("summary", {}, tdw.el("b", {}, `${left.length} left out`), `: ${few}`),
      tdw.el("ul", {}, ...left.map(([name, reason]) => tdw.el("li", {}, tdw.el("b", {}, name), `: ${reason}`))));
    details.open = Boolean(wasOpen);
    panel.el.querySelector(".panel-bar").after(details);
  }

  /* --- clicks: a mark says which variant and when, and sets both; with shift it ticks or unticks the variant --- */
  function choose(panel, carried, field, second) {
    const values = Object.fromEntries(carried);
    if (second && values.variant) tdw.compare.toggle(values.variant);
    else tdw.selection.set(values, "push");
  }

  /* --- files, links, large --- */
  function file(panel, ending) {
    const body = JSON.stringify(wanted(panel, panel.size));
    return fetch("/_comparison/file/" + ending, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  }
  const fileName = (panel) => ["compare", panel.view, `${cohortOf(panel).length}-variants`].join("_");
  const addressOf = (open) => tdw.selection.toUrl(Object.assign({}, tdw.selection.get(), { options: Object.assign({}, tdw.compare.options(), { open }) }));
  function enlarge(panel) {
    return tdw.el("a", {
      href: "/compare?open=" + panel.view, class: "icon-button", title: "Open large, with its formula and source", "aria-label": "Open " + panel.el.dataset.title + " large",
      onclick: (event) => {
        event.currentTarget.href = addressOf(panel.view);
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        tdw.compare.setOptions({ open: tdw.compare.option("open") === panel.view ? null : panel.view });
      },
    }, "⤢");
  }
  let scroll = 0;
  async function large() {
    const name = tdw.compare.isHere() ? tdw.compare.option("open") : null;
    const was = document.querySelector("#page-compare .panel.is-large");
    const now = name && document.querySelector(`#page-compare .panel[data-kind=comparison][data-view="${CSS.escape(name)}"]`);
    if (name && !now && tdw.selection.known()) tdw.notices.show("warning", `There is no comparison “${name}”.`);
    if (was === now || (!was && !now)) return;
    if (was) {
      was.classList.remove("is-large");
      was.closest(".group").classList.remove("has-large");
      document.querySelectorAll(".compare-large-aside, .compare-large-back").forEach((one) => one.remove());
    } else scroll = window.scrollY;
    document.documentElement.toggleAttribute("data-compare-open", Boolean(now));
    const panel = tdw.panels.of(now || was);
    if (panel) panel.size = null;
    if (!now) {
      window.scrollTo(0, scroll);
      return;
    }
    now.classList.add("is-large");
    now.closest(".group").classList.add("has-large");
    now.before(tdw.el("button", { type: "button", class: "chip is-quiet compare-large-back", onclick: () => tdw.compare.setOptions({ open: null }) }, "‹ all comparisons"));
    const aside = tdw.el("aside", { class: "measure compare-large-aside", "aria-label": "What is compared" });
    now.append(aside);
    window.scrollTo(0, 0);
    try {
      const response = await fetch("/_comparison/about/" + encodeURIComponent(name));
      aside.innerHTML = await response.text();
    } catch (error) {
      aside.textContent = "";
    }
  }

  function follow() {
    for (const panel of tdw.panels.all()) if (isComparison(panel)) advise(panel);
    tdw.panels.askAll();
  }

  tdw.on("boot", () => tdw.panels.kinds.set("comparison", { route: "/_comparison", ready, wanted, choose, file, fileName, enlarge, address: (panel) => addressOf(panel.view), together: true, shift: "tick" }));
  tdw.on("panel", (panel) => isComparison(panel) && advise(panel));
  tdw.on("answered", (panel, answer) => {
    if (!isComparison(panel)) return;
    if (answer.offered) choices(panel, answer);
    leave(panel, answer.left_out || []);
  });
  tdw.on("compare", (changed) => {
    if (changed.has("open") || changed.has("appeared")) large();
    if (["table", "shown", "selected", "of", "align", "color", "appeared"].some((name) => changed.has(name))) follow();
  });
  tdw.on("info", () => {
    large();
    follow();
  });
})((window.tdw = window.tdw || {}));
