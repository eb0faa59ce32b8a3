/* Messages to the person, in one polite live region; each can be dismissed and may offer actions. */
(function (tdw) {
  "use strict";

  const region = () => document.getElementById("notices");

  function show(kind, text, actions) {
    const home = region();
    if (!home || [...home.children].some((one) => one.dataset.text === text)) return;
    const close = tdw.el("button", { type: "button", class: "notice-close", "aria-label": "Dismiss this message" }, "×");
    const buttons = (actions || []).map((action) => tdw.el("button", { type: "button", class: "chip", onclick: action.act }, action.label));
    const notice = tdw.el("div", { class: "notice is-" + kind, "data-text": text },
      tdw.el("p", {}, text), buttons.length ? tdw.el("div", { class: "notice-actions" }, ...buttons) : null, close);
    close.addEventListener("click", () => notice.remove());
    home.append(notice);
    while (home.children.length > 4) home.firstChild.remove();
  }

  tdw.notices = { show, clear: () => region() && region().replaceChildren() };
})((window.tdw = window.tdw || {}));
