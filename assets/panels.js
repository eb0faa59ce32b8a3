/* Panels ask the server only while they are on screen and only when something they declare changed.
 * One question per panel is under way at a time; when its answer arrives the newest state is compared again,
 * so a burst of changes ends in the state of the last one and no answer is drawn over a newer one.
 * Panels just outside the screen are prepared when the ones on it are done; figures far away are given up. */
(function (tdw) {
  "use strict";
  const STEP = 40;
  const REST = 300;
  const panels = new Map();

  const words = (text) => text.split(" ").filter(Boolean);

  /* What draws itself (tiles.js) gets the same frame and asks by itself. */
  function frame(el) {
    tdw.frame.build({ el, view: el.dataset.view, place: el.dataset.place, depends: words(el.dataset.depends) });
    el.dataset.framed = "";
  }

  function watch(el) {
    const data = el.dataset;
    const panel = {
      el, view: data.view, place: data.place, kind: data.kind || "view", visible: false, near: false, reachable: true,
      depends: words(data.depends),
      needs: words(data.needs),
      required: words(data.required),
      marks: words(data.marks),
      checkpoints: data.checkpoints === "needed",
      defaults: JSON.parse(data.parameters),
      asked: null, answered: null, questions: 0, built: false,
    };
    panels.set(el, panel);
    for (const observer of [onScreen, nearby, reachable]) observer.observe(el);
  }

  /* Title bar, menu and room for the figure, once the panel comes near the screen. */
  function build(panel) {
    if (panel.built) return;
    panel.built = true;
    tdw.frame.build(panel);
    tdw.emit("panel", panel);
  }

  function observer(margin, seen) {
    return new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const panel = panels.get(entry.target);
        if (panel) seen(panel, entry.isIntersecting);
      }
    }, { rootMargin: margin });
  }
  const onScreen = observer("0px", (panel, isIn) => {
    panel.visible = isIn;
    if (isIn) {
      build(panel);
      tdw.cursors.place(panel);
    }
    ask(panel);
  });
  const nearby = observer("320px 0px", (panel, isIn) => {
    panel.near = isIn;
    if (!isIn) return;
    build(panel);
    prepare();
  });
  const reachable = observer("1800px 0px", (panel, isIn) => {
    panel.reachable = isIn;
    if (!isIn) prepare();
  });

  /* The figure goes, its place stays; when it comes near again it is drawn from the remembered answer. */
  function release(panel) {
    if (!tdw.drawing.plot(panel)) return;
    tdw.drawing.forget(panel);
    panel.answered = null;
    panel.asked = null;
    delete panel.el.dataset.drawn;
  }

  /* What can wait until the screen is done. */
  let preparing = 0;
  function prepare() {
    clearTimeout(preparing);
    preparing = setTimeout(() => {
      if (!settled() || tdw.pace.running()) return prepare();
      for (const panel of panels.values()) {
        if (panel.near && !panel.visible) ask(panel);
        if (!panel.reachable) release(panel);
      }
    }, REST);
  }

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
  function measure(panel) {
    const slot = panel.el.querySelector(".panel-slot");
    panel.size = [slot.clientWidth, slot.clientHeight].map((pixels) => Math.max(STEP, Math.round(pixels / STEP) * STEP));
    return panel.size;
  }

  /* How the panels of a kind ask: at which route, when, and for what. Other kinds are defined by their page. */
  const kinds = new Map([["view", { route: "/_figure", ready: () => tdw.selection.known(), wanted: wantedView }]]);
  const kindOf = (panel) => kinds.get(panel.kind);
  const wanted = (panel) => kindOf(panel).wanted(panel, panel.size || measure(panel));
  const answerable = (panel) => kinds.has(panel.kind) && kindOf(panel).ready(panel);

  function wantedView(panel, size) {
    const selection = tdw.selection.get();
    const { tokens } = tdw.selection.info();
    const fields = {};
    for (const field of panel.depends) if (field !== "variant") fields[field] = selection[field];
    return {
      view: panel.view, variant: selection.variant, selection: fields, params: parametersOf(panel),
      theme: tdw.theme.current(), size, density: tdw.theme.densityOf(panel.el),
      tokens: panel.needs.map((analyzer) => tokens[analyzer] || "").concat(panel.checkpoints ? [] : [tokens[""]]),
    };
  }

  function ask(panel) {
    if (!(panel.visible || panel.near) || panel.asked !== null || !answerable(panel)) return;
    if (panel.checkpoints && !tdw.selection.info().epochs.length && !kept(panel)) {
      absent(panel);
      return;
    }
    panel.el.classList.remove("is-absent");
    const key = JSON.stringify(wanted(panel));
    if (key === panel.answered) return;
    panel.asked = key;
    panel.el.classList.remove("is-unanswered");
    if (tdw.answers.has(key)) {
      receive(panel, key, tdw.answers.get(key));
      return;
    }
    panel.questions += 1;
    panel.el.classList.add("is-loading");
    tdw.answers.ask(kindOf(panel).route, key).then((answer) => receive(panel, key, answer), () => giveUp(panel, key));
  }

  /* Whether a view of the whole run can be drawn although its checkpoints were removed: all it reads was kept. */
  function kept(panel) {
    const { tokens } = tdw.selection.info();
    return panel.depends.every((field) => field === "variant") && panel.required.length > 0 && panel.required.every((analyzer) => tokens[analyzer]);
  }

  /* A run of which only the history was kept: nothing to compute this from, and nothing to ask. */
  function absent(panel) {
    const key = "absent " + tdw.selection.get().variant;
    if (panel.answered === key) return;
    panel.answered = key;
    panel.el.classList.add("is-absent");
    panel.el.dataset.state = "absent";
    panel.el.dataset.drawn = key;
    tdw.drawing.show(panel, absence());
  }
  const absence = () => ({ state: "absent", title: "", text: `Needs checkpoints; of ${tdw.selection.get().variant} only the history${tdw.selection.info().measured ? " and small results were" : " was"} kept.` });

  function giveUp(panel, key) {
    if (panel.asked !== key) return;
    panel.asked = null;
    panel.el.classList.remove("is-loading");
    panel.el.classList.add("is-unanswered");
    tdw.drawing.show(panel, { state: "error", title: "No answer", text: "The server cannot be reached, or took more than 45 seconds. Is it still running?", action: "retry" });
  }

  async function receive(panel, key, received) {
    if (panel.asked !== key || !panel.el.isConnected) return;
    const { answer } = received;
    if (answer.state === "figure") tdw.answers.remember(key, received);
    if (!panel.visible && !panel.near) {
      panel.asked = null; // scrolled past; it is remembered for when it comes back
      panel.el.classList.remove("is-loading");
      return;
    }
    await tdw.turns.take(panel, () => show(panel, key, answer));
  }

  async function show(panel, asked, received) {
    if (panel.asked !== asked || !panel.el.isConnected) return;
    let [key, answer] = [asked, received];
    const newest = answerable(panel) ? JSON.stringify(wanted(panel)) : key;
    if (newest !== key && tdw.answers.has(newest)) [key, answer] = [newest, tdw.answers.get(newest).answer];
    panel.asked = key;
    panel.el.dataset.state = answer.state;
    try {
      await tdw.drawing.show(panel, answer);
    } catch (error) {
      console.warn("tdw: " + panel.view + " cannot be drawn", error);
      panel.el.dataset.state = "error";
      await tdw.drawing.show(panel, { state: "error", title: "Cannot be drawn", text: String(error), action: "retry" });
    }
    if (panel.asked !== key) return;
    panel.asked = null;
    panel.answered = key;
    panel.el.dataset.drawn = key;
    panel.el.classList.remove("is-loading");
    tdw.emit("answered", panel, answer);
    if (!tdw.pace.running()) ask(panel);
  }

  function retry(el) {
    const panel = panels.get(el);
    if (!panel) {
      if (el.dataset.component) tdw.tiles.retry(el);
      return;
    }
    panel.asked = null;
    panel.answered = null;
    ask(panel);
  }

  const isDone = (panel) => !answerable(panel) || (panel.asked === null && (panel.el.classList.contains("is-unanswered") || panel.el.classList.contains("is-absent") ||
    (panel.answered === JSON.stringify(wanted(panel)) && panel.el.dataset.drawn === panel.answered)));

  /* True when every panel on screen shows the current selection. */
  function settled() {
    if (!tdw.selection.known()) return false;
    const seen = [...panels.values()].filter((panel) => panel.visible);
    const some = seen.length > 0 || document.querySelector(".panel[data-framed]") !== null || tdw.selection.PAGES.includes(tdw.selection.get().page);
    return some && seen.every(isDone) && (!tdw.tiles || tdw.tiles.settled());
  }

  function askAll() {
    for (const panel of panels.values()) if (panel.visible) ask(panel);
    prepare();
  }

  /* Those on screen, as far as that takes no question. */
  function glimpse() {
    for (const panel of panels.values()) if (panel.visible && answerable(panel) && tdw.answers.has(JSON.stringify(wanted(panel)))) ask(panel);
  }
  const busy = () => [...panels.values()].some((panel) => panel.visible && panel.asked !== null);

  function resized(panel) {
    const before = String(panel.size);
    if (before !== String(measure(panel)) && panel.visible) ask(panel);
  }

  function scan() {
    for (const el of [...panels.keys()]) {
      if (!el.isConnected) {
        for (const observer of [onScreen, nearby, reachable]) observer.unobserve(el);
        tdw.drawing.forget(panels.get(el));
        panels.delete(el);
      }
    }
    document.querySelectorAll(".panel[data-view]").forEach((el) => {
      if (el.dataset.component) "framed" in el.dataset || frame(el);
      else if (!panels.has(el)) watch(el);
    });
  }

  tdw.on("boot", () => {
    scan();
    new MutationObserver(scan).observe(document.getElementById("detail-content"), { childList: true });
  });
  tdw.on("info", (info) => {
    if (info.error || !info.epochs.length) return;
    for (const panel of panels.values()) {
      if (!panel.el.classList.contains("is-absent")) continue;
      panel.el.classList.remove("is-absent");
      panel.el.querySelector(".panel-slot").replaceChildren();
      panel.answered = null;
    }
  });
  tdw.on("theme", () => {
    for (const panel of panels.values()) panel.size = null;
    askAll();
  });

  tdw.panels = {
    retry, askAll, glimpse, busy, scan, kinds, resized, release, parametersOf, all: () => [...panels.values()], of: (el) => panels.get(el),
    absence, drawn: settled, settled: () => tdw.jobs.ready() && tdw.selection.settled() && settled(),
  };
})((window.tdw = window.tdw || {}));
