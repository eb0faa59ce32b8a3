/* Dash's scripts (a megabyte) run once the first screen is drawn; only long work needs them. */
(function (tdw) {
  "use strict";
  const PATIENCE = 4000;
  const STEP = 20;
  const SKIPPED = /\/polyfill@/; // for browsers without modules; it would replace what plotly uses most by slower functions

  const loaded = (script) => new Promise((resolve) => {
    script.onload = script.onerror = resolve;
    document.body.append(script);
  });

  /* As in the document: in order, each after the one before. */
  async function load() {
    const held = document.getElementById("later").content;
    const running = [];
    for (const one of held.querySelectorAll("script")) {
      if (SKIPPED.test(one.getAttribute("src"))) continue;
      const script = document.createElement("script");
      for (const { name, value } of one.attributes) script.setAttribute(name, value);
      script.async = false;
      if (script.hasAttribute("src")) {
        running.push(loaded(script));
        continue;
      }
      await Promise.all(running.splice(0));
      script.textContent = one.textContent;
      document.body.append(script);
    }
  }

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
