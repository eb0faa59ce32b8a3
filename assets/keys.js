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
    // on release, so that the slash itself is not typed into the search box
    "/": () => document.addEventListener("keyup", openPicker, { once: true }),
    b: () => {
      tdw.sidebar.collapse(false);
      document.getElementById("bookmark-name").focus();
    },
    "?": () => help(true),
  };

  function openPicker() {
    tdw.sidebar.collapse(false);
    const picker = document.getElementById("variant-picker");
    const control = picker && (picker.matches("button, input") ? picker : picker.querySelector("button, input, [tabindex]"));
    if (!control) return;
    control.focus();
    if (control.getAttribute("aria-expanded") !== "true") control.click();
    searchFirst(Date.now() + 400);
  }

  /* The opened list focuses its current entry a little later; what is typed belongs in the search box. */
  function searchFirst(until) {
    const box = document.querySelector(".dash-dropdown-search");
    if (box && box.value) return;
    if (box && document.activeElement !== box) box.focus();
    if (Date.now() < until) requestAnimationFrame(() => searchFirst(until));
  }

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
    if (!act || !tdw.controls || event.ctrlKey || event.metaKey || event.altKey || tdw.isTyping(event.target)) return;
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
