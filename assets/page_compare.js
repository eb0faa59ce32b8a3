/* Compare: what the page knows (the table's columns, the selected variants and their colours) and what its
 * address says. Event: "compare" with the set of what changed ("table", "shown", "selected", "colours", options). */
(function (tdw) {
  "use strict";
  const EVERY = 4000;
  const TRAINING = "train";
  const MOST_PAINTED = 60;
  let table = null; // the answer of /_compare/table, with `at`: name -> row
  let shown = null; // names that pass the filters, in display order; null until the table stands
  let colours = { key: "", of: {}, groups: {} };
  let options = {};
  let timer = 0;
  let loading = null;

  const isHere = () => tdw.selection.get().page === "compare";
  const emit = (...changed) => tdw.emit("compare", new Set(changed));
  const home = (id) => document.getElementById("compare-" + id);

  /* --- the address --- */
  const option = (name, fallback) => options[name] || fallback || null;
  function setOptions(patch, how) {
    const next = Object.assign({}, isHere() ? tdw.selection.get().options : options, patch);
    for (const name of Object.keys(next)) if (next[name] === null || next[name] === "") delete next[name];
    if (isHere()) tdw.selection.set({ options: next }, how || "push");
  }
  const exists = (name) => table === null || table.at.has(name);
  const selected = () => (options.variants || "").split(",").filter((name) => name && exists(name));
  const select = (names, how) => setOptions({ variants: [...new Set(names)].join(",") }, how);
  function toggle(name) {
    const names = selected();
    select(names.includes(name) ? names.filter((one) => one !== name) : [...names, name]);
  }

  /* Which variants a comparison takes: the selected ones, or, where a section takes many, all that are shown,
   * if that is asked for or too few are selected. */
  const whole = () => home("bar").dataset.whole.split(" ");
  function cohort(section, least = 1) {
    const names = selected();
    if (!whole().includes(section) || (names.length >= least && option("of") !== "shown")) return names;
    return shown || [];
  }

  /* --- the table --- */
  async function load() {
    if (loading) return loading;
    loading = (async () => {
      try {
        const early = window.tdwTable;
        window.tdwTable = null;
        const answer = await (early || tdw.fetch("/_compare/table"));
        answer.at = new Map(answer.names.map((name, row) => [name, row]));
        answer.metric = new Map(answer.metrics.map((metric) => [metric.name, metric]));
        table = answer;
        if (shown !== null) shown = shown.filter(exists); // the rows follow
        emit("table");
        unknown();
        paint();
      } catch (error) {
        if (table === null) tdw.emit("compare-failed", error.message);
      } finally {
        loading = null;
      }
    })();
    return loading;
  }
  /* Said once, and not before the page knows its variant: that clears the messages. */
  let told = "";
  function unknown() {
    if (table === null || !tdw.selection.known() || !isHere()) return;
    const lost = (options.variants || "").split(",").filter((name) => name && !table.at.has(name));
    if (lost.join() === told) return;
    told = lost.join();
    if (lost.length) tdw.notices.show("warning", `Not in this workspace: ${lost.join(", ")}. The other variants of this address are selected.`);
  }
  async function beat() {
    clearTimeout(timer);
    if (!isHere()) return;
    timer = setTimeout(beat, EVERY);
    if (document.hidden || table === null) return;
    try {
      const { token } = await tdw.fetch("/_compare/pulse");
      if (token !== table.token) await load();
    } catch (error) {
      /* the next figure or click will say that the server is gone */
    }
  }
  function setShown(names) {
    if (shown !== null && shown.length === names.length && shown.every((name, i) => name === names[i])) return;
    shown = names;
    emit("shown");
    paint();
  }
  const training = () => new Set(tdw.work.active().filter((job) => job.kind === TRAINING).flatMap((job) => job.variants));

  /* --- colours: the server's, for the table and the panels side by side --- */
  const known = new Map();
  /* Those that are compared: the selected ones, or all that are shown unless they are too many to tell apart. */
  function painted() {
    const names = selected();
    return names.length || shown === null || shown.length > MOST_PAINTED ? names : shown;
  }
  async function paint() {
    if (table === null) return;
    const asked = { variants: painted(), color: option("color", "variant"), theme: tdw.theme.current() };
    const key = JSON.stringify(asked);
    if (key === colours.key) return;
    colours = Object.assign({}, colours, { key });
    try {
      const answer = asked.variants.length ? known.get(key) || (await tdw.post("/_compare/colours", asked)) : { colours: {}, groups: {} };
      known.set(key, answer);
      if (colours.key !== key) return;
      colours = { key, of: answer.colours, groups: answer.groups };
      emit("colours");
    } catch (error) {
      if (colours.key !== key) return;
      colours = { key, of: {}, groups: {} };
      tdw.notices.show("warning", error.message);
      if (asked.color !== "variant") setOptions({ color: null }, "replace");
    }
  }

  /* --- the page --- */
  function read() {
    if (!isHere()) return;
    const before = options;
    options = Object.assign({}, tdw.selection.get().options);
    const changed = new Set([...Object.keys(before), ...Object.keys(options)].filter((name) => before[name] !== options[name]));
    if (!changed.size) return;
    if (changed.has("variants")) changed.add("selected");
    tdw.emit("compare", changed);
    if (changed.has("variants") || changed.has("color")) paint();
  }
  function show() {
    tdw.startup.grid();
    read();
    paint();
    if (table === null) load();
    else beat();
    emit("appeared");
    clearTimeout(timer);
    timer = setTimeout(beat, EVERY);
  }
  function hide() {
    clearTimeout(timer);
  }

  tdw.on("boot", () => tdw.pages.define("compare", { show, hide }));
  tdw.on("selection", read);
  tdw.on("info", unknown);
  tdw.on("theme", () => isHere() && paint());
  document.addEventListener("visibilitychange", beat);

  tdw.compare = {
    home, isHere, option, options: () => options, setOptions, selected, select, toggle, cohort, load, beat, setShown, training,
    shown: () => shown, table: () => table, colour: (name) => colours.of[name] || null, group: (name) => colours.groups[name] || name,
  };
})((window.tdw = window.tdw || {}));
