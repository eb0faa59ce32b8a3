/* The line above a figure: what a click on it sets, and after a click each value that the mark carried.
 * A click takes what the trace declares first, with shift what it declares second, and nothing else. */
(function (tdw) {
  "use strict";
  const word = (field) => tdw.selection.WORDS[field] || field;
  const label = (field, value) => word(field) + " " + tdw.selection.describe(field, value);
  const marksOf = (panel) => panel.el.dataset.marks.split(" ").filter(Boolean);
  const row = (panel) => panel.el.querySelector(".panel-chips");
  const kindOf = (panel) => tdw.panels.kinds.get(panel.kind) || {};

  /* [what a click sets, what a shift-click sets], each the fields over all marks that are drawn */
  function announced(panel) {
    const gd = tdw.drawing.plot(panel);
    const traces = gd && gd.data ? gd.data.map(tdw.payload.meanings).filter((fields) => fields.length) : [];
    const said = traces.length ? traces : [marksOf(panel)];
    return [0, 1].map((at) => [...new Set(said.map((fields) => fields[at]).filter(Boolean))]);
  }

  function hint(panel) {
    const home = row(panel);
    if (!home || home.querySelector(".chip")) return;
    const [first, second] = announced(panel);
    if (!first.length) return;
    const words = (fields) => tdw.el("b", {}, fields.map(word).join(" or "));
    if (kindOf(panel).together) {
      const all = [...new Set([...first, ...second])];
      const shift = kindOf(panel).shift && all.includes("variant") ? tdw.el("span", { class: "hint", title: "click with the shift key held" }, "shift: ", tdw.el("b", {}, kindOf(panel).shift)) : "";
      home.replaceChildren(tdw.el("span", { class: "hint" }, "click: ", tdw.el("b", {}, all.map(word).join(" and "))), shift);
      return;
    }
    const parts = [tdw.el("span", { class: "hint" }, "click: ", words(first))];
    if (second.length) parts.push(tdw.el("span", { class: "hint", title: "click with the shift key held" }, "shift: ", words(second)));
    home.replaceChildren(...parts);
  }

  function choose(field, value) {
    tdw.selection.set({ [field]: value }, "push");
  }

  /* `found`: [field, value] of all that the mark carries; `meant`: what a click and a shift-click take of it. */
  function clicked(panel, found, second, meant = marksOf(panel)) {
    const carried = found.filter(([field]) => tdw.selection.isSelectable(field));
    if (!carried.length) return;
    const field = second && meant.length > 1 ? meant[1] : meant[0];
    offer(panel, carried);
    if (kindOf(panel).choose) {
      kindOf(panel).choose(panel, carried, field, second);
      return;
    }
    const chosen = carried.find(([name]) => name === field);
    if (chosen) choose(...chosen);
  }

  function offer(panel, carried) {
    const buttons = carried.map(([name, one]) => tdw.el("button", {
      type: "button", class: "chip", "data-field": name, "data-value": one, onclick: () => choose(name, one),
    }, label(name, one)));
    if (panel.el.dataset.place === "explore") {
      buttons.push(tdw.el("button", { type: "button", class: "chip is-quiet", onclick: () => tdw.router.open(panel.view) }, "open detail"));
    }
    const home = row(panel);
    home.replaceChildren(...buttons);
    press(home);
  }

  function press(home) {
    const state = tdw.selection.get();
    home.querySelectorAll(".chip[data-field]").forEach((chip) => {
      const isSet = String(state[chip.dataset.field]) === chip.dataset.value;
      chip.classList.toggle("is-set", isSet);
      chip.setAttribute("aria-pressed", String(isSet));
    });
  }

  tdw.on("panel", hint);
  tdw.on("drawn", hint);
  tdw.on("selection", (state, changed) => {
    const offered = new Set([...document.querySelectorAll(".panel-chips > .chip")].map((chip) => chip.parentNode));
    if (changed.has("variant")) {
      offered.forEach((home) => home.replaceChildren());
      for (const panel of tdw.panels.all()) hint(panel);
    } else offered.forEach(press);
  });
  tdw.chips = { clicked, announced };
})((window.tdw = window.tdw || {}));
