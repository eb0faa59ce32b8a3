/* The sidebar collapses and resizes, and remembers both. */
(function (tdw) {
  "use strict";
  const NARROWEST = 232;
  const WIDEST = 460;
  const root = document.documentElement;

  function collapse(closed) {
    root.dataset.sidebar = closed ? "closed" : "open";
    tdw.remember("sidebar", root.dataset.sidebar);
    const button = document.getElementById("sidebar-toggle");
    if (button) {
      button.setAttribute("aria-expanded", String(!closed));
      button.setAttribute("aria-label", closed ? "Show the sidebar" : "Hide the sidebar");
      button.title = button.getAttribute("aria-label");
    }
  }
  function resize(width) {
    const legal = Math.round(Math.min(WIDEST, Math.max(NARROWEST, width)));
    root.style.setProperty("--sidebar-width", legal + "px");
    tdw.remember("sidebar-width", legal);
    const handle = document.getElementById("sidebar-resize");
    if (handle) handle.setAttribute("aria-valuenow", String(legal));
    return legal;
  }

  root.dataset.sidebar = tdw.recall("sidebar", "open") === "closed" ? "closed" : "open";

  tdw.on("boot", () => {
    collapse(root.dataset.sidebar === "closed");
    document.getElementById("sidebar-toggle").addEventListener("click", () => collapse(root.dataset.sidebar !== "closed"));
    const handle = document.getElementById("sidebar-resize");
    const stored = Number(tdw.recall("sidebar-width", "0"));
    if (stored) resize(stored);
    const width = () => document.getElementById("sidebar").getBoundingClientRect().width;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      const move = (moved) => resize(moved.clientX);
      handle.addEventListener("pointermove", move);
      handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
      event.preventDefault();
    });
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -16, ArrowRight: 16 }[event.key];
      if (!by) return;
      resize(width() + by);
      event.preventDefault();
      event.stopPropagation();
    });
  });
  tdw.sidebar = { collapse };
})((window.tdw = window.tdw || {}));
