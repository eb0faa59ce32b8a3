/* Panels ask the server only while they are on screen and only when something they declare changed.
 * One question per panel is under way at a time; when its answer arrives the newest state is compared again,
 * so a burst of changes ends in the state of the last one and no answer is drawn over a newer one. */
(function (tdw) {
  "use strict";
  const PATIENCE = 20000;
  const REMEMBERED = 200;
  const STEP = 40;
  const remembered = new Map();
  const panels = new Map();

  function watch(el) {
    const data = el.dataset;
    const panel = {
      el, view: data.view, place: data.place, visible: false,
      depends: data.depends.split(" ").filter(Boolean),
      needs: data.needs.split(" ").filter(Boolean),
      defaults: JSON.parse(data.parameters),
      asked: null, answered: null, questions: 0,
    };
    panels.set(el, panel);
    sight.observe(el);
    tdw.emit("panel", panel);
  }

  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const panel = panels.get(entry.target);
      if (!panel) continue;
      panel.visible = entry.isIntersecting;
      if (panel.visible) tdw.cursors.place(panel);
      ask(panel);
    }
  }, { rootMargin: "160px" });

  function parametersOf(panel) {
    const chosen = tdw.selection.get().params[panel.view] || {};
    const values = {};
    for (const [name, parameter] of Object.entries(panel.defaults)) {
      values[name] = name in chosen ? chosen[name] : parameter.default;
    }
    for (const name of Object.keys(chosen)) if (!(name in values)) values[name] = chosen[name];
    return values;
  }

  /* Width and height for which the figure is laid out, in coarse steps: a few pixels need no new figure. */
  function sizeOf(panel) {
    const slot = panel.el.querySelector(".panel-slot");
    return [slot.clientWidth, slot.clientHeight].map((pixels) => Math.max(STEP, Math.round(pixels / STEP) * STEP));
  }

  function wanted(panel) {
    const selection = tdw.selection.get();
    const fields = {};
    for (const field of panel.depends) if (field !== "variant") fields[field] = selection[field];
    return {
      view: panel.view, variant: selection.variant, selection: fields, params: parametersOf(panel),
      theme: tdw.theme.current(), size: sizeOf(panel), density: panel.place === "detail" ? "full" : tdw.theme.density(),
      tokens: panel.needs.map((analyzer) => tdw.selection.info().tokens[analyzer] || ""),
    };
  }

  function ask(panel) {
    if (!panel.visible || panel.asked !== null || !tdw.selection.known()) return;
    const question = wanted(panel);
    const key = JSON.stringify(question);
    if (key === panel.answered) return;
    panel.asked = key;
    panel.el.classList.remove("is-unanswered");
    if (remembered.has(key)) {
      receive(panel, key, remembered.get(key));
      return;
    }
    panel.questions += 1;
    panel.el.classList.add("is-loading");
    fetchAnswer(key).then((answer) => receive(panel, key, answer), () => giveUp(panel, key));
  }

  async function fetchAnswer(key) {
    const response = await fetch("/_figure", {
      method: "POST", body: key, headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Error("HTTP " + response.status);
    return response.json();
  }

  function giveUp(panel, key) {
    if (panel.asked !== key) return;
    panel.asked = null;
    panel.el.classList.remove("is-loading");
    panel.el.classList.add("is-unanswered");
  }

  async function receive(panel, key, answer) {
    if (panel.asked !== key || !panel.el.isConnected) return;
    if (answer.state === "figure") remember(key, answer);
    panel.el.dataset.state = answer.state;
    await tdw.drawing.show(panel, answer);
    if (panel.asked !== key) return;
    panel.asked = null;
    panel.answered = key;
    panel.el.dataset.drawn = key;
    panel.el.classList.remove("is-loading");
    ask(panel);
  }

  /* The answers used last; their key holds everything that they depend on, the results' versions too. */
  function remember(key, answer) {
    remembered.delete(key);
    remembered.set(key, answer);
    if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
  }

  function retry(el) {
    const panel = panels.get(el);
    if (!panel) return;
    panel.asked = null;
    panel.answered = null;
    ask(panel);
  }

  /* True when every panel on screen shows the current selection. */
  function settled() {
    const onScreen = [...panels.values()].filter((panel) => panel.visible);
    return tdw.selection.known() && onScreen.length > 0 && onScreen.every((panel) =>
      panel.asked === null && panel.answered === JSON.stringify(wanted(panel)) && panel.el.dataset.drawn === panel.answered);
  }

  const askAll = tdw.framed(() => {
    for (const panel of panels.values()) ask(panel);
  });

  function scan() {
    for (const el of [...panels.keys()]) {
      if (!el.isConnected) {
        sight.unobserve(el);
        tdw.drawing.forget(panels.get(el));
        panels.delete(el);
      }
    }
    document.querySelectorAll(".panel[data-view]").forEach((el) => {
      if (!panels.has(el)) watch(el);
    });
  }

  tdw.on("boot", () => {
    scan();
    new MutationObserver(scan).observe(document.getElementById("detail-content"), { childList: true });
  });
  tdw.on("selection", askAll);
  tdw.on("info", askAll);
  tdw.on("theme", askAll);

  tdw.panels = { retry, askAll, parametersOf, settled, all: () => [...panels.values()] };
})((window.tdw = window.tdw || {}));
