/* Dash's scripts (a megabyte) run once the first screen is drawn; only long work needs them. */
(function (tdw) {
  "use strict";
  const PATIENCE = 4000;
  const STEP = 20;
  const LATE = /\/dash_ag_grid\//; // only the table of Compare needs it: tdw.startup.grid()
  const PART = "async-community.js"; // what the grid's script loads when the first table is made
  const SKIPPED = /\/polyfill@/; // for browsers without modules; it would replace what plotly uses most by slower functions

  const copied = (held) => {
    const script = document.createElement("script");
    for (const { name, value } of held.attributes) script.setAttribute(name, value);
    script.async = false;
    return script;
  };
  const loaded = (script) => new Promise((resolve) => {
    script.onload = script.onerror = resolve;
    document.body.append(script);
  });

  /* As in the document: in order, each after the one before. */
  async function load() {
    loading = true;
    const running = [];
    for (const one of document.getElementById("later").content.querySelectorAll("script")) {
      if (SKIPPED.test(one.getAttribute("src")) || (LATE.test(one.getAttribute("src")) && asked === null)) continue;
      const script = copied(one);
      if (script.hasAttribute("src")) {
        running.push(loaded(script));
        continue;
      }
      await Promise.all(running.splice(0));
      script.textContent = one.textContent;
      document.body.append(script);
    }
  }

  /* The table's scripts; resolves when they have run. Asked for before Dash's are loaded, they come along. */
  let asked = null;
  let loading = false;
  function grid() {
    warm();
    if (asked === null) asked = loading ? started.then(() => Promise.all(held(LATE).map((one) => loaded(copied(one))))) : started;
    return asked;
  }
  /* Read ahead what opening Compare will need. */
  function warm() {
    const own = held(LATE).map((one) => one.getAttribute("src"));
    for (const href of [...own, ...own.map((src) => src.replace(/[^/]*$/, PART))]) {
      if (!document.head.querySelector(`link[href="${href}"]`)) document.head.append(tdw.el("link", { rel: "preload", as: "script", href }));
    }
  }
  const held = (fits) => [...document.getElementById("later").content.querySelectorAll("script[src]")].filter((one) => fits.test(one.getAttribute("src")));
  let begun = null;
  const started = new Promise((resolve) => (begun = resolve));
  tdw.on("jobs", () => begun());
  tdw.startup = { grid, warm };

  tdw.on("boot", () => {
    const end = performance.now() + PATIENCE;
    const look = () => {
      const waits = ["explore", "detail"].includes(tdw.selection.get().page) && !tdw.panels.drawn();
      if (waits && !(tdw.selection.info() || {}).error && performance.now() < end) setTimeout(look, STEP);
      else load();
    };
    look();
  });
})((window.tdw = window.tdw || {}));
