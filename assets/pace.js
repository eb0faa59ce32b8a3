/* How fast the epoch moves. While it runs (played at speed, the slider dragged, a key held down) no figure is asked for;
 * what is remembered is drawn, a few times a second where drawing cannot keep up. When it rests, all are brought up
 * to date. */
(function (tdw) {
  "use strict";
  const REST = 130; // milliseconds without a step
  const GLIMPSE = 250;
  let last = -Infinity;
  let running = false;
  let crowded = false;
  let glimpsed = -Infinity;
  let timer = 0;

  function changed(state, fields, how) {
    const now = performance.now();
    const isStep = how === "replace" && fields.size === 1 && fields.has("epoch");
    running = isStep && (now - last < REST || tdw.scrubber.playsWithin(REST));
    crowded = running && (crowded || tdw.panels.busy());
    last = now;
    clearTimeout(timer);
    if (!running) return tdw.panels.askAll();
    timer = setTimeout(() => {
      running = false;
      tdw.panels.askAll();
    }, REST);
    if (crowded && now - glimpsed < GLIMPSE) return undefined;
    glimpsed = now;
    return tdw.panels.glimpse();
  }

  tdw.on("selection", changed);
  tdw.pace = { running: () => running };
})((window.tdw = window.tdw || {}));
