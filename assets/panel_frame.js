/* The frame of a panel: title, explanation, menu, the line that says what a click does, and room for the figure. */
(function (tdw) {
  "use strict";
  const FILES = { png: "PNG image", svg: "SVG image", html: "Web page, offline", csv: "Numbers, CSV", json: "Figure, JSON" };

  function about(panel) {
    const { title, blurb } = panel.el.dataset;
    return tdw.el("details", { class: "blurb pops" },
      tdw.el("summary", { class: "icon-button is-round", "aria-label": "About " + title, title: "What is this?" }, "i"),
      tdw.el("div", { class: "popped blurb-text" }, tdw.el("p", {}, blurb)));
  }

  function menu(panel) {
    const title = panel.el.dataset.title;
    const items = Object.entries(FILES).map(([kind, label]) => tdw.el("button", { type: "button", "data-export": kind }, label));
    return tdw.el("details", { class: "menu pops" },
      tdw.el("summary", { class: "icon-button", "aria-label": "Export " + title, title: "Export what is shown" }, "⋯"),
      tdw.el("div", { class: "popped menu-items", role: "group", "aria-label": "Export " + title },
        tdw.el("span", { class: "menu-title" }, "Export what is shown"), ...items,
        tdw.el("button", { type: "button", "data-export": "link" }, "Copy a link to this")));
  }

  function enlarge(panel) {
    const own = tdw.panels.kinds.get(panel.kind);
    if (own && own.enlarge) return own.enlarge(panel);
    return tdw.el("a", {
      href: "/view/" + panel.view, class: "icon-button", title: "Open large, with its formula and source",
      "aria-label": "Open " + panel.el.dataset.title + " large", "data-open": panel.view,
    }, "⤢");
  }

  /* Previous and next over each thing that the view shows. */
  function steppers(panel) {
    const fields = panel.depends.filter((field) => field !== "variant");
    return fields.map((field) => tdw.el("span", { class: "panel-step", role: "group", "aria-label": tdw.selection.WORDS[field] },
      tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Previous " + field, onclick: () => tdw.selection.step(field, -1) }, "‹"),
      tdw.el("span", { class: "panel-step-value", "data-field": field }),
      tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Next " + field, onclick: () => tdw.selection.step(field, 1) }, "›")));
  }
  function showSteps() {
    document.querySelectorAll(".panel-step-value").forEach((one) => {
      one.textContent = tdw.selection.WORDS[one.dataset.field] + " " + tdw.selection.describe(one.dataset.field, tdw.selection.get()[one.dataset.field]);
    });
  }

  function build(panel) {
    const { el } = panel;
    const isDetail = panel.place === "detail";
    const head = tdw.el("header", { class: "panel-head" });
    const title = el.querySelector("h3");
    title.title = el.dataset.title;
    head.append(title);
    if (isDetail) head.append(tdw.el("div", { class: "panel-steps" }, ...steppers(panel)));
    head.append(tdw.el("div", { class: "panel-tools" }, ...(isDetail ? [menu(panel)] : [about(panel), menu(panel), enlarge(panel)])));
    const bar = tdw.el("div", { class: "panel-bar" },
      tdw.el("div", { class: "panel-chips", role: "group", "aria-label": "What a click on " + el.dataset.title + " sets" }),
      tdw.el("div", { class: "panel-parameters" }));
    const body = tdw.el("div", { class: "panel-body", role: "figure", "aria-label": el.dataset.title + ". " + el.dataset.blurb },
      tdw.el("div", { class: "panel-slot" }), tdw.el("div", { class: "panel-spinner", "aria-hidden": "true" }));
    el.append(head, bar, body);
    if (isDetail) showSteps();
  }

  /* One thing is open at a time; a click elsewhere or Escape closes it. */
  function closeOthers(target) {
    document.querySelectorAll("details.pops[open]").forEach((one) => {
      if (!target || !one.contains(target)) one.open = false;
    });
  }
  document.addEventListener("click", (event) => closeOthers(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.pops[open]");
    closeOthers(null);
    if (open && open.contains(document.activeElement)) open.querySelector("summary").focus();
  });
  document.addEventListener("toggle", (event) => {
    const panel = event.target.closest && event.target.closest(".panel");
    if (panel) panel.classList.toggle("has-open", panel.querySelector(".pops[open]") !== null);
  }, true);
  tdw.on("selection", showSteps);

  tdw.frame = { build, closeOthers };
})((window.tdw = window.tdw || {}));
