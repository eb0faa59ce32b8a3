/* All pages lie in one document: going from one to another keeps what is drawn, the scroll and the options of each.
 * A page's script says what it does when its page appears and disappears: tdw.pages.define("train", {show, hide}). */
(function (tdw) {
  "use strict";
  const scrolls = new Map(); // page -> where it was scrolled to
  const options = new Map(); // page -> what it had in the address
  const defined = new Map();
  let shown = "";
  let page = "";

  const define = (name, acts) => defined.set(name, acts);
  const home = (name) => document.getElementById(name === "explore" || name === "detail" ? name : "page-" + name);
  const tell = (name, act) => {
    const acts = defined.get(name);
    if (acts && acts[act]) acts[act]();
  };

  const optionsOf = (name) => (name === tdw.selection.get().page ? tdw.selection.get().options : options.get(name) || {});
  const placeOf = (name, view) => ({ page: name, view: view || null, options: optionsOf(name) });

  /* Go to a page; `given` are options that it gets beside those it had. */
  function go(name, given) {
    const next = placeOf(name);
    tdw.selection.set(Object.assign(next, { options: Object.assign({}, next.options, given) }), "push");
  }
  function open(view) {
    tdw.selection.set(placeOf("detail", view), "push");
  }
  function close() {
    tdw.selection.set(placeOf("explore"), "push");
  }

  function show() {
    const state = tdw.selection.get();
    options.set(state.page, state.options);
    const now = state.page + "/" + (state.view || "");
    if (now === shown) return;
    if (page && page !== "detail") scrolls.set(page, window.scrollY);
    if (page && page !== state.page) tell(page, "hide");
    for (const name of ["explore", "detail", ...tdw.selection.PAGES]) home(name).hidden = state.page !== name;
    document.documentElement.dataset.page = state.page;
    document.querySelectorAll("[data-page-link]").forEach((link) => {
      if (link.dataset.pageLink === (state.page === "detail" ? "explore" : state.page)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    if (state.page === "detail") fill(state.view);
    window.scrollTo(0, (state.page !== "detail" && scrolls.get(state.page)) || 0);
    if (shown) document.getElementById("main").focus({ preventScroll: true });
    shown = now;
    page = state.page;
    tell(page, "show");
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
    const link = event.target.closest && event.target.closest("a[data-open], a[data-page-link]");
    if (!link || event.button !== 0) return;
    const { open: view, pageLink } = link.dataset;
    const place = placeOf(pageLink || (view ? "detail" : "explore"), view);
    link.href = tdw.selection.toUrl(Object.assign({}, tdw.selection.get(), place));
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    tdw.selection.set(place, "push");
  });

  /* Groups fold and remember it. */
  function setUpFolding() {
    document.querySelectorAll("#explore .group").forEach((group) => {
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
    document.querySelectorAll("#explore .group").forEach((group) => spy.observe(group));
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
  tdw.router = { open, close, go, optionsOf };
  tdw.pages = { define };
})((window.tdw = window.tdw || {}));
