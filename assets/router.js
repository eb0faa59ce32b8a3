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
      tdw.send("route", { data: { view: state.view } });
      window.scrollTo(0, 0);
    } else {
      window.scrollTo(0, scroll);
    }
    if (shown) document.getElementById("main").focus({ preventScroll: true });
    shown = now;
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

  /* Groups fold and remember it; the index at the edge follows the scroll. */
  function setUpGroups() {
    const links = new Map();
    const onScreen = new Set();
    document.querySelectorAll("#page-index a").forEach((link) => links.set(link.getAttribute("href").slice(1), link));
    const spy = new IntersectionObserver((entries) => {
      for (const entry of entries) onScreen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
      let current = null;
      for (const [id, link] of links) {
        link.removeAttribute("aria-current");
        if (current === null && onScreen.has(id)) current = link;
      }
      if (current) current.setAttribute("aria-current", "true");
    }, { rootMargin: "-10% 0px -60% 0px" });
    document.querySelectorAll(".group").forEach((group) => {
      spy.observe(group);
      const button = group.querySelector(".group-fold");
      const fold = (closed) => {
        group.classList.toggle("is-folded", closed);
        button.setAttribute("aria-expanded", String(!closed));
      };
      fold(tdw.recall("fold." + group.id, "open") === "closed");
      button.addEventListener("click", () => {
        const closed = !group.classList.contains("is-folded");
        fold(closed);
        tdw.remember("fold." + group.id, closed ? "closed" : "open");
      });
    });
    for (const [id, link] of links) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        document.getElementById(id).scrollIntoView({ behavior: "smooth", block: "start" });
      });
    }
  }

  tdw.on("boot", () => {
    setUpGroups();
    show();
  });
  tdw.on("selection", show);
  tdw.router = { open, close };
})((window.tdw = window.tdw || {}));
