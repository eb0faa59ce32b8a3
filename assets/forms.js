/* Forms whose fields the server has made (dashboard/pages/forms.py): reading and writing values, errors in place. */
(function (tdw) {
  "use strict";

  const controls = (form) => [...form.querySelectorAll("[name]")];
  const control = (form, name) => form.querySelector(`[name="${CSS.escape(name)}"]`);
  const textOf = (input) => (input.type === "checkbox" ? (input.checked ? "yes" : "") : input.value.trim());
  const defaultOf = (input) => input.dataset.default || "";

  /* What differs from the defaults, as typed: name -> text. */
  function changed(form) {
    const found = {};
    for (const input of controls(form)) if (textOf(input) !== defaultOf(input)) found[input.name] = textOf(input);
    return found;
  }
  const isChanged = (part) => controls(part).some((input) => textOf(input) !== defaultOf(input));
  /* Set every field: as in `values`, else its default. */
  function fill(form, values) {
    for (const input of controls(form)) {
      const text = input.name in values ? values[input.name] : defaultOf(input);
      if (input.type === "checkbox") input.checked = text === "yes";
      else input.value = text;
      input.dispatchEvent(new Event("filled"));
    }
  }

  const WHOLE = /^[+-]?\d+$/;
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  /* One value; what is no number stays text, and the server says what is wrong with it. */
  function one(text, kind) {
    if (kind === "whole" || kind === "epoch") return WHOLE.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : text;
    if (kind === "number") return NUMBER.test(text) ? Number(text) : text;
    return text;
  }
  const MOST = 10000;
  /* The values of a text such as "97, 101" or, for whole numbers, "0-7". */
  function several(text, kind) {
    return text.split(",").map((part) => part.trim()).filter(Boolean).flatMap((part) => {
      const range = kind === "whole" && /^(\d+)\s*(?:-|–|\.\.)\s*(\d+)$/.exec(part);
      if (!range || Number(range[2]) < Number(range[1]) || Number(range[2]) - Number(range[1]) >= MOST) return [one(part, kind)];
      return Array.from({ length: Number(range[2]) - Number(range[1]) + 1 }, (_, i) => Number(range[1]) + i);
    });
  }
  /* The value of a field: undefined if it is left at its default (or empty), a list where it has several. */
  function value(form, name) {
    const input = control(form, name);
    if (!input || textOf(input) === "" || textOf(input) === defaultOf(input)) return undefined;
    return read(input);
  }
  function read(input) {
    if (input.type === "checkbox") return input.checked;
    const { kind } = input.dataset;
    const text = textOf(input);
    if (kind === "pair") return text.split(",").map((part) => one(part.trim(), "number"));
    if (!("several" in input.dataset)) return one(text, kind);
    const values = several(text, kind);
    return values.length === 1 ? values[0] : values;
  }
  /* The value even if it is the default. */
  const given = (form, name) => {
    const input = control(form, name);
    return input && textOf(input) !== "" ? read(input) : undefined;
  };

  /* An error beside its field; false if there is no such field that can be seen. */
  function complain(form, name, text) {
    const input = control(form, name);
    const field = input && input.closest("[data-field]");
    if (!field || field.hidden) return false;
    const folded = field.closest("details");
    if (folded) folded.open = true;
    const place = field.querySelector(".field-error");
    input.setAttribute("aria-invalid", "true");
    place.hidden = false;
    tdw.words.setText(place, text);
    return true;
  }
  function calm(form, except) {
    for (const input of form.querySelectorAll("[aria-invalid]")) if (input.name !== except) input.removeAttribute("aria-invalid");
    for (const place of form.querySelectorAll(".field-error")) if (place.closest("[data-field]").dataset.field !== except) place.hidden = true;
  }

  /* A question that may be answered by {error, field}: an Error with the field that it is about. */
  async function question(asked) {
    const answer = await asked;
    if (answer.error) throw Object.assign(new Error(answer.error), { field: answer.field });
    return answer;
  }

  tdw.forms = { question, changed, isChanged, fill, value, given, several, complain, calm, control, textOf, defaultOf };
})((window.tdw = window.tdw || {}));
