/* Draws answers into panels: one plot per panel, which plotly updates in place, or a message in its stead. */
(function (tdw) {
  "use strict";
  const CONFIG = { displaylogo: false, showSendToCloud: false, doubleClickDelay: 300 };
  const BARS = {
    explore: { displayModeBar: false },
    detail: { displayModeBar: "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] },
  };
  const LABELS = { analyze: "Analyze", retry: "Try again" };
  const plots = new WeakMap();

  const slot = (panel) => panel.el.querySelector(".panel-slot");
  const plot = (panel) => plots.get(panel) || null;

  /* Dash loads plotly.js after the page; the first answers may be quicker. */
  const ready = () => new Promise((resolve) => {
    const look = () => (window.Plotly ? resolve() : setTimeout(look, 10));
    look();
  });

  const resized = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const gd = entry.target.querySelector(".js-plotly-plot");
      if (gd && gd._fullLayout && entry.contentRect.width > 0) window.Plotly.Plots.resize(gd);
    }
    tdw.panels.askAll();
  });

  function onClick(panel, event) {
    const point = event.points && event.points[0];
    if (!point) return;
    const carried = tdw.payload.read(point.data, point).filter(([field]) => tdw.selection.isSelectable(field));
    tdw.chips.clicked(panel, carried, Boolean(event.event && event.event.shiftKey));
  }

  async function draw(panel, figure) {
    await ready();
    let gd = plot(panel);
    const isNew = gd === null;
    if (isNew) {
      gd = tdw.el("div", { class: "panel-plot" });
      slot(panel).replaceChildren(gd);
      plots.set(panel, gd);
    }
    // plotly writes into what it is given, and answers are drawn again
    const { data, layout } = structuredClone(figure);
    await window.Plotly.react(gd, data, layout, Object.assign({}, CONFIG, BARS[panel.place]));
    if (isNew) {
      gd.on("plotly_afterplot", () => tdw.cursors.place(panel));
      gd.on("plotly_click", (event) => onClick(panel, event));
      resized.observe(slot(panel));
    }
    tdw.cursors.place(panel);
  }

  function forget(panel) {
    const gd = plot(panel);
    if (gd === null) return;
    resized.unobserve(gd.parentNode || gd);
    window.Plotly.purge(gd);
    gd.remove();
    plots.delete(panel);
  }

  function tell(panel, { state, title, text, action }) {
    forget(panel);
    slot(panel).replaceChildren(tdw.el("div", { class: "panel-message is-" + state, role: "status" },
      tdw.el("strong", {}, title), tdw.el("p", {}, text),
      tdw.el("button", { type: "button", class: "button", "data-action": action }, LABELS[action])));
  }

  async function show(panel, answer) {
    if (answer.state === "figure") await draw(panel, answer.figure);
    else tell(panel, answer);
  }

  tdw.drawing = { show, plot, forget };
})((window.tdw = window.tdw || {}));
