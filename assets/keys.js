/* Keys, ignored while typing: the epoch, events, play, neurons, the variant picker and the list of keys. */
(function (tdw) {
  "use strict";
  const KEYS = {
    ArrowLeft: (event) => tdw.selection.step("epoch", event.shiftKey ? -10 : -1),
    ArrowRight: (event) => tdw.selection.step("epoch", event.shiftKey ? 10 : 1),
    "[": () => tdw.scrubber.toEvent(-1),
    "]": () => tdw.scrubber.toEvent(1),
    " ": () => tdw.scrubber.toggle(),
    n: () => tdw.selection.step("neuron", 1),
    N: () => tdw.selection.step("neuron", -1),
    "/": () => {
      tdw.sidebar.collapse(false);
      tdw.picker.open();
    },
    b: () => {
      tdw.sidebar.collapse(false);
      document.getElementById("bookmark-name").focus();
    },
    "?": () => help(true),
  };

  function help(open) {
    const dialog = document.getElementById("key-help");
    if (open && !dialog.open) dialog.showModal();
    else dialog.close();
  }

  function buildHelp() {
    const rows = [
      ["← →", "previous, next checkpoint (with shift: ten)"], ["[ ]", "previous, next event of the run"], ["space", "play, pause"],
      ["n N", "next, previous neuron, in the order of the navigator"], ["/", "choose a variant (enter takes the only match)"], ["b", "bookmark this place"], ["?", "this list"], ["click", "sets what the line above a figure names first"],
      ["shift-click", "sets what it names second"], ["double-click", "zooms a figure out again"],
    ];
    const list = tdw.el("dl", {});
    for (const [keys, meaning] of rows) list.append(tdw.el("dt", {}, ...keys.split(" ").map((key) => tdw.el("kbd", {}, key))), tdw.el("dd", {}, meaning));
    const close = tdw.el("button", { type: "button", class: "button", onclick: () => help(false) }, "Close");
    const dialog = tdw.el("dialog", { id: "key-help", "aria-labelledby": "key-help-title" }, tdw.el("h2", { id: "key-help-title" }, "Keys and clicks"), list, close);
    dialog.addEventListener("click", (event) => event.target === dialog && help(false));
    document.body.append(dialog);
  }

  document.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || tdw.isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === " " && event.target.closest("button, a, summary")) return;
    event.preventDefault();
    act(event);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("[data-action=keys]")) help(true);
  });
  tdw.on("boot", buildHelp);
})((window.tdw = window.tdw || {}));
