/* The line above a figure: what a click on it sets, and after a click each value that the mark carried. */
(function (tdw) {
  "use strict";

  const label = (field, value) => field + " " + (typeof value === "number" ? tdw.format(value) : value);
  const row = (panel) => panel.el.querySelector(".panel-chips");

  function hint(panel) {
    const home = row(panel);
    const marks = panel.el.dataset.marks.split(" ").filter(Boolean);
    if (!home || !marks.length) return;
    const parts = [tdw.el("span", { class: "hint" }, "click: ", tdw.el("b", {}, marks[0]))];
    if (marks.length > 1) parts.push(tdw.el("span", { class: "hint", title: "click with the shift key held" }, "shift: ", tdw.el("b", {}, marks[1])));
    home.replaceChildren(...parts);
  }

  function choose(field, value, how) {
    tdw.selection.set({ [field]: value }, how || "push");
  }

  /* A click on a mark: the primary value, with shift the second; every value is offered as a button. */
  function clicked(panel, carried, second) {
    if (!carried.length) return;
    const [field, value] = carried[second && carried.length > 1 ? 1 : 0];
    choose(field, value);
    const home = row(panel);
    if (!home) return;
    const buttons = carried.map(([name, one]) => tdw.el("button", {
      type: "button", class: "chip" + (name === field ? " is-set" : ""), "data-field": name, "data-value": one,
      onclick: () => choose(name, one),
    }, label(name, one)));
    const detail = panel.place === "detail" ? null : tdw.el("button", {
      type: "button", class: "chip is-quiet", onclick: () => tdw.router.open(panel.view),
    }, "open detail");
    home.replaceChildren(...buttons, ...(detail ? [detail] : []));
  }

  tdw.on("panel", hint);
  tdw.chips = { clicked, label };
})((window.tdw = window.tdw || {}));
