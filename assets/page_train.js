/* The Train page: forms, what they would make (asked as one types), and Start. What is typed lives in the address
 * where it is short, and always in the session, so that it survives other pages, other forms and a reload. */
(function (tdw) {
  "use strict";
  const WAIT = 300;
  const LONGEST = 1200; // characters of the address
  const NAMES = 10;
  const MEANT = { new: "run", fork: "fork", replicates: "copy", resume: "run", densify: "run" };
  const byId = (id) => document.getElementById(id);
  let current = "new";
  let isShown = false;
  let timer = 0;
  let questions = 0;
  let order = null; // what Start would begin
  let isStarting = false;
  let written = "";

  const form = () => byId("form-" + current);
  const drafts = {
    read: (name) => {
      try {
        return JSON.parse(sessionStorage.getItem("tdw.train." + name)) || {};
      } catch (error) {
        return {};
      }
    },
    write: (name, values) => {
      try {
        sessionStorage.setItem("tdw.train." + name, JSON.stringify(values));
      } catch (error) {
        /* no storage: the values last as long as the page */
      }
    },
  };

  /* --- the address ------------------------------------------------------------------------------------ */

  function keep() {
    const values = tdw.forms.changed(form());
    drafts.write(current, values);
    const options = current === "new" ? { ...values } : { form: current, ...values };
    const isShort = new URLSearchParams(options).toString().length <= LONGEST;
    const wanted = isShort ? options : current === "new" ? {} : { form: current };
    written = JSON.stringify(wanted);
    tdw.selection.set({ options: wanted }, "replace");
  }
  /* Fill the form that the address names: with its values, or those of the session if it has none. */
  function restore() {
    const { form: name, ...values } = tdw.selection.get().options;
    show(byId("form-" + name) ? name : "new", Object.keys(values).length ? values : null);
  }
  function show(name, values) {
    current = name;
    document.querySelectorAll("#train-forms [data-form]").forEach((one) => (one.hidden = one.dataset.form !== name));
    document.querySelectorAll("[data-kind-of-run]").forEach((one) => {
      one.setAttribute("aria-pressed", String(one.dataset.kindOfRun === name));
      if (one.dataset.kindOfRun === name) tdw.words.setText(byId("train-says"), one.title);
    });
    tdw.forms.fill(form(), values || drafts.read(name));
    for (const folded of form().querySelectorAll("details")) folded.open = tdw.forms.isChanged(folded);
    tdw.forms.calm(form());
    depend();
    keep();
    ask(0);
  }

  /* Fields that others show or hide, and what empty fields stand for. */
  function depend() {
    const own = form().querySelector('[data-field="checkpoints"]');
    if (own) own.hidden = tdw.forms.given(form(), "saved") !== "own";
    const { variant, epoch } = tdw.selection.get();
    const of = tdw.forms.control(form(), "of");
    const at = tdw.forms.control(form(), "at");
    if (of) of.placeholder = variant || "choose one";
    if (at) at.placeholder = epoch === null || epoch === undefined ? "" : String(epoch);
    if (of) hints();
  }
  /* What the parent has, where a fork has nothing else. */
  async function hints() {
    const mine = form();
    try {
      const parent = await tdw.trainOrders.settingsOf(tdw.trainOrders.variantOf(mine));
      const shown = { lr: parent.lr, weight_decay: parent.weight_decay, frac_train: parent.params.frac_train, data_seed: parent.params.data_seed, epochs: mine.dataset.form === "replicates" ? parent.planned || parent.last : mine.dataset.form === "resume" ? parent.planned : parent.last };
      for (const [name, value] of Object.entries(shown)) {
        const input = tdw.forms.control(mine, name);
        if (input && value !== undefined && value !== null && tdw.forms.defaultOf(input) === "") input.placeholder = String(value);
      }
      tdw.scheduleField.redraw(mine); // now it is known what the parent has
    } catch (error) {
      /* the estimate says what is wrong with the variant */
    }
  }

  /* --- what would be made ----------------------------------------------------------------------------- */

  function ask(wait) {
    clearTimeout(timer);
    order = null;
    byId("train-start").disabled = true;
    timer = setTimeout(describe, wait === undefined ? WAIT : wait);
  }
  async function describe() {
    if (!isShown) return;
    const mine = ++questions;
    const asked = form();
    try {
      if (current === "densify" && !tdw.forms.given(asked, "add")) {
        tdw.forms.calm(asked);
        return plan([tdw.el("p", { class: "page-quiet" }, "Type the epochs to add.")]);
      }
      const wanted = await tdw.trainOrders.of(asked);
      const answer = await tdw.forms.question(tdw.post("/_jobs/describe", wanted));
      if (mine !== questions || asked !== form()) return undefined;
      tdw.forms.calm(asked);
      order = answer.conflicts.length || answer.active ? null : wanted;
      byId("train-start").disabled = order === null || isStarting;
      return plan(told(answer));
    } catch (error) {
      if (mine !== questions) return undefined;
      refuse(asked, error);
      return undefined;
    }
  }
  function refuse(asked, error) {
    const field = tdw.trainOrders.fieldOf(asked, error.field || "");
    const beside = tdw.forms.complain(asked, field, error.message);
    tdw.forms.calm(asked, beside ? field : "");
    plan([tdw.el("p", { class: "plan-bad" }, beside ? "Something in the form cannot be used; it is marked there." : error.message)]);
  }
  /* Read aloud: what is in the way, else the sum. */
  function plan(parts) {
    const home = byId("train-plan");
    home.replaceChildren(...parts);
    const said = home.querySelector(".plan-bad") || home.querySelector(".plan-sum");
    tdw.words.setText(byId("train-told"), said ? said.textContent : "");
  }

  function told(answer) {
    const count = answer.makes.length;
    const time = answer.seconds === null ? "" : tdw.words.roughly(answer.seconds);
    const word = MEANT[current];
    const plural = count === 1 ? word : word === "copy" ? "copies" : word + "s";
    const parts = [tdw.el("p", { class: "plan-sum" }, tdw.el("strong", {}, `${tdw.format(count)} ${plural}`), time ? `, ${time}` : "")];
    if (answer.active) {
      parts.push(tdw.el("div", { class: "plan-note" }, tdw.el("p", {}, "A job does this already. "), tdw.words.pageLink("jobs", { job: answer.active }, "Open the job")));
    } else if (answer.conflicts.length) parts.push(obstacles(answer));
    parts.push(facts(answer), names(answer));
    return parts;
  }
  function obstacles(answer) {
    const only = answer.makes.length === 1 ? answer.makes[0] : null;
    const goOn = only && only.there && current !== "resume" && current !== "densify";
    return tdw.el("div", { class: "plan-bad" },
      tdw.el("ul", {}, ...answer.conflicts.map((text) => tdw.el("li", {}, text))),
      goOn ? tdw.el("button", { type: "button", class: "button is-small", onclick: () => show("resume", { of: only.name, epochs: tdw.forms.changed(form()).epochs || "" }) }, "Go on with it") : null);
  }
  function facts(answer) {
    const saved = answer.makes.map((one) => one.checkpoints);
    const [least, most] = [Math.min(...saved), Math.max(...saved)];
    const epochs = Math.max(...answer.makes.map((one) => one.epochs));
    const tight = answer.bytes > 0.9 * answer.free;
    const rows = [
      ["Time", answer.seconds === null ? "cannot be told" : tdw.words.roughly(answer.seconds), `from ${answer.based_on}`],
      ["Disk", `about ${tdw.words.bytes(answer.bytes)}`, `${tdw.words.bytes(answer.free)} are free`, tight],
      ["Device", answer.device],
      current === "densify" ? null : ["Epochs", tdw.format(epochs)],
      ["Checkpoints", least === most ? tdw.format(least) : `${tdw.format(least)} to ${tdw.format(most)}`, answer.makes.length > 1 ? "of each" : null],
    ].filter(Boolean);
    return tdw.el("dl", { class: "plan-facts" }, ...rows.map(([label, value, note, bad]) => tdw.el("div", {}, tdw.el("dt", {}, label),
      tdw.el("dd", { class: bad ? "is-bad" : null }, value, note ? tdw.el("small", {}, note) : null))));
  }
  function names(answer) {
    const more = answer.makes.length - NAMES;
    return tdw.el("ul", { class: "plan-names", "aria-label": "Variants" }, ...answer.makes.slice(0, NAMES).map((one) => tdw.el("li", {},
      one.there ? tdw.words.variantLink(one.name) : tdw.el("span", {}, one.name), one.there ? tdw.el("small", {}, `there: ${one.there}`) : null)),
    more > 0 ? tdw.el("li", { class: "page-quiet" }, `and ${tdw.format(more)} more`) : null);
  }

  /* --- start ------------------------------------------------------------------------------------------ */

  async function start() {
    if (isStarting || order === null) return;
    isStarting = true;
    byId("train-start").disabled = true;
    const ticket = byId("train-ticket");
    ticket.replaceChildren(tdw.el("p", { class: "page-quiet" }, "Starting…"));
    try {
      const given = await tdw.jobs.order(order);
      ticket.replaceChildren(tdw.el("p", { class: "plan-good" }, given.new ? "Started: " : "This runs already: ", tdw.words.pageLink("jobs", { job: given.job }, given.title)));
    } catch (error) {
      ticket.replaceChildren(tdw.el("p", { class: "plan-bad" }, error.message));
    } finally {
      isStarting = false;
      ask(0);
    }
  }

  /* --- the page --------------------------------------------------------------------------------------- */

  function onInput(event) {
    const name = event.target.closest("[data-field]") && event.target.closest("[data-field]").dataset.field;
    if (current === "new") {
      const count = tdw.trainOrders.count(form());
      const sum = document.querySelector("#train-plan .plan-sum strong");
      if (sum) tdw.words.setText(sum, `${tdw.format(count)} ${count === 1 ? "run" : "runs"}`);
    }
    byId("train-ticket").replaceChildren();
    if (["of", "saved"].includes(name)) depend();
    if (["lr", "weight_decay", "epochs", "of"].includes(name)) tdw.scheduleField.redraw(form());
    keepSoon();
    ask();
  }
  let keeping = 0;
  function keepSoon() {
    clearTimeout(keeping);
    keeping = setTimeout(keep, WAIT);
  }

  /* What a schedule changes, and over how many epochs. */
  function aboutOf(form, name) {
    const base = name === "lr_schedule" ? "lr" : "weight_decay";
    return () => {
      const read = (field) => {
        const typed = tdw.forms.given(form, field);
        const shown = tdw.forms.control(form, field).placeholder;
        return Number(Array.isArray(typed) ? typed[0] : typed === undefined ? shown : typed);
      };
      return { base: read(base), epochs: read("epochs"), what: base === "lr" ? "learning rate" : "weight decay" };
    };
  }

  function build() {
    const facts = JSON.parse(byId("train-facts").content.textContent);
    tdw.trainOrders.setUp(facts);
    byId("train-forms").addEventListener("input", onInput);
    byId("train-forms").addEventListener("change", onInput);
    byId("train-forms").addEventListener("submit", (event) => event.preventDefault());
    byId("train-forms").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input:not([type=checkbox])")) event.preventDefault();
    });
    document.querySelectorAll("[data-kind-of-run]").forEach((button) => button.addEventListener("click", () => {
      drafts.write(current, tdw.forms.changed(form()));
      show(button.dataset.kindOfRun, null);
    }));
    byId("train-start").addEventListener("click", start);
    byId("train-reset").addEventListener("click", () => show(current, {}));
    document.querySelectorAll('#train-forms [data-kind="schedule"]').forEach((input) => tdw.scheduleField.attach(input, aboutOf(input.form, input.name)));
    return facts;
  }

  let made = null;
  tdw.on("selection", (state, changed) => {
    if (!isShown || state.page !== "train") return;
    if (changed.has("options") && JSON.stringify(state.options) !== written) return restore();
    if (changed.has("variant") || changed.has("epoch")) {
      depend();
      if (current !== "new") ask();
    }
    return undefined;
  });
  tdw.on("info", () => {
    const info = tdw.selection.info();
    if (info && info.variants && made) byId("train-variants").replaceChildren(...info.variants.map((one) => tdw.el("option", { value: one.value })));
  });
  tdw.on("ended", () => isShown && ask());
  tdw.on("boot", () => tdw.pages.define("train", {
    show() {
      isShown = true;
      if (!made) {
        made = build();
        tdw.scheduleField.load(made.policies).catch(() => {});
        const info = tdw.selection.info();
        if (info && info.variants) byId("train-variants").replaceChildren(...info.variants.map((one) => tdw.el("option", { value: one.value })));
      }
      restore();
    },
    hide() {
      isShown = false;
      clearTimeout(timer);
      clearTimeout(keeping);
      drafts.write(current, tdw.forms.changed(form()));
    },
  }));
})((window.tdw = window.tdw || {}));
