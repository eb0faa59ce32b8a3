/* Starting long work through Dash, and the sidebar's part about the run that is shown: what it lacks, the job that
 * computes it (whichever tab or terminal began it), how far that is, and how it ended. */
(function (tdw) {
  "use strict";
  const PAGE = Math.random().toString(36).slice(2) + Date.now().toString(36);
  const PATIENCE = 60000;
  let ready = false;
  let begun = null;
  const there = new Promise((resolve) => (begun = resolve)); // Dash's scripts, which come last
  let last = there; // dash answers one request of a store at a time, the newest
  let answered = null;
  const own = new Set(); // jobs that this page has started

  /* Begin an order (dashboard/work/orders.py); resolves to its ticket, rejects with the reason of a refusal. */
  function order(asked) {
    const ticket = last.then(() => send(asked));
    last = ticket.catch(() => {});
    return ticket;
  }
  function send(asked) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("The server did not answer. Is it still running?")), PATIENCE);
      answered = (ticket) => {
        clearTimeout(late);
        if (ticket.error) return reject(new Error(ticket.error));
        own.add(ticket.job);
        tdw.work.follow(ticket.job);
        return resolve(ticket);
      };
      window.dash_clientside.set_props("work", { data: { order: asked, page: PAGE, at: performance.now() } });
    });
  }
  function begin() {
    ready = true;
    begun();
    tdw.emit("jobs");
  }
  function started(ticket) {
    if (ticket && answered) answered(ticket);
  }

  /* The analysis of the run that is shown; `analyzers`: only these, [] is everything that is missing. */
  function analyze(analyzers) {
    const { variant, epoch } = tdw.selection.get();
    if (!tdw.selection.known() || current()) return;
    document.getElementById("analyze").disabled = true;
    order({ kind: "analyze", variants: [variant], analyzers: analyzers.length ? [...analyzers].sort() : null, first: epoch === null ? [] : [epoch] })
      .catch((error) => tdw.notices.show("error", error.message))
      .finally(status);
  }

  /* The job that analyses the run that is shown, if any. */
  const current = () => tdw.work.active().find((job) => job.kind === "analyze" && !job.cancelling && job.variants.includes(tdw.selection.get().variant)) || null;

  function build() {
    document.getElementById("analysis").replaceChildren(
      tdw.el("div", { class: "control-label" }, "Analysis"),
      tdw.el("div", { id: "artifact-status", class: "artifact-status" }),
      tdw.el("div", { id: "job", class: "job" },
        tdw.el("button", { id: "analyze", type: "button", class: "button is-primary", disabled: true, "data-action": "analyze" }, "Analyze"),
        tdw.el("div", { class: "job-progress" },
          tdw.el("progress", { id: "job-bar", value: 0, max: 1, "aria-label": "Progress of the analysis" }),
          tdw.el("button", { id: "cancel", type: "button", class: "button", onclick: cancel }, "Cancel"),
          tdw.el("div", { id: "job-text", class: "job-text" }))));
  }

  function cancel() {
    const job = current();
    if (!job) return;
    tdw.work.act(job.id, "cancel");
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

  /* {value, max, text} of the running analysis, null if there is none */
  function progress() {
    const job = current();
    return job && { value: job.done, max: Math.max(1, job.total), text: job.message };
  }

  function show() {
    const now = progress();
    document.getElementById("job").classList.toggle("is-running", now !== null);
    if (now) {
      Object.assign(document.getElementById("job-bar"), { max: now.max, value: now.value });
      document.getElementById("job-text").textContent = now.text;
    }
    const count = tdw.work.active().length;
    const badge = document.getElementById("jobs-running");
    badge.hidden = count === 0;
    badge.textContent = count;
    badge.title = `${count} running`;
    tdw.emit("progress", now);
  }

  const KINDS = { done: "info", failed: "error", interrupted: "error", cancelled: "info" };
  tdw.on("ended", (job) => {
    const here = job.variants.includes(tdw.selection.get().variant);
    const named = job.variants.some((name) => job.message.startsWith(name));
    if (own.delete(job.id) || here) tdw.notices.show(job.result && job.result.failures ? "warning" : KINDS[job.state] || "info", named ? job.message : `${job.title}: ${job.message}`);
    if (here || job.kind !== "analyze") tdw.selection.refresh();
    show();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-action]");
    if (!button) return;
    if (button.dataset.action === "retry") tdw.panels.retry(button.closest(".panel"));
    if (button.dataset.action === "analyze") analyze((button.dataset.analyzers || "").split(" ").filter(Boolean));
  });
  tdw.on("boot", build);
  tdw.on("work", show);
  tdw.on("about", () => {
    status();
    show();
  });
  tdw.on("info", status);

  const nothing = (act) => (...given) => {
    act(...given);
    return window.dash_clientside.no_update;
  };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tdw: { ready: nothing(begin), started: nothing(started) },
  });
  tdw.jobs = { ready: () => ready, order, progress };
})((window.tdw = window.tdw || {}));
