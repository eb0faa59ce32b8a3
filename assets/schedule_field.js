/* A learning-rate or weight-decay schedule in a form: a policy with its settings, or a saved one, and how it runs.
 * The field itself keeps the schedule as text ("cosine:until=25000,floor=1e-5"); "" is none. */
(function (tdw) {
  "use strict";
  const NAMES = {
    constant: "constant (end the parent's)", linear_warmup: "linear warm-up", step: "steps", cosine: "cosine", warmup_cosine: "warm-up, then cosine",
    warmup_linear: "warm-up, then linear", piecewise: "piecewise",
  };
  const SETTINGS = {
    warmup: "Warm-up epochs", every: "Every (epochs)", factor: "Times", until: "Until epoch", floor: "Down to", start: "From epoch", points: "Epoch = value, …",
  };
  const WAIT = 250;
  const fields = [];
  let policies = {};
  let saved = [];

  const policyOf = (text) => text.split(":")[0];
  function settingsOf(text) {
    const rest = text.includes(":") ? text.slice(text.indexOf(":") + 1) : "";
    if (policyOf(text) === "piecewise") return { points: rest };
    return Object.fromEntries(rest.split(",").filter(Boolean).map((part) => part.split("=").map((piece) => piece.trim())));
  }
  function textOf(policy, settings) {
    if (policy === "piecewise") return "piecewise:" + settings.points;
    const parts = Object.entries(settings).filter(([, value]) => value !== "").map(([name, value]) => `${name}=${value}`);
    return policy + (parts.length ? ":" + parts.join(",") : "");
  }

  function attach(input, about) {
    const field = { input, about, timer: 0, asked: 0 };
    const holder = input.closest("[data-field]");
    const label = holder.querySelector("label");
    input.hidden = true;
    field.select = tdw.el("select", { class: "input", id: input.id + "-policy", "aria-describedby": input.getAttribute("aria-describedby") });
    label.htmlFor = field.select.id;
    field.settings = tdw.el("div", { class: "schedule-settings" });
    field.plot = tdw.el("div", { class: "schedule-plot", hidden: true });
    field.keep = tdw.el("div", { class: "schedule-keep", hidden: true });
    holder.querySelector(".field-error").before(tdw.el("div", { class: "schedule" }, field.select, field.settings), field.keep, field.plot);
    field.select.addEventListener("change", () => choose(field));
    input.addEventListener("filled", () => show(field));
    fields.push(field);
    show(field);
    return field;
  }

  function options(field) {
    const isFork = field.input.form.dataset.form === "fork";
    const made = [tdw.el("option", { value: "" }, isFork ? "as the parent" : "constant")];
    for (const policy of Object.keys(policies)) if (policy !== "constant" || isFork) made.push(tdw.el("option", { value: policy }, NAMES[policy] || policy));
    if (saved.length) made.push(tdw.el("optgroup", { label: "Saved" }, ...saved.map((one) => tdw.el("option", { value: "saved " + one.name }, one.name))));
    field.select.replaceChildren(...made);
  }

  /* Made anew from the text of the field. */
  function show(field) {
    const text = field.input.value;
    options(field);
    const known = saved.find((one) => one.text === text);
    field.select.value = known ? "saved " + known.name : policyOf(text);
    settings(field, policyOf(text), settingsOf(text));
    keep(field, known);
    preview(field);
  }
  function settings(field, policy, values) {
    const names = policies[policy] ? policies[policy].settings : [];
    const id = (name) => `${field.input.id}-${name}`;
    field.settings.replaceChildren(...names.map((name) => tdw.el("div", { class: "schedule-setting" + (name === "points" ? " is-wide" : "") },
      tdw.el("label", { for: id(name) }, SETTINGS[name] || name),
      tdw.el("input", { type: "text", id: id(name), class: "input", "data-setting": name, value: values[name] || "", spellcheck: "false", placeholder: name === "start" || name === "floor" ? "0" : null, oninput: () => typed(field) }))));
  }

  function choose(field) {
    const chosen = field.select.value;
    const one = saved.find((known) => "saved " + known.name === chosen);
    if (one) write(field, one.text);
    else write(field, chosen === "" ? "" : suggestion(field, chosen));
    show(field);
  }
  /* The settings that a policy needs, in proportion to the run. */
  function suggestion(field, policy) {
    const epochs = field.about().epochs || 25000;
    const { base } = field.about();
    const made = { warmup: Math.max(1, Math.round(epochs / 100)), every: Math.max(1, Math.round(epochs / 5)), factor: 0.5, until: epochs };
    if (policy === "piecewise") return `piecewise:${Math.round(epochs / 2)}=${Number((base / 10 || 1e-4).toPrecision(2))}`;
    const needed = policies[policy].example.includes(":") ? policies[policy].example.split(":")[1].split(",").map((part) => part.split("=")[0]) : [];
    return textOf(policy, Object.fromEntries(needed.filter((name) => name in made).map((name) => [name, made[name]])));
  }
  function typed(field) {
    const values = {};
    for (const input of field.settings.querySelectorAll("[data-setting]")) values[input.dataset.setting] = input.value.trim();
    write(field, textOf(policyOf(field.input.value), values));
    keep(field, null);
    preview(field);
  }
  function write(field, text) {
    field.input.value = text;
    field.input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /* Saving under a name, or deleting the saved one. */
  function keep(field, known) {
    const text = field.input.value;
    field.keep.hidden = text === "" || policyOf(text) === "constant";
    if (field.keep.hidden) return;
    if (known) {
      field.keep.replaceChildren(tdw.el("button", { type: "button", class: "button is-small", onclick: () => store(field, known.name, null) }, `Delete “${known.name}”`));
      return;
    }
    const name = tdw.el("input", { type: "text", class: "input", placeholder: "name", "aria-label": "Name under which the schedule is saved", maxlength: 60 });
    const save = tdw.el("button", { type: "button", class: "button is-small", onclick: () => name.value.trim() && store(field, name.value.trim(), field.input.value) }, "Save as");
    name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      save.click();
    });
    field.keep.replaceChildren(save, name);
  }
  async function store(field, name, text) {
    const path = "/_schedules/" + encodeURIComponent(name);
    try {
      saved = text === null ? await tdw.fetch(path, { method: "DELETE" })
        : await tdw.fetch(path, { method: "PUT", body: JSON.stringify({ schedule: text }), headers: { "Content-Type": "application/json" } });
      for (const one of fields) show(one);
      field.select.focus();
    } catch (error) {
      tdw.forms.complain(field.input.form, field.input.name, error.message);
    }
  }

  /* How the value runs over the epochs, a moment after the last key. */
  function preview(field) {
    clearTimeout(field.timer);
    field.timer = setTimeout(async () => {
      const text = field.input.value;
      const { base, epochs, what } = field.about();
      const mine = ++field.asked;
      if (!text || !Number.isFinite(base) || !(epochs > 0)) {
        field.plot.hidden = true;
        return;
      }
      try {
        const drawn = await tdw.forms.question(tdw.post("/_schedules/preview", { schedule: text, base, epochs }));
        if (mine !== field.asked) return;
        field.plot.hidden = false;
        const last = drawn.values[drawn.values.length - 1];
        tdw.miniplot.draw(field.plot, {
          x: drawn.epochs, lines: [{ name: what, kind: "plain", y: drawn.values }], xTitle: "epoch", yTitle: what, logY: false,
          label: `${what} from ${tdw.words.number(drawn.values[0])} at epoch 0 to ${tdw.words.number(last)} at epoch ${tdw.format(epochs)}`,
        });
      } catch (error) {
        if (mine === field.asked) field.plot.hidden = true; // the estimate says what is wrong
      }
    }, WAIT);
  }

  async function load(given) {
    policies = given;
    saved = await tdw.fetch("/_schedules");
    for (const field of fields) show(field);
  }
  const redraw = (form) => fields.filter((field) => field.input.form === form).forEach(preview);

  tdw.scheduleField = { attach, load, redraw };
})((window.tdw = window.tdw || {}));
