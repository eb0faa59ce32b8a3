/* Explore and the detail of one view are two faces of one page: switching keeps what is drawn and the scroll. */
(function (tdw) {
  "use strict";
  let scroll = 0;
  let shown = "";

  function open(view) {
    tdw.selection.set({ page: "detail", view }, "push");
  }
  function close() {
    tdw.selection.set({ page: "explore", view: null }, "push");
  }

  function show() {
    const state = tdw.selection.get();
    const now = state.page + "/" + (state.view || "");
    if (now === shown) return;
    const explore = document.getElementById("explore");
    const detail = document.getElementById("detail");
    if (!explore.hidden) scroll = window.scrollY;
    explore.hidden = state.page !== "explore";
    detail.hidden = state.page !== "detail";
    document.documentElement.dataset.page = state.page;
    if (state.page === "detail") {
      fill(state.view);
      window.scrollTo(0, 0);
    } else {
      window.scrollTo(0, scroll);
    }
    if (shown) document.getElementById("main").focus({ preventScroll: true });
    shown = now;
  }

  async function fill(view) {
    const home = document.getElementById("detail-content");
    try {
      const response = await fetch("/_detail/" + encodeURIComponent(view));
      const text = await response.text();
      if (tdw.selection.get().view === view) home.innerHTML = text;
    } catch (error) {
      tdw.notices.show("error", "The server cannot be reached. Is it still running?", [{ label: "Try again", act: () => fill(view) }]);
    }
  }

  /* Links inside the page keep the selection; a modified click opens a tab of its own as usual. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[data-open]");
    if (!link || event.button !== 0) return;
    link.href = linkTo(link.dataset.open);
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.dataset.open) open(link.dataset.open);
    else close();
  });
  function linkTo(view) {
    const state = tdw.selection.get();
    return tdw.selection.toUrl(Object.assign({}, state, view ? { page: "detail", view } : { page: "explore", view: null }));
  }

  /* Groups fold and remember it. */
  function setUpFolding() {
    document.querySelectorAll(".group").forEach((group) => {
      fold(group, tdw.recall("fold." + group.id, "open") === "closed");
      group.querySelector(".group-fold").addEventListener("click", () => {
        const closed = !group.classList.contains("is-folded");
        fold(group, closed);
        tdw.remember("fold." + group.id, closed ? "closed" : "open");
      });
    });
  }
  function fold(group, closed) {
    group.classList.toggle("is-folded", closed);
    group.querySelector(".group-fold").setAttribute("aria-expanded", String(!closed));
  }

  /* The index at the edge follows the scroll and lists the views of the group on the screen. */
  function setUpIndex() {
    const links = new Map();
    const onScreen = new Set();
    document.querySelectorAll("#page-index > ul > li > a").forEach((link) => links.set(link.getAttribute("href").slice(1), link));
    const spy = new IntersectionObserver((entries) => {
      for (const entry of entries) onScreen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
      let current = null;
      for (const [id, link] of links) {
        link.removeAttribute("aria-current");
        if (current === null && onScreen.has(id)) current = link;
      }
      if (current) current.setAttribute("aria-current", "true");
    }, { rootMargin: "-10% 0px -60% 0px" });
    document.querySelectorAll(".group").forEach((group) => spy.observe(group));
    document.getElementById("page-index").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link) return;
      event.preventDefault();
      const heading = document.getElementById(link.getAttribute("href").slice(1));
      const group = heading.closest(".group");
      fold(group, false);
      tdw.remember("fold." + group.id, "open");
      (heading.closest(".panel") || heading).scrollIntoView({ block: "start" });
    });
  }

  tdw.on("boot", () => {
    setUpFolding();
    setUpIndex();
    show();
  });
  tdw.on("selection", show);
  tdw.router = { open, close };
})((window.tdw = window.tdw || {}));
