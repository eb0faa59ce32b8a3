/* One job opened: what it was asked for, how far it is, its losses, its log, and what it could not do. */
(function (tdw) {
  "use strict";
  const LINKS = 24;
  let parts = null;
  let shown = null; // the job that the parts are made for
  let token = "";
  let variants = "";

  const home = () => document.getElementById("job-detail");
  const section = (title, ...children) => tdw.el("section", { class: "job-part", "aria-label": title }, tdw.el("h3", {}, title), ...children);

  function build(job) {
    const state = tdw.el("span", {});
    const close = tdw.el("a", { href: "/jobs", class: "button is-small", onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      tdw.selection.setOption("job", null);
    } }, "Close");
    const progress = tdw.el("progress", { "aria-label": "Progress of this job" });
    const says = tdw.el("p", { class: "job-says", role: "status" });
    const meta = tdw.el("p", { class: "job-meta" });
    const owner = tdw.el("p", { class: "job-meta" });
    const buttons = tdw.el("div", { class: "job-buttons" });
    const plot = tdw.el("div", { class: "job-plot" });
    const losses = section("Losses", tdw.el("div", { class: "job-legend" }), plot);
    const words = tdw.el("dl", { class: "job-words" });
    const links = tdw.el("p", { class: "job-links" });
    const commands = tdw.el("div", { class: "job-commands" });
    const failed = section("Could not be done", tdw.el("div", { class: "job-failures", tabindex: 0, role: "group", "aria-label": "Failures" }));
    const log = tdw.el("pre", { class: "job-log", tabindex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
    const copy = tdw.el("button", { type: "button", class: "button is-small", "aria-label": "Copy the log", onclick: () => tdw.words.copy(log.textContent, copy) }, "Copy");
    home().replaceChildren(
      tdw.el("header", { class: "job-detail-head" }, tdw.el("h2", { tabindex: -1 }, job.title), state, close),
      progress, says, meta, owner, buttons, losses,
      section("Variants", links), section("What it was asked for", words), section("The same on the command line", commands), failed,
      section("Log", log, copy));
    parts = { state, progress, says, meta, owner, buttons, plot, losses, words, links, commands, failed, log };
    shown = job.id;
    token = variants = "";
    parts.words.replaceChildren(...job.words.map(([label, value]) => tdw.el("div", {}, tdw.el("dt", {}, label), tdw.el("dd", {}, value))));
    showCommands(job.commands);
  }

  function showCommands(commands) {
    if (!commands.length) {
      parts.commands.replaceChildren(tdw.el("p", { class: "job-meta" }, "The command line has no single command for this order."));
      return;
    }
    const text = commands.join("\n");
    const copy = tdw.el("button", { type: "button", class: "button is-small", "aria-label": "Copy the command", onclick: () => tdw.words.copy(text, copy) }, "Copy");
    parts.commands.replaceChildren(tdw.el("pre", { class: "job-command", tabindex: 0, role: "group", "aria-label": "Command" }, text), copy);
  }

  function showVariants(job) {
    const key = job.variants.join() + "/" + job.there.join();
    if (key === variants) return;
    variants = key;
    const there = new Set(job.there);
    const made = job.variants.slice(0, LINKS).map((name) => (there.has(name) ? tdw.words.variantLink(name) : tdw.el("span", { class: "is-absent", title: "not there (yet)" }, name)));
    if (job.variants.length > LINKS) made.push(tdw.el("span", {}, `and ${job.variants.length - LINKS} more`));
    if (job.there.length > 1) made.push(tdw.words.pageLink("compare", { variants: job.there.slice(0, 50).join(",") }, "Compare them"));
    parts.links.replaceChildren(...made);
  }

  function showLosses(losses) {
    const lines = [{ name: "train", kind: "train", y: losses.train }, { name: "test", kind: "test", y: losses.test }];
    parts.losses.hidden = losses.epoch.length < 2;
    if (parts.losses.hidden) return;
    const last = losses.epoch.length - 1;
    parts.losses.querySelector(".job-legend").replaceChildren(tdw.miniplot.legend(lines));
    tdw.miniplot.draw(parts.plot, {
      x: losses.epoch, lines, logY: true, xTitle: "epoch", yTitle: "loss (nats)",
      label: `Losses up to epoch ${tdw.format(losses.epoch[last])}: train ${tdw.words.number(losses.train[last])}, test ${tdw.words.number(losses.test[last])}`,
    });
  }

  /* The log follows its end, unless somebody has scrolled up to read. */
  function showLog(text) {
    const { log } = parts;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    tdw.words.setText(log, text || "Nothing yet.");
    if (follows) log.scrollTop = log.scrollHeight;
  }

  function showFailures(job) {
    const rows = (job.result.failed_results || []).map((one) => [one.variant, one.analyzer.replaceAll("_", " ") + (one.epoch === null ? "" : `, epoch ${tdw.format(one.epoch)}`), one.cause]);
    for (const one of job.result.failed || []) rows.push([one.split(":")[0], "", one.slice(one.indexOf(":") + 1).trim()]);
    parts.failed.hidden = rows.length === 0;
    const more = (job.result.failures || 0) - (job.result.failed_results || []).length;
    const table = tdw.el("table", {}, tdw.el("thead", {}, tdw.el("tr", {}, ...["variant", "result", "cause"].map((name) => tdw.el("th", { scope: "col" }, name)))),
      tdw.el("tbody", {}, ...rows.map((row) => tdw.el("tr", {}, ...row.map((text) => tdw.el("td", {}, text))))));
    parts.failed.querySelector(".job-failures").replaceChildren(table, more > 0 ? tdw.el("p", {}, `${more} more are in the log.`) : "");
  }

  function show(job) {
    if (shown !== job.id) build(job);
    tdw.jobRow.badge(job, parts.state);
    tdw.jobRow.bar(job, parts.progress);
    parts.progress.hidden = parts.owner.hidden = !job.active;
    tdw.words.setText(parts.says, job.message);
    tdw.words.setText(parts.meta, job.active ? tdw.jobRow.pace(job) : tdw.jobRow.ended(job));
    tdw.words.setText(parts.owner, tdw.jobRow.ownerOf(job));
    tdw.jobRow.showActions(parts.buttons, job, true);
    showVariants(job);
    if (job.log !== undefined) {
      showLosses(job.losses);
      showLog(job.log);
    }
    showFailures(job);
    token = job.token;
  }

  /* Ask for the job and show it; answers with the job, or null if it cannot be shown. */
  async function load(ident) {
    const path = "/_jobs/" + encodeURIComponent(ident) + (shown === ident && token ? "?seen=" + token : "");
    try {
      const job = await tdw.forms.question(tdw.fetch(path));
      if (tdw.selection.get().options.job !== ident) return null;
      show(job);
      return job;
    } catch (error) {
      if (tdw.selection.get().options.job !== ident) return null;
      clear();
      home().replaceChildren(tdw.el("p", { class: "page-empty" }, error.message));
      return null;
    }
  }
  function clear() {
    if (parts) tdw.miniplot.forget(parts.plot);
    parts = shown = null;
    home().replaceChildren();
  }
  const focus = () => home().querySelector("h2") && home().querySelector("h2").focus({ preventScroll: true });

  tdw.jobDetail = { load, clear, focus };
})((window.tdw = window.tdw || {}));
