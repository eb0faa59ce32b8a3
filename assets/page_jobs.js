/* The Jobs page: what runs, what ran, and one job opened beside them (/jobs?job=ID). Told anew every second while
 * something is active, in place: nothing flickers, scroll and focus stay. */
(function (tdw) {
  "use strict";
  const EVERY = 1000;
  const RESTS = 4000;
  const FIRST = 40;
  const FILTERS = { all: () => true, unfinished: (job) => ["failed", "cancelled", "interrupted"].includes(job.state) || tdw.jobRow.failures(job) > 0 };
  const rows = { active: new Map(), history: new Map() };
  let jobs = [];
  let filter = "all";
  let most = FIRST;
  let timer = 0;
  let isShown = false;
  let opened = null;

  const byId = (id) => document.getElementById(id);

  function list() {
    const active = jobs.filter((job) => job.active).reverse();
    const ended = jobs.filter((job) => !job.active && FILTERS[filter](job));
    const make = (job) => tdw.jobRow.row(job, () => opened);
    tdw.words.reconcile(byId("jobs-active"), rows.active, active, (job) => job.id, make);
    tdw.words.reconcile(byId("jobs-history"), rows.history, ended.slice(0, most), (job) => job.id, make);
    byId("jobs-idle").hidden = active.length > 0;
    byId("jobs-now").hidden = jobs.length === 0;
    byId("jobs-empty").hidden = jobs.length > 0;
    byId("jobs-past").hidden = !jobs.some((job) => !job.active);
    byId("jobs-none").hidden = ended.length > 0;
    byId("jobs-more").hidden = ended.length <= most;
  }

  async function look() {
    clearTimeout(timer);
    if (!isShown) return;
    if (!document.hidden) {
      try {
        jobs = await tdw.fetch("/_jobs");
        list();
        if (opened) await tdw.jobDetail.load(opened);
      } catch (error) {
        /* the next look, or a click, says that the server is gone */
      }
    }
    clearTimeout(timer);
    if (isShown) timer = setTimeout(look, jobs.some((job) => job.active) ? EVERY : RESTS);
  }

  function open() {
    const wanted = tdw.selection.get().options.job || null;
    if (wanted === opened) return;
    opened = wanted;
    byId("page-jobs").classList.toggle("has-job", opened !== null);
    tdw.jobDetail.clear();
    list();
    if (opened) tdw.jobDetail.load(opened).then(() => isShown && tdw.jobDetail.focus());
  }

  function build() {
    document.querySelectorAll("[data-jobs-filter]").forEach((button) => button.addEventListener("click", () => {
      filter = button.dataset.jobsFilter;
      document.querySelectorAll("[data-jobs-filter]").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      list();
    }));
    byId("jobs-more").addEventListener("click", () => {
      most += FIRST;
      list();
    });
  }

  tdw.on("boot", build);
  tdw.on("selection", (state, changed) => {
    if (isShown && state.page === "jobs" && changed.has("options")) open();
  });
  tdw.on("ended", look);
  tdw.on("work", (active) => {
    if (isShown && active.some((job) => !rows.active.has(job.id))) look();
  });
  tdw.on("jobs changed", (job, what) => {
    if (what === "forget" && opened === job.id) tdw.selection.setOption("job", null);
    look();
  });
  document.addEventListener("visibilitychange", look);
  tdw.on("boot", () => tdw.pages.define("jobs", {
    show() {
      isShown = true;
      opened = undefined;
      open();
      look();
    },
    hide() {
      isShown = false;
      clearTimeout(timer);
    },
  }));
})((window.tdw = window.tdw || {}));
