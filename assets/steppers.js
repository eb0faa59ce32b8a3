/* Boxes with previous and next for the neuron, the head, the frequency and the input pair (typed as 4 + 29). */
(function (tdw) {
  "use strict";
  const FIELDS = { neuron: "Neuron", head: "Head", frequency: "Frequency", pair: "Input" };
  const boxes = new Map();

  /* As it stands in the box: plain digits, so that it can be edited. */
  const written = (field) => (field === "pair" ? tdw.selection.describe(field, tdw.selection.get().pair) : String(tdw.selection.get()[field]));

  function build(home, field) {
    const id = field + "-box";
    const box = tdw.el("input", { type: "text", inputmode: "numeric", id, class: "number-box", autocomplete: "off" });
    if (field === "pair") box.setAttribute("inputmode", "text");
    const range = tdw.el("span", { class: "range" });
    const previous = tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Previous " + field, onclick: () => tdw.selection.step(field, -1) }, "−");
    const next = tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Next " + field, onclick: () => tdw.selection.step(field, 1) }, "+");
    const typed = () => {
      const limits = tdw.selection.known() && tdw.selection.info().limits[field];
      const text = box.value.trim();
      if (!limits || text === "" || text === written(field)) return show();
      const value = field === "pair" ? tdw.selection.readPair(text, tdw.selection.info().p) : /^\d+$/.test(text) ? Number(text) : null;
      if (value === null || value < limits[0] || value > limits[1]) {
        const { describe, WORDS } = tdw.selection;
        tdw.notices.show("warning", `“${text}” is not ${/^[aeiou]/.test(WORDS[field]) ? "an" : "a"} ${WORDS[field]} of ${tdw.selection.get().variant}; it has ${describe(field, limits[0])} to ${describe(field, limits[1])}.`);
        return show();
      }
      tdw.selection.set({ [field]: value }, "push");
      show();
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
    home.append(tdw.el("div", { class: "stepper of-" + field }, tdw.el("label", { for: id }, FIELDS[field], range), tdw.el("div", { class: "stepper-row" }, previous, box, next)));
    boxes.set(field, { box, range, buttons: [previous, next] });
  }

  function show() {
    const limits = tdw.selection.known() ? tdw.selection.info().limits : {};
    for (const [field, { box, range, buttons }] of boxes) {
      box.disabled = !limits[field];
      for (const button of buttons) button.disabled = !limits[field];
      box.value = limits[field] ? written(field) : "";
      range.textContent = !limits[field] ? "" : field === "pair" ? ` 0–${tdw.selection.info().p - 1}` : ` ${limits[field][0]}–${limits[field][1]}`;
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
