/* Draws answers into panels: one plot per panel, which plotly updates in place, a table, or a message in its stead. */
(function (tdw) {
  "use strict";
  const CONFIG = { displaylogo: false, showSendToCloud: false, doubleClickDelay: 300 };
  const BARS = {
    explore: { displayModeBar: false },
    compare: { displayModeBar: false },
    detail: { displayModeBar: "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] },
  };
  const LABELS = { analyze: "Analyze", retry: "Try again" };
  const GL = new Set(["scatter3d", "surface", "mesh3d", "scattergl", "splom", "parcoords", "isosurface", "volume", "cone", "streamtube"]);
  const MOST_GL = 4; // browsers drop the oldest drawing context of a page that has more than a few
  const CAMERA = 300; // milliseconds until a 3-D plot has been drawn for the first time
  const plots = new Map();

  const slot = (panel) => panel.el.querySelector(".panel-slot");
  const plot = (panel) => plots.get(panel) || null;

  const ready = () => new Promise((resolve) => {
    const look = () => (window.Plotly ? resolve() : setTimeout(look, 10));
    look();
  });

  const resized = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const el = entry.target.closest(".panel");
      const panel = el && tdw.panels.of(el);
      if (!panel || entry.contentRect.width === 0) continue;
      const gd = plot(panel);
      if (gd && gd._fullLayout && Math.abs(gd._fullLayout.width - entry.contentRect.width) > 1) window.Plotly.Plots.resize(gd);
      tdw.panels.resized(panel);
    }
  });

  function onClick(panel, event) {
    const point = event.points && event.points[0];
    if (!point) return;
    tdw.chips.clicked(panel, tdw.payload.read(point.data, point), Boolean(event.event && event.event.shiftKey), tdw.payload.meanings(point.data));
  }

  /* A fifth plot with a drawing context takes the place of one that is not on the screen. */
  function makeRoom(panel, data) {
    panel.usesGl = data.some((trace) => GL.has(trace.type));
    if (!panel.usesGl) return;
    const others = [...plots.keys()].filter((other) => other !== panel && other.usesGl);
    others.sort((a, b) => Number(a.visible) - Number(b.visible));
    while (others.length >= MOST_GL) tdw.panels.release(others.shift());
  }

  async function draw(panel, figure) {
    await ready();
    if (figure.data.length === 1 && figure.data[0].type === "table") {
      forget(panel);
      slot(panel).replaceChildren(tdw.table.build(panel, figure.data[0]));
      return;
    }
    makeRoom(panel, figure.data);
    let gd = plot(panel);
    const isNew = gd === null;
    if (isNew) {
      gd = tdw.el("div", { class: "panel-plot" });
      slot(panel).replaceChildren(gd);
      plots.set(panel, gd);
    }
    const { data, layout } = tdw.arrays.copy(figure); // plotly writes into what it is given, and answers are drawn again
    await tdw.cells.react(gd, data, layout, Object.assign({}, CONFIG, BARS[panel.place]));
    if (plot(panel) !== gd) return;
    if (isNew) {
      gd.on("plotly_afterplot", () => tdw.cursors.place(panel));
      gd.on("plotly_relayouting", () => tdw.cursors.place(panel));
      gd.on("plotly_click", (event) => onClick(panel, event));
      resized.observe(slot(panel));
    }
    tdw.cursors.place(panel);
    if (panel.usesGl) setTimeout(() => tdw.cursors.place(panel), CAMERA); // once it has a camera
    tdw.emit("drawn", panel, gd);
  }

  function forget(panel) {
    const gd = plot(panel);
    if (gd === null) return;
    resized.unobserve(slot(panel));
    window.Plotly.purge(gd);
    gd.remove();
    plots.delete(panel);
  }

  function tell(panel, { state, title, text, action, analyzers }) {
    forget(panel);
    const button = action ? tdw.el("button", { type: "button", class: "button", "data-action": action, "data-analyzers": (analyzers || []).join(" ") || null }, LABELS[action]) : null;
    slot(panel).replaceChildren(tdw.el("div", { class: "panel-message is-" + state, role: "status" },
      title ? tdw.el("strong", {}, title) : null, tdw.el("p", {}, text), button));
  }

  async function show(panel, answer) {
    if (answer.state === "figure") await draw(panel, answer.figure);
    else tell(panel, answer);
  }

  tdw.drawing = { show, tell, plot, forget, count: () => plots.size, countGl: () => [...plots.keys()].filter((panel) => panel.usesGl).length };
})((window.tdw = window.tdw || {}));
