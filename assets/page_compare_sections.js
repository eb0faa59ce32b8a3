/* The sections of Compare fold, and the index at the edge says which one is on the screen. */
(function (tdw) {
  "use strict";
  const all = (selector) => [...document.querySelectorAll("#page-compare " + selector)];

  function fold(group, closed) {
    group.classList.toggle("is-folded", closed);
    group.querySelector(".group-fold").setAttribute("aria-expanded", String(!closed));
    tdw.remember("fold." + group.id, closed ? "closed" : "open");
  }
  function setUpFolding() {
    for (const group of all(".group")) {
      if (tdw.recall("fold." + group.id, "open") === "closed") fold(group, true);
      group.querySelector(".group-fold").addEventListener("click", () => fold(group, !group.classList.contains("is-folded")));
    }
  }

  function setUpIndex() {
    const links = new Map(all("#compare-index a").map((link) => [link.getAttribute("href").slice(1), link]));
    const onScreen = new Set();
    const spy = new IntersectionObserver((entries) => {
      for (const entry of entries) onScreen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
      const first = [...links.keys()].find((id) => onScreen.has(id));
      for (const [id, link] of links) {
        if (id === first) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-10% 0px -60% 0px" });
    for (const id of links.keys()) spy.observe(document.getElementById(id));
    tdw.compare.home("index").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link) return;
      event.preventDefault();
      const section = document.getElementById(link.getAttribute("href").slice(1));
      if (section.classList.contains("is-folded")) fold(section, false);
      section.scrollIntoView({ block: "start" });
    });
  }

  /* What stands in the table's place while there is none. */
  function cover(title, text, ...actions) {
    const home = tdw.compare.home("cover");
    home.hidden = false;
    home.replaceChildren(tdw.el("div", { class: "panel-message", role: "status" }, title ? tdw.el("strong", {}, title) : null, tdw.el("p", {}, text), ...actions));
  }
  const go = (page, text) => tdw.el("button", { type: "button", class: "button", onclick: () => tdw.router.go(page) }, text);
  function few() {
    const count = tdw.compare.table().names.length;
    if (count === 0) cover("No variants yet", "Train some, or import checkpoints of runs that were trained elsewhere (tdw import).", go("train", "Train"));
    else if (tdw.compareGrid.settled()) tdw.compare.home("cover").hidden = true;
    for (const part of ["bar", "tools", "resize"]) tdw.compare.home(part).hidden = count === 0;
    const alone = document.getElementById("compare-alone");
    if (alone) alone.remove();
    if (count === 1) tdw.compare.home("bar").before(tdw.el("p", { id: "compare-alone", class: "compare-side-hint" }, "There is one variant only. A comparison needs two: train more, fork this one, or import runs. ", go("train", "Train")));
  }

  tdw.on("compare", (changed) => changed.has("table") && few());
  tdw.on("compare-failed", (text) => cover("The table cannot be read", text, tdw.el("button", { type: "button", class: "button", onclick: () => tdw.compare.load() }, "Try again")));
  tdw.on("boot", () => {
    cover("", "Reading the variants …");
    setUpFolding();
    setUpIndex();
    const link = document.querySelector('[data-page-link="compare"]');
    for (const kind of ["pointerenter", "focus"]) link.addEventListener(kind, tdw.startup.warm, { once: true });
  });
})((window.tdw = window.tdw || {}));
