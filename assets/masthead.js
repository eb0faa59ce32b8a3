/* The head of Explore: the run's name, its classification with the reason, and its numbers as cards. */
(function (tdw) {
  "use strict";
  const VERDICTS = {
    turned: "grokked", unfinished: "turning at the end", "at once": "learned at once", never: "never grokked",
    unknown: "too few evaluations", "no history": "no loss history",
  };
  const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1).replace(/\.+$/, "") + "." : "");

  function heading(info) {
    if (info.error) return [tdw.el("h1", {}, "No variant"), tdw.el("p", { class: "masthead-line" }, "Choose one in the sidebar.")];
    const badge = tdw.el("span", { class: "badge is-" + info.verdict.replaceAll(" ", "-") }, VERDICTS[info.verdict] || info.verdict);
    const { epochs } = info;
    const saved = epochs.length ? `${epochs.length} checkpoints from epoch ${tdw.format(epochs[0])} to ${tdw.format(epochs[epochs.length - 1])}.`
      : "Only the history of this run was kept; views that need checkpoints say so.";
    return [
      tdw.el("div", { class: "masthead-title" }, tdw.el("h1", {}, info.variant), badge),
      tdw.el("p", { class: "masthead-line" }, saved + " " + sentence(info.reason)),
      tdw.el("dl", { class: "run-cards" }, ...info.cards.map(card)),
    ];
  }
  function card({ label, value, note, meaning }) {
    return tdw.el("div", { class: "run-card", title: meaning }, tdw.el("dt", {}, label), tdw.el("dd", {}, tdw.el("b", {}, value), note ? tdw.el("span", {}, note) : null));
  }

  function facts(info) {
    if (info.error) return [];
    return [tdw.el("dl", {}, ...info.facts.map(([label, value]) => tdw.el("div", {}, tdw.el("dt", {}, label), tdw.el("dd", {}, value))))];
  }

  function show() {
    const info = tdw.selection.info();
    if (!info) return;
    document.getElementById("masthead").replaceChildren(...heading(info));
    const home = document.getElementById("variant-facts");
    if (home) home.replaceChildren(...facts(info));
    document.documentElement.dataset.variant = info.error ? "unknown" : "known";
    document.title = (info.error ? "" : info.variant + " · ") + "Training Dynamics Workbench";
    document.getElementById("status").textContent = info.error ? "" : "Showing " + info.variant;
  }

  tdw.on("info", show);
  tdw.on("controls", show);
})((window.tdw = window.tdw || {}));
