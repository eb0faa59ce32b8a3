/* The Analyze page: which run lacks what, which of it to compute, what that costs, and Start. */
(function (tdw) {
  "use strict";
  const WAIT = 300;
  const AT_ONCE = 40; // runs that one question asks to look up; the server answers with as many as a second allows
  const NAMES = 8;
  const LONGEST = 1200;
  const byId = (id) => document.getElementById(id);
  const parts = new Map();
  let columns = [];
  let rows = [];
  let chosen = new Set();
  let instruments = null; // names, null: the standard set
  let isShown = false;
  let isStarting = false;
  let questions = 0;
  let lookups = 0;
  let timer = 0;
  let order = null;
  let built = false;

  /* --- the rows --------------------------------------------------------------------------------------- */

  const fits = (row, words) => words.every((word) => row.search.toLowerCase().includes(word));
  function visible() {
    const words = byId("results-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const onlyGaps = byId("results-gaps").checked;
    return rows.filter((row) => fits(row, words) && (!onlyGaps || !row.checked || tdw.resultsMatrix.gapsOf(row) > 0));
  }
  const running = (name) => tdw.work.active().find((job) => job.kind === "analyze" && job.variants.includes(name)) || null;
  const readout = (text) => tdw.words.setText(byId("results-readout"), text);

  function list() {
    const shown = visible();
    const given = { isChosen: (name) => chosen.has(name), toggle: choose, running, readout };
    tdw.words.reconcile(byId("results"), parts, shown, (row) => row.name, (row) => tdw.resultsMatrix.make(row, given));
    byId("results-none").hidden = shown.length > 0 || rows.length === 0;
    byId("results-empty").hidden = rows.length > 0;
  }

  async function load() {
    try {
      const answer = await tdw.fetch("/_results");
      if (!isShown) return;
      if (JSON.stringify(answer.columns) !== JSON.stringify(columns)) {
        columns = answer.columns;
        tdw.resultsMatrix.heads(byId("results-heads"), columns);
        buildInstruments();
      }
      rows = answer.rows;
      const there = new Set(rows.map((row) => row.name));
      chosen = new Set([...chosen].filter((name) => there.has(name)));
      list();
      ask();
      check();
    } catch (error) {
      tdw.notices.show("error", error.message, [{ label: "Try again", act: load }]);
    }
  }
  /* What was not looked up since it changed: the chosen runs first. */
  async function check() {
    const mine = ++lookups;
    while (isShown && mine === lookups) {
      const waiting = rows.filter((row) => !row.checked && !running(row.name)).sort((a, b) => Number(chosen.has(b.name)) - Number(chosen.has(a.name)));
      readout(waiting.length ? `Looking up ${tdw.words.plural(waiting.length, "run")}…` : "Point at a cell to read what it says.");
      if (!waiting.length) return;
      let found = [];
      try {
        found = await tdw.post("/_results", { variants: waiting.slice(0, AT_ONCE).map((row) => row.name) });
      } catch (error) {
        readout(error.message);
        return;
      }
      if (mine !== lookups) return;
      const fresh = new Map(found.map((row) => [row.name, row]));
      rows = rows.map((row) => fresh.get(row.name) || row);
      list();
      if (found.some((row) => chosen.has(row.name))) ask();
    }
  }

  /* --- what to compute -------------------------------------------------------------------------------- */

  function choose(name, isIn) {
    chosen[isIn ? "add" : "delete"](name);
    changed();
  }
  function changed() {
    byId("analyze-ticket").replaceChildren();
    keep();
    list();
    ask();
  }
  function keep() {
    const options = { variants: [...chosen].join(",") };
    if (chosen.size === rows.length && chosen.size > 1) options.variants = "all";
    if (instruments) options.analyzers = instruments.join(",");
    if (new URLSearchParams(options).toString().length > LONGEST) delete options.variants;
    tdw.selection.set({ options }, "replace");
  }
  function restore() {
    const { variants, analyzers } = tdw.selection.get().options;
    if (variants === "all") chosen = new Set(rows.map((row) => row.name));
    else if (variants !== undefined) chosen = new Set(variants.split(",").filter(Boolean));
    else if (!chosen.size && tdw.selection.get().variant) chosen = new Set([tdw.selection.get().variant]);
    instruments = analyzers === undefined ? null : analyzers.split(",").filter(Boolean);
    showInstruments();
  }

  function buildInstruments() {
    const groups = [...new Set(columns.map((column) => column.group))];
    byId("instruments").replaceChildren(...groups.map((group) => tdw.el("fieldset", {}, tdw.el("legend", {}, group),
      ...columns.filter((column) => column.group === group).map((column) => tdw.el("label", { class: "check", title: column.title },
        tdw.el("input", { type: "checkbox", value: column.name, "data-instrument": "" }), column.name.replaceAll("_", " "), column.standard ? null : tdw.el("span", { class: "state is-warn" }, "slow"))))));
    showInstruments();
  }
  function showInstruments() {
    byId("instruments-standard").checked = instruments === null;
    byId("instruments-chosen").checked = instruments !== null;
    byId("instruments").hidden = instruments === null;
    byId("instruments").querySelectorAll("[data-instrument]").forEach((box) => (box.checked = (instruments || []).includes(box.value)));
  }
  function readInstruments() {
    const boxes = [...byId("instruments").querySelectorAll("[data-instrument]")];
    instruments = byId("instruments-chosen").checked ? boxes.filter((box) => box.checked).map((box) => box.value) : null;
    showInstruments();
    changed();
  }

  function plan(...children) {
    const home = byId("analyze-plan");
    home.replaceChildren(...children);
    const said = home.querySelector(".plan-bad") || home.querySelector(".plan-sum") || home.firstChild;
    tdw.words.setText(byId("analyze-told"), said ? said.textContent : "");
  }
  const quiet = (text) => plan(tdw.el("p", { class: "page-quiet" }, text));
  function ask() {
    clearTimeout(timer);
    order = null;
    byId("analyze-start").disabled = true;
    timer = setTimeout(describe, WAIT);
  }
  async function describe() {
    if (!isShown) return undefined;
    const mine = ++questions;
    const names = rows.map((row) => row.name).filter((name) => chosen.has(name));
    if (!names.length) return quiet("Choose one or more runs.");
    if (instruments && !instruments.length) return quiet("Choose one or more instruments.");
    const waiting = rows.filter((row) => chosen.has(row.name) && !row.checked && !running(row.name)).length;
    if (waiting) return quiet(`Looking up what ${tdw.words.plural(names.length, "run")} have: ${waiting} to go…`);
    const workers = Number(byId("analyze-workers").value) || 1;
    const wanted = { kind: "analyze", variants: names, analyzers: instruments && [...instruments].sort(), ...(workers > 1 ? { workers } : {}) };
    try {
      const answer = await tdw.forms.question(tdw.post("/_jobs/describe", wanted));
      if (mine !== questions) return undefined;
      const results = answer.makes.reduce((sum, one) => sum + Object.values(one.missing).reduce((a, b) => a + b, 0), 0);
      order = answer.conflicts.length || answer.active || !results ? null : wanted;
      byId("analyze-start").disabled = order === null || isStarting;
      return plan(...told(answer, results));
    } catch (error) {
      if (mine === questions) plan(tdw.el("p", { class: "plan-bad" }, error.message));
      return undefined;
    }
  }
  function told(answer, results) {
    const lacking = answer.makes.filter((one) => Object.keys(one.missing).length);
    if (answer.active) return [tdw.el("div", { class: "plan-note" }, tdw.el("p", {}, "A job does this already. "), tdw.words.pageLink("jobs", { job: answer.active }, "Open the job"))];
    const bad = answer.conflicts.length ? tdw.el("ul", { class: "plan-bad" }, ...answer.conflicts.map((text) => tdw.el("li", {}, text))) : null;
    if (!results && !bad) return [tdw.el("p", { class: "plan-good" }, `Nothing is missing: ${tdw.words.plural(answer.makes.length, "run")} complete.`)];
    const slow = [...new Set(lacking.flatMap((one) => Object.keys(one.missing)))].filter((name) => columns.some((column) => column.name === name && !column.standard));
    const rowsOf = [["Time", tdw.words.roughly(answer.seconds), `from ${answer.based_on}`], ["Disk", `about ${tdw.words.bytes(answer.bytes)}`, `${tdw.words.bytes(answer.free)} are free`], ["Device", answer.device]];
    return [
      tdw.el("p", { class: "plan-sum" }, tdw.el("strong", {}, tdw.words.plural(results, "result")), ` of ${tdw.words.plural(lacking.length, "run")}`),
      bad,
      slow.length ? tdw.el("p", { class: "plan-note" }, `Slow, and not part of the standard set: ${slow.join(", ").replaceAll("_", " ")}.`) : null,
      tdw.el("dl", { class: "plan-facts" }, ...rowsOf.map(([label, value, note]) => tdw.el("div", {}, tdw.el("dt", {}, label), tdw.el("dd", {}, value, note ? tdw.el("small", {}, note) : null)))),
      tdw.el("ul", { class: "plan-names", "aria-label": "Runs" }, ...lacking.slice(0, NAMES).map((one) => tdw.el("li", {}, tdw.el("span", {}, one.name), tdw.el("small", {}, `${tdw.words.plural(Object.keys(one.missing).length, "instrument")}`))),
        lacking.length > NAMES ? tdw.el("li", { class: "page-quiet" }, `and ${lacking.length - NAMES} more`) : null),
    ].filter(Boolean);
  }

  async function start() {
    if (isStarting || order === null) return;
    isStarting = true;
    byId("analyze-start").disabled = true;
    const ticket = byId("analyze-ticket");
    ticket.replaceChildren(tdw.el("p", { class: "page-quiet" }, "Starting…"));
    try {
      const given = await tdw.jobs.order(order);
      ticket.replaceChildren(tdw.el("p", { class: "plan-good" }, given.new ? "Started: " : "This runs already: ", tdw.words.pageLink("jobs", { job: given.job }, given.title)));
    } catch (error) {
      ticket.replaceChildren(tdw.el("p", { class: "plan-bad" }, error.message));
    } finally {
      isStarting = false;
      ask();
    }
  }

  function build() {
    if (built) return;
    built = true;
    byId("results-filter").addEventListener("input", list);
    byId("results-gaps").addEventListener("change", list);
    byId("analyze-workers").addEventListener("change", ask);
    byId("analyze-start").addEventListener("click", start);
    for (const id of ["instruments-standard", "instruments-chosen", "instruments"]) byId(id).addEventListener("change", readInstruments);
    document.querySelectorAll("[data-choose]").forEach((button) => button.addEventListener("click", () => {
      const which = button.dataset.choose;
      const compared = (tdw.router.optionsOf("compare").variants || "").split(",").filter(Boolean);
      if (which === "compare" && !compared.length) {
        tdw.notices.show("info", "Nothing is selected on Compare yet.");
        return;
      }
      const there = new Set(rows.map((row) => row.name));
      chosen = new Set(which === "shown" ? visible().map((row) => row.name) : which === "compare" ? compared.filter((name) => there.has(name)) : []);
      changed();
    }));
  }

  tdw.on("work", () => isShown && list());
  tdw.on("ended", () => isShown && load());
  tdw.on("selection", (state, fields) => {
    if (isShown && state.page === "analyze" && fields.has("options")) {
      const wanted = state.options.variants;
      if (wanted !== undefined && wanted !== "all" && wanted !== [...chosen].join(",")) {
        restore();
        list();
        ask();
      }
    }
  });
  tdw.on("boot", () => tdw.pages.define("analyze", {
    show() {
      isShown = true;
      build();
      load().then(() => {
        restore();
        list();
        ask();
      });
    },
    hide() {
      isShown = false;
      clearTimeout(timer);
    },
  }));
})((window.tdw = window.tdw || {}));
