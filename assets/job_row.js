/* One job as a row of a list: its state, how far it is, what it says, and what can be done with it. */
(function (tdw) {
  "use strict";
  const { setText, setAttribute } = tdw.words;
  const STATES = {
    queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "cancelled", interrupted: "interrupted",
  };

  const stateOf = (job) => (job.active && job.cancelling ? "stopping" : job.state === "done" && failures(job) ? "done, with failures" : STATES[job.state]);
  const failures = (job) => job.result.failures || (job.result.failed || []).length || 0;
  const kindOf = (job) => (job.active ? "active" : job.state === "done" ? (failures(job) ? "warn" : "good") : job.state === "cancelled" ? "quiet" : "bad");

  function badge(job, node) {
    setText(node, stateOf(job));
    setAttribute(node, "class", "state is-" + kindOf(job));
  }

  /* "1,200 epochs/s · 2 min 10 s left" */
  function pace(job) {
    const { epochs_per_second: speed } = job.result;
    const parts = [];
    if (speed) parts.push(`${tdw.format(Math.round(speed))} epochs/s`);
    if (job.seconds_left !== null && job.seconds_left !== undefined) parts.push(`${tdw.words.duration(job.seconds_left)} left`);
    if (job.seconds !== null) parts.push(`running for ${tdw.words.duration(job.seconds)}`);
    return parts.join(" · ");
  }
  function ownerOf(job) {
    if (!job.owner) return "waiting for a worker";
    const age = job.silent === null ? "" : `, last sign of life ${job.silent < 2 ? "just now" : tdw.words.duration(job.silent) + " ago"}`;
    return `process ${job.owner.pid} on ${job.owner.host}${age}`;
  }
  function ended(job) {
    const took = job.seconds === null ? "" : `, ${tdw.words.duration(job.seconds)}`;
    return `${tdw.words.when(job.finished || job.created)}${took}${job.attempt > 1 ? `, attempt ${job.attempt}` : ""}`;
  }

  /* The buttons that make sense for a job now; done work that lacks something can be run again. */
  function actions(job) {
    if (job.active) return job.cancelling ? [] : [["cancel", "Cancel"]];
    const made = [];
    if (["cancelled", "interrupted"].includes(job.state)) made.push(["resume", "Resume"]);
    if (job.state === "failed") made.push(["resume", "Retry"]);
    if (job.state === "done" && failures(job)) made.push(["again", "Run again"]);
    return [...made, ["forget", "Forget"]];
  }
  async function act(job, what) {
    if (what === "again") {
      try {
        const { order } = await tdw.forms.question(tdw.fetch("/_jobs/" + job.id));
        const ticket = await tdw.jobs.order(order);
        tdw.router.go("jobs", { job: ticket.job });
      } catch (error) {
        tdw.notices.show("error", error.message);
      }
      return;
    }
    await tdw.work.act(job.id, what);
    tdw.emit("jobs changed", job, what);
  }
  /* Buttons are only made anew when they change, so that the focus stays. */
  function showActions(home, job, primary) {
    const wanted = actions(job);
    const key = wanted.map(([what]) => what).join(" ");
    if (home.dataset.actions === key) return;
    home.dataset.actions = key;
    home.replaceChildren(...wanted.map(([what, label]) => tdw.el("button", {
      type: "button", class: "button is-small" + (primary && what === "resume" ? " is-primary" : ""), "data-act": what, "aria-label": `${label}: ${job.title}`,
      onclick: (event) => {
        event.currentTarget.disabled = true;
        act(job, what).finally(() => (home.dataset.actions = ""));
      },
    }, label)));
  }

  function bar(job, node) {
    node.max = Math.max(1, job.total);
    node.value = job.done;
    setAttribute(node, "aria-valuetext", job.total ? `${Math.floor((100 * job.done) / job.total)} percent` : "waiting");
  }

  /* {el, update}: a row; `opened()` says which job is open. */
  function row(job, opened) {
    const link = tdw.el("a", { class: "job-title", href: "/jobs?job=" + job.id, onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
      event.preventDefault();
      tdw.router.go("jobs", { job: job.id });
    } }, job.title);
    const state = tdw.el("span", {});
    const progress = tdw.el("progress", { "aria-label": "Progress of " + job.title });
    const percent = tdw.el("span", { class: "job-percent" });
    const says = tdw.el("p", { class: "job-says" });
    const meta = tdw.el("p", { class: "job-meta" });
    const owner = tdw.el("p", { class: "job-meta" });
    const buttons = tdw.el("div", { class: "job-buttons" });
    const running = tdw.el("div", { class: "job-running" }, progress, percent);
    const el = tdw.el("li", { class: "job-row", "data-job": job.id }, tdw.el("div", { class: "job-head" }, link, state), running, says, meta, owner, buttons);
    function update(now) {
      badge(now, state);
      el.dataset.state = now.state;
      running.hidden = owner.hidden = !now.active;
      bar(now, progress);
      setText(percent, now.total ? `${Math.floor((100 * now.done) / now.total)} %` : "");
      setText(says, now.message);
      setText(meta, now.active ? pace(now) : ended(now));
      setAttribute(meta, "title", now.active ? null : `begun ${tdw.words.exactly(now.created)}`);
      setText(owner, ownerOf(now));
      setAttribute(link, "aria-current", opened() === now.id ? "true" : null);
      showActions(buttons, now, false);
    }
    return { el, update };
  }

  tdw.jobRow = { row, badge, pace, ownerOf, ended, showActions, bar, failures };
})((window.tdw = window.tdw || {}));
