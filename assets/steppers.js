/* Number boxes with previous and next for the neuron, the head and the frequency. */
(function (tdw) {
  "use strict";
  const FIELDS = { neuron: "Neuron", head: "Head", frequency: "Frequency" };
  const boxes = new Map();

  function build(home, field) {
    const id = field + "-box";
    const box = tdw.el("input", { type: "text", inputmode: "numeric", id, class: "number-box", autocomplete: "off" });
    const range = tdw.el("span", { class: "range" });
    const previous = tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Previous " + field, onclick: () => tdw.selection.step(field, -1) }, "−");
    const next = tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Next " + field, onclick: () => tdw.selection.step(field, 1) }, "+");
    const typed = () => {
      const limits = tdw.selection.known() && tdw.selection.info().limits[field];
      const text = box.value.trim();
      if (!limits || text === "" || Number(text) === tdw.selection.get()[field]) return show();
      if (!/^\d+$/.test(text) || Number(text) < limits[0] || Number(text) > limits[1]) {
        tdw.notices.show("warning", `“${text}” is not a ${field} of ${tdw.selection.get().variant}; it has ${limits[0]} to ${limits[1]}.`);
        return show();
      }
      tdw.selection.set({ [field]: Number(text) }, "push");
    };
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") typed();
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (by) {
        tdw.selection.step(field, by);
        event.preventDefault();
      }
      if (event.key === "Escape") {
        show();
        box.blur();
      }
    });
    box.addEventListener("blur", typed);
    box.addEventListener("focus", () => box.select());
    home.append(tdw.el("div", { class: "stepper" }, tdw.el("label", { for: id }, FIELDS[field], range), tdw.el("div", { class: "stepper-row" }, previous, box, next)));
    boxes.set(field, { box, range, buttons: [previous, next] });
  }

  function show() {
    const state = tdw.selection.get();
    const limits = tdw.selection.known() ? tdw.selection.info().limits : {};
    for (const [field, { box, range, buttons }] of boxes) {
      box.disabled = !limits[field];
      for (const button of buttons) button.disabled = !limits[field];
      box.value = limits[field] ? state[field] : "";
      range.textContent = limits[field] ? ` ${limits[field][0]}–${limits[field][1]}` : "";
    }
  }

  tdw.on("boot", () => {
    const home = document.getElementById("steppers");
    for (const field of Object.keys(FIELDS)) build(home, field);
    show();
  });
  tdw.on("info", show);
  tdw.on("selection", show);
})((window.tdw = window.tdw || {}));
