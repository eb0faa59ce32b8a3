/* The head of Explore: the run's name, its classification with the reason, and its numbers as cards. */
(function (tdw) {
  "use strict";
  const VERDICTS = {
    turned: "grokked", unfinished: "turning at the end", "at once": "learned at once", never: "never grokked",
    unknown: "too few evaluations", "no history": "no loss history",
  };
  const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1).replace(/\.+$/, "") + "." : "");

  const isGood = (label) => /^grokked( late)?$/.test(label);

  function heading(info, about) {
    if (info.error) return [tdw.el("h1", {}, "No variant"), tdw.el("p", { class: "masthead-line" }, "Choose one in the sidebar.")];
    const label = (about && about.classification) || VERDICTS[info.verdict] || info.verdict;
    const badge = tdw.el("span", { class: "badge" + (isGood(label) ? " is-good" : "") }, label);
    const { epochs } = info;
    const saved = epochs.length ? `${epochs.length} checkpoints from epoch ${tdw.format(epochs[0])} to ${tdw.format(epochs[epochs.length - 1])}.`
      : "Only the history of this run was kept; views that need checkpoints say so.";
    return [
      tdw.el("div", { class: "masthead-title" }, tdw.el("h1", {}, info.variant), badge, about && about.rules.length ? why(about) : null),
      tdw.el("p", { class: "masthead-line" }, saved + " " + sentence(info.reason)),
      tdw.el("dl", { class: "run-cards" + (about ? "" : " is-waiting") }, ...(about ? about.cards.map(card) : [])),
    ];
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
  function card({ label, value, note, meaning }) {
    return tdw.el("div", { class: "run-card", title: meaning }, tdw.el("dt", {}, label), tdw.el("dd", {}, tdw.el("b", {}, value), note ? tdw.el("span", {}, note) : null));
  }

  function show() {
    const info = tdw.selection.info();
    if (!info) return;
    document.getElementById("masthead").replaceChildren(...heading(info, tdw.about.of()));
    document.documentElement.dataset.variant = info.error ? "unknown" : "known";
    document.title = (info.error ? "" : info.variant + " · ") + "Training Dynamics Workbench";
    document.getElementById("status").textContent = info.error ? "" : "Showing " + info.variant;
  }

  tdw.on("info", show);
  tdw.on("about", show);
})((window.tdw = window.tdw || {}));
