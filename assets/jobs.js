/* Analysis: what is missing, starting a job, its progress, joining one that another tab began. */
(function (tdw) {
  "use strict";
  const PAGE = Math.random().toString(36).slice(2) + Date.now().toString(36);
  let ready = false;
  const unsent = []; // asked for before Dash was there
  let cancelled = false;
  let reported = 0;
  const looked = new Set(); // variants whose running jobs this page has asked about

  const isRunning = () => ready && document.getElementById("job").classList.contains("is-running");

  function send(id, props) {
    if (ready) window.dash_clientside.set_props(id, props);
    else unsent.push([id, props]);
  }
  function begin() {
    ready = true;
    for (const [id, props] of unsent.splice(0)) send(id, props);
    tdw.emit("jobs");
  }

  /* `analyzers`: only these, for what is too slow to be run unasked; [] is everything that is missing. */
  function start(analyzers) {
    const { variant } = tdw.selection.get();
    if (!tdw.selection.known() || isRunning()) return;
    send("work", { data: { variant, analyzers, page: PAGE, at: Date.now() } });
  }

  function status() {
    const info = tdw.selection.info();
    const home = document.getElementById("artifact-status");
    const about = tdw.about.of();
    if (!home || !info || (!about && !info.error)) return;
    const button = document.getElementById("analyze");
    const usable = !info.error && info.epochs.length > 0;
    button.disabled = !usable;
    const missing = about ? about.missing : [];
    button.textContent = missing.length ? "Analyze" : "Check again";
    button.classList.toggle("is-primary", missing.length > 0);
    if (info.error) return home.replaceChildren();
    const names = missing.map((name) => name.replaceAll("_", " "));
    const listed = names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
    const word = about.stale.length ? "Out of date or not computed yet" : "Not computed yet";
    const text = !usable ? "No checkpoints: nothing to compute from." : missing.length ? `${word}: ${listed}.` : "All results are up to date.";
    home.replaceChildren(tdw.el("p", { title: names.join(", ") }, tdw.el("span", { class: "dot " + (missing.length ? "is-missing" : "is-good") }), text));
  }

  /* A job that another tab, or this page before it was loaded again, has begun: show its progress here too.
   * Only when a variant is first seen: a later look could begin again what was just cancelled. */
  function join() {
    const about = tdw.about.of();
    if (!ready || !about || looked.has(about.variant)) return;
    looked.add(about.variant);
    if (about.running.length && !isRunning()) start(about.running[0]);
  }

  /* {value, max, text} of the running analysis, null if there is none */
  function progress() {
    if (!isRunning()) return null;
    const bar = document.getElementById("job-bar");
    return { value: bar.value, max: bar.max, text: document.getElementById("job-text").textContent };
  }

  /* A job that dies leaves no result; dash then only returns to idle. Say so. */
  function follow() {
    const job = document.getElementById("job");
    let running = false;
    new MutationObserver(() => tdw.emit("progress", progress())).observe(job, { attributes: true, childList: true, characterData: true, subtree: true });
    new MutationObserver(() => {
      const now = isRunning();
      if (running && !now) {
        const before = reported;
        setTimeout(() => {
          if (reported === before && !cancelled) tdw.notices.show("error", "The analysis stopped without a result: it was cancelled in another tab, or its process died. What it had finished is kept; start it again to continue.");
          if (reported === before) tdw.selection.refresh();
          cancelled = false;
        }, 1500);
      }
      running = now;
    }).observe(job, { attributes: true, attributeFilter: ["class"] });
    document.getElementById("cancel").addEventListener("click", () => {
      cancelled = true;
      tdw.notices.show("info", "Analysis cancelled. What it had finished is kept.");
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-action]");
    if (!button) return;
    if (button.dataset.action === "retry") tdw.panels.retry(button.closest(".panel"));
    if (button.dataset.action === "analyze") start((button.dataset.analyzers || "").split(" ").filter(Boolean));
  });
  tdw.on("jobs", () => {
    follow();
    status();
    join();
  });
  tdw.on("job", (result) => {
    if (!result) return;
    reported += 1;
    tdw.notices.show(result.kind, result.text);
    tdw.selection.refresh();
  });
  tdw.on("about", () => {
    status();
    join();
  });
  tdw.on("info", status);

  const nothing = (act) => (...given) => {
    act(...given);
    return window.dash_clientside.no_update;
  };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tdw: { ready: nothing(begin), finished: nothing((result) => tdw.emit("job", result)) },
  });
  tdw.jobs = { ready: () => ready, start, progress };
})((window.tdw = window.tdw || {}));
