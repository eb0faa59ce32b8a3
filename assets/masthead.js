/* The head of Explore: the run's name, its classification with the reason, and its numbers as cards. */
(function (tdw) {
  "use strict";
  const VERDICTS = {
    turned: "grokked", unfinished: "turning at the end", "at once": "learned at once", never: "never grokked",
    unknown: "too few evaluations", "no history": "no loss history",
  };
  const CARDS = 12;
  const LONG = 14; // letters that a card shows in its large type
  const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1).replace(/\.+$/, "") + "." : "");

  const isGood = (label) => /^grokked( late)?$/.test(label);

  function heading(info, about) {
    if (info.error) return [tdw.el("h1", {}, "No variant"), tdw.el("p", { class: "masthead-line" }, "Choose one in the sidebar.")];
    const label = (about && about.classification) || VERDICTS[info.verdict] || info.verdict;
    const badge = tdw.el("span", { class: "badge" + (isGood(label) ? " is-good" : "") }, label);
    const { epochs } = info;
    const saved = epochs.length ? `${epochs.length} checkpoints from epoch ${tdw.format(epochs[0])} to ${tdw.format(epochs[epochs.length - 1])}.`
      : info.measured ? `${info.measured} checkpoints were measured, then removed; what was found on them is kept.`
        : "Only the history of this run was kept; views that need checkpoints say so.";
    return [
      tdw.el("div", { class: "masthead-title" }, tdw.el("h1", {}, info.variant), badge, about && about.rules.length ? why(about) : null),
      tdw.el("p", { class: "masthead-line" }, saved + " " + sentence(info.reason)),
      offer(info, about),
      about ? tdw.el("dl", { class: "run-cards" }, ...about.cards.map(card)) : waiting(),
    ].filter(Boolean);
  }

  /* What is not computed yet, where nobody can miss it: the button, then the progress in its place. */
  function offer(info, about) {
    if (!about || !about.missing.length || !info.epochs.length) return null;
    const stale = about.stale.length > 0;
    const text = stale ? `${about.stale.length} results are out of date.` : about.missing.length === about.analyzers ? "This run is not analysed yet; its losses are below." : `${about.missing.length} of ${about.analyzers} results are not computed yet.`;
    return tdw.el("div", { class: "offer" },
      tdw.el("p", { class: "offer-text" }, tdw.el("span", { class: "dot is-missing" }), text), tdw.el("button", { type: "button", class: "button is-primary", "data-action": "analyze" }, stale ? "Compute again" : "Analyze this run"),
      tdw.el("div", { class: "offer-progress", hidden: true }, tdw.el("progress", { "aria-label": "Progress of the analysis of this run" }), tdw.el("span", {})));
  }
  function showProgress() {
    const home = document.querySelector(".offer");
    const now = tdw.jobs.progress();
    document.documentElement.classList.toggle("is-analysing", now !== null);
    if (!home) return;
    for (const one of home.querySelectorAll("button, .offer-text")) one.hidden = now !== null;
    home.querySelector(".offer-progress").hidden = now === null;
    if (now === null) return;
    Object.assign(home.querySelector("progress"), { max: now.max, value: now.value });
    home.querySelector(".offer-progress span").textContent = "Analysing, views fill as results arrive. " + now.text;
  }

  /* The rules of the classification, those that decided first. */
  function why(about) {
    const row = (rule) => tdw.el("tr", { class: rule.decided ? "is-decisive" : null }, tdw.el("th", { scope: "row" }, rule.name),
      tdw.el("td", {}, rule.answer), tdw.el("td", {}, rule.value === null ? "" : Number(rule.value.toPrecision(3)).toLocaleString("en-US")), tdw.el("td", {}, rule.says));
    const rules = [...about.rules].sort((a, b) => Number(b.decided) - Number(a.decided));
    return tdw.el("details", { class: "pops why" }, tdw.el("summary", { class: "chip" }, "why"),
      tdw.el("div", { class: "popped why-rules" }, tdw.el("table", {}, tdw.el("caption", {}, `Classified as “${about.classification}”; the rules in bold decided.`),
        tdw.el("thead", {}, tdw.el("tr", {}, ...["rule", "answer", "value", "what is compared"].map((name) => tdw.el("th", { scope: "col" }, name)))),
        tdw.el("tbody", {}, ...rules.map(row)))));
  }
  /* Until the numbers are there, their places: nothing moves when they come. */
  const waiting = () => tdw.el("div", { class: "run-cards is-waiting", role: "status", "aria-label": "The numbers of this run are on their way" },
    ...Array.from({ length: CARDS }, () => tdw.el("div", { class: "run-card" }, tdw.el("i", {}), tdw.el("i", {}), tdw.el("i", {}))));
  function card({ label, value, note, meaning }) {
    return tdw.el("div", { class: "run-card", title: meaning }, tdw.el("dt", {}, label), tdw.el("dd", {}, tdw.el("b", { class: value.length > LONG ? "is-long" : null }, value), note ? tdw.el("span", {}, note) : null));
  }

  function show() {
    const info = tdw.selection.info();
    if (!info) return;
    document.getElementById("masthead").replaceChildren(...heading(info, tdw.about.of()));
    showProgress();
    document.documentElement.dataset.variant = info.error ? "unknown" : "known";
    document.title = (info.error ? "" : info.variant + " · ") + "Training Dynamics Workbench";
    document.getElementById("status").textContent = info.error ? "" : "Showing " + info.variant;
  }

  tdw.on("info", show);
  tdw.on("about", show);
  tdw.on("progress", showProgress);
})((window.tdw = window.tdw || {}));
