/* Figures are drawn one after the other: the one under the pointer first, then the one nearest to the middle of the
 * screen. The first is on the screen before the second is begun; after that as many as fit into a frame. */
(function (tdw) {
  "use strict";
  const FRAME = 24; // milliseconds
  const waiting = [];
  let pointed = null;
  let drawing = false;
  document.addEventListener("pointerover", (event) => {
    pointed = event.target.closest ? event.target.closest(".panel") : null;
  }, { passive: true });

  const take = (panel, task) => new Promise((resolve) => {
    waiting.push({ panel, task: () => task().then(resolve, resolve) });
    if (!drawing) {
      drawing = true;
      queueMicrotask(drawNext);
    }
  });
  function urgency(panel) {
    if (panel.el === pointed) return -1;
    const box = panel.el.getBoundingClientRect();
    return Math.abs((box.top + box.bottom - window.innerHeight) / 2) + (panel.visible ? 0 : 1e6);
  }
  const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  async function drawNext() {
    let budget = 0;
    while (waiting.length) {
      if (waiting.length > 1) {
        for (const one of waiting) one.urgency = urgency(one.panel);
        waiting.sort((a, b) => a.urgency - b.urgency);
      }
      const begun = performance.now();
      await waiting.shift().task();
      budget -= performance.now() - begun;
      if (budget > 0 || !waiting.length) continue;
      await painted();
      budget = FRAME;
    }
    drawing = false;
  }

  tdw.turns = { take };
})((window.tdw = window.tdw || {}));
