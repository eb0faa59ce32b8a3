/* The line over the panels side by side: which view, of which variants, how they go together, the view's parameters. */
(function (tdw) {
  "use strict";
  const TILES = "Mosaics of tiles are on Explore only.";
  let parts = null;

  const labelled = (text, control) => tdw.el("span", { class: "parameter-box" }, tdw.el("label", { for: control.id }, text), control);
  function drop(id, label, options, act) {
    const select = tdw.el("select", { id: "compare-" + id, class: "parameter", "aria-label": label }, ...Object.entries(options).map(([value, text]) => tdw.el("option", { value }, text)));
    select.addEventListener("change", () => act(select.value));
    return select;
  }

  function build() {
    const side = tdw.compareSide;
    const titles = new Map([...side.views().values()].map((one) => [`${one.group}: ${one.title}`, one.name]));
    const choice = tdw.compareChoice.build("View", "side-view", [...titles.keys()], (title) => tdw.compare.setOptions({ side: titles.get(title) }));
    const input = choice.el.querySelector("input");
    Object.assign(input, { placeholder: "choose a view" });
    input.setAttribute("aria-label", "View shown side by side");
    const link = drop("link", "In time", side.LINKS, (value) => tdw.compare.setOptions({ link: value === "epoch" ? null : value }));
    const things = drop("things", "Neuron, head, frequency and input", { "": "shared", own: "each its own" }, (value) => tdw.compare.setOptions({ things: value }));
    const who = tdw.el("span", { class: "compare-chips", role: "group", "aria-label": "Variants side by side" });
    const parameters = tdw.el("span", { class: "panel-parameters" });
    const clear = tdw.el("button", { type: "button", class: "chip is-quiet", onclick: () => tdw.compare.setOptions({ side: null, own: null, beside: null }) }, "close");
    const hint = tdw.el("p", { class: "compare-side-hint" });
    tdw.compare.home("side-tools").replaceChildren(choice.el, labelled("Time", link), labelled("Neuron, head …", things), parameters, clear, who);
    tdw.compare.home("side-tools").after(hint);
    parts = { choice, link, things, who, parameters, clear, hint, shown: "", controls: [] };
  }

  function toggle(name) {
    const side = tdw.compareSide;
    const now = side.variants();
    const next = now.includes(name) ? now.filter((one) => one !== name) : [...now, name];
    if (next.length > side.MOST) return tdw.notices.show("info", `${side.MOST} variants stand side by side at most; take one away first.`);
    if (next.length < side.LEAST) return tdw.notices.show("info", `${side.LEAST} variants are the least.`);
    return tdw.compare.setOptions({ beside: next.join(",") });
  }

  function showParameters(view) {
    const key = view ? view.name : "";
    const given = view ? tdw.selection.get().params[view.name] || {} : {};
    if (parts.shown !== key) {
      parts.shown = key;
      parts.controls = !view ? [] : Object.entries(view.parameters).filter(([, one]) => one.choices.length).map(([name, one]) => {
        const control = tdw.compareChoice.build(one.label, "side-" + name, one.choices.map(String), (value) => tdw.selection.setParameter(view.name, name, value === String(one.default) ? null : value));
        return { name, fallback: String(one.default), control };
      });
      parts.parameters.replaceChildren(...parts.controls.map((one) => one.control.el));
    }
    for (const { name, fallback, control } of parts.controls) control.set(given[name] || fallback);
  }

  function show() {
    if (!parts) return;
    const side = tdw.compareSide;
    const view = side.view();
    const selected = tdw.compare.selected();
    const now = side.variants();
    parts.choice.set(view ? `${view.group}: ${view.title}` : "");
    parts.link.value = side.link();
    parts.things.value = side.shares() ? "" : "own";
    parts.clear.hidden = view === null;
    showParameters(view);
    const many = view !== null && selected.length > side.LEAST;
    parts.who.replaceChildren(...(many ? selected.map((name) => {
      const swatch = tdw.el("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = tdw.compare.colour(name) || "var(--edge)";
      return tdw.el("button", { type: "button", class: "chip" + (now.includes(name) ? " is-set" : ""), "aria-pressed": String(now.includes(name)), onclick: () => toggle(name) }, swatch, name);
    }) : []));
    const text = now.length < side.LEAST ? `Tick ${side.LEAST} to ${side.MOST} rows of the table: the view that is chosen here is drawn for each of them.` : view === null ? `Choose a view: it is drawn for ${now.length} of the selected variants. ${TILES}` : "";
    parts.hint.hidden = text === "";
    parts.hint.textContent = text;
  }

  tdw.on("selection", (state, changed) => state.page === "compare" && changed.has("params") && show());
  tdw.compareSideTools = { build, show };
})((window.tdw = window.tdw || {}));
