/* The selected values drawn over the figures: DOM elements placed from the traces' payloads.
 * They move with the selection without a request and are placed again after every redraw, zoom and resize. */
(function (tdw) {
  "use strict";

  function axesOf(gd, trace) {
    const layout = gd._fullLayout;
    const name = (short, letter) => letter + "axis" + String(short || letter).slice(1);
    return [layout[name(trace.xaxis, "x")], layout[name(trace.yaxis, "y")]];
  }

  const isGrid = (trace) => trace.type === "heatmap" || trace.type === "contour";

  /* For a payload in customdata: the box of indices [left, right, top, bottom] of the marks of a value, null if there is none. */
  function indexBox(trace, position, value) {
    const data = trace.customdata;
    if (!data || !data.length) return null;
    let box = null;
    (isGrid(trace) ? data : [data]).forEach((row, i) => {
      const [first, last] = ends(row, position, value);
      if (first < 0) return;
      if (box === null) box = [first, last, i, i];
      else box = [Math.min(box[0], first), Math.max(box[1], last), box[2], i];
    });
    return box;
  }

  /* First and last place of a value, -1 if it is not there. */
  function ends(row, position, value) {
    if (ArrayBuffer.isView(row)) return [row.indexOf(value), row.lastIndexOf(value)];
    const holds = (one) => tdw.payload.scalar(position.index === null ? one : one && one[position.index]) === value;
    return [row.findIndex(holds), row.findLastIndex(holds)];
  }

  /* Pixel span of cell i of a heatmap axis. */
  function cell(axis, coordinates, i, count) {
    const at = (k) => axis.d2p(coordinates && coordinates.length ? coordinates[k] : k);
    const here = at(i);
    const before = i > 0 ? at(i - 1) : here - ((i + 1 < count ? at(i + 1) : here + 8) - here);
    const after = i + 1 < count ? at(i + 1) : here + (here - before);
    return [(here + before) / 2, (here + after) / 2].sort((a, b) => a - b);
  }

  /* Where a pair (a, b) lies: a cell of a grid or a point of a scatter. */
  function pairMark(trace, where, value, xa, ya) {
    const at = { a: Math.floor(value / where.p), b: value % where.p };
    const [x, y] = [where.a === "x" ? at.a : at.b, where.a === "y" ? at.a : at.b];
    if (!isGrid(trace)) return { kind: "ring", xa, ya, x: xa.d2p(x), y: ya.d2p(y) };
    const column = trace.x ? Array.prototype.indexOf.call(trace.x, x) : x;
    const row = trace.y ? Array.prototype.indexOf.call(trace.y, y) : y;
    return column < 0 || row < 0 ? null : gridMark(trace, [column, column, row, row], xa, ya);
  }

  function gridMark(trace, box, xa, ya) {
    const rows = trace.z.length;
    const columns = rows ? trace.z[0].length : 0;
    const [left, right] = [cell(xa, trace.x, box[0], columns)[0], cell(xa, trace.x, box[1], columns)[1]];
    const spanY = [...cell(ya, trace.y, box[2], rows), ...cell(ya, trace.y, box[3], rows)];
    return { kind: "frame", xa, ya, left, right, top: Math.min(...spanY), bottom: Math.max(...spanY) };
  }

  /* A point of a 3-D plot, seen through its camera. */
  function solidMark(gd, trace, position, value) {
    const scene = gd._fullLayout[trace.scene || "scene"];
    const inner = scene && scene._scene;
    const camera = inner && inner.glplot && inner.glplot.cameraParams;
    if (!camera || !inner.dataScale) return null;
    const among = position.kind === "customdata" ? trace.customdata : trace[position.kind];
    const index = Array.from(among || []).findIndex((one) =>
      tdw.payload.scalar(position.index === null || !Array.isArray(one) ? one : one[position.index]) === value);
    if (index < 0) return null;
    let point = ["x", "y", "z"].map((axis, i) => scene[axis + "axis"].d2l(trace[axis][index]) * inner.dataScale[i]).concat(1);
    for (const matrix of [camera.model, camera.view, camera.projection]) {
      point = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].reduce((sum, column) => sum + matrix[column * 4 + row] * point[column], 0));
    }
    const { l, t, w, h } = gd._fullLayout._size;
    const { domain } = scene;
    const [width, height] = [w * (domain.x[1] - domain.x[0]), h * (domain.y[1] - domain.y[0])];
    const xa = { _offset: l + w * domain.x[0], _length: width };
    const ya = { _offset: t + h * (1 - domain.y[1]), _length: height };
    return { kind: "ring", xa, ya, x: (width * (1 + point[0] / point[3])) / 2, y: (height * (1 - point[1] / point[3])) / 2 };
  }

  function markFor(gd, trace, where, value, xa, ya) {
    const position = tdw.payload.place(where);
    if (position.kind === "constant") return null;
    if (trace.type === "scatter3d") return position.kind === "pair" ? null : solidMark(gd, trace, position, value);
    if (!xa || !ya) return null;
    if (position.kind === "pair") return pairMark(trace, where, value, xa, ya);
    if (position.kind === "x" || position.kind === "y") {
      return { kind: position.kind === "x" ? "vertical" : "horizontal", xa, ya, at: (position.kind === "x" ? xa : ya).d2p(value) };
    }
    const box = indexBox(trace, position, value);
    if (!box) return null;
    if (isGrid(trace)) return gridMark(trace, box, xa, ya);
    return box[0] === box[1] ? { kind: "ring", xa, ya, x: xa.d2p(trace.x[box[0]]), y: ya.d2p(trace.y[box[0]]) } : null;
  }

  /* What a panel shows: the page's selection, or its own. */
  function selectionOf(panel) {
    const own = tdw.panels.kinds.get(panel.kind);
    return own && own.selection ? own.selection(panel) : tdw.selection.get();
  }

  /* A curve of one variant among several has no mark of another variant's epoch. */
  function isOfAnother(fields, selection) {
    const { variant } = fields;
    return typeof variant === "object" && variant !== null && tdw.payload.place(variant).kind === "constant" && variant.value !== selection.variant;
  }

  /* On an axis of aligned time: `layout.meta.times` maps epochs of each variant to places (renderers/comparison/overlays.py). */
  function placeInTime(gd, selection) {
    const table = ((gd.layout.meta || {}).times || {})[selection.variant];
    if (!table || selection.epoch === null || table.epoch.length === 0) return null;
    const { epoch, x } = table;
    const after = epoch.findIndex((one) => one >= selection.epoch);
    if (after < 0 || selection.epoch < epoch[0]) return null;
    if (after === 0 || epoch[after] === selection.epoch) return x[after];
    const share = (selection.epoch - epoch[after - 1]) / (epoch[after] - epoch[after - 1]);
    return x[after - 1] + share * (x[after] - x[after - 1]);
  }
  function alignedMarks(gd, selection) {
    const at = placeInTime(gd, selection);
    const { xaxis: xa, yaxis: ya } = gd._fullLayout;
    return at === null || !xa || !ya ? [] : [{ kind: "vertical", field: "epoch", xa, ya, at: xa.d2p(at) }];
  }

  function marksFor(gd, trace, selection) {
    const shapes = [];
    const fields = tdw.payload.fieldsOf(trace);
    if (trace.visible !== true || isOfAnother(fields, selection)) return shapes;
    const [xa, ya] = axesOf(gd, trace);
    for (const [field, where] of Object.entries(fields)) {
      const value = selection[field];
      if (value === null || value === undefined) continue;
      const shape = markFor(gd, trace, where, value, xa, ya);
      if (shape) shapes.push(Object.assign(shape, { field }));
    }
    return shapes;
  }

  const inside = (value, axis) => value >= -0.5 && value <= axis._length + 0.5;

  /* CSS box of a shape inside the plot, or null when it lies outside the visible range. */
  function boxOf(shape) {
    const { xa, ya } = shape;
    const [x0, y0, width, height] = [xa._offset, ya._offset, xa._length, ya._length];
    if (shape.kind === "vertical") return inside(shape.at, xa) ? [x0 + shape.at, y0, 0, height] : null;
    if (shape.kind === "horizontal") return inside(shape.at, ya) ? [x0, y0 + shape.at, width, 0] : null;
    if (shape.kind === "ring") return inside(shape.x, xa) && inside(shape.y, ya) ? [x0 + shape.x, y0 + shape.y, 0, 0] : null;
    const left = Math.max(0, shape.left);
    const right = Math.min(width, shape.right);
    const top = Math.max(0, shape.top);
    const bottom = Math.min(height, shape.bottom);
    if (right <= left || bottom <= top) return null;
    return [x0 + left, y0 + top, Math.max(2, right - left), Math.max(2, bottom - top)];
  }

  /* Lines that stand for one selected value (payload {value: constant}) are drawn stronger. */
  function emphasise(gd, selection) {
    if (!gd._fullData.some((trace) => Object.values(tdw.payload.fieldsOf(trace)).some((where) => where && typeof where === "object" && !("p" in where)))) return;
    gd.querySelectorAll(".scatterlayer .trace").forEach((node) => {
      const bound = node.__data__ && node.__data__[0];
      const trace = bound && bound.trace;
      if (!trace) return;
      const chosen = Object.entries(tdw.payload.fieldsOf(trace)).some(([field, where]) =>
        tdw.payload.place(where).kind === "constant" && tdw.payload.scalar(where.value) === selection[field]);
      node.classList.toggle("is-chosen", chosen);
    });
  }

  function place(panel) {
    const gd = tdw.drawing.plot(panel);
    if (!gd || !gd._fullLayout || !gd._fullData) return;
    const selection = selectionOf(panel);
    let overlay = panel.overlay;
    if (!overlay || overlay.parentNode !== gd) {
      overlay = panel.overlay = tdw.el("div", { class: "cursor-layer", "aria-hidden": "true" });
      gd.append(overlay);
    }
    const nodes = new Map();
    for (const shape of [...alignedMarks(gd, selection), ...gd._fullData.flatMap((trace) => marksFor(gd, trace, selection))]) {
      const box = boxOf(shape);
      if (box) nodes.set([shape.kind, shape.field, ...box.map(Math.round)].join(), [shape, box]);
    }
    while (overlay.children.length > nodes.size) overlay.lastChild.remove();
    while (overlay.children.length < nodes.size) overlay.append(document.createElement("div"));
    let i = 0;
    for (const [identity, [shape, box]] of nodes) {
      const node = overlay.children[i++];
      node.dataset.value = selection[shape.field];
      if (node.tdwIdentity === identity) continue;
      node.tdwIdentity = identity;
      const thin = shape.kind === "frame" && Math.min(box[2], box[3]) < 6 ? " is-thin" : "";
      node.className = "cursor is-" + shape.kind + " of-" + shape.field + thin;
      node.dataset.field = shape.field;
      node.style.cssText = `transform:translate(${box[0].toFixed(1)}px,${box[1].toFixed(1)}px);width:${box[2].toFixed(1)}px;height:${box[3].toFixed(1)}px`;
    }
    emphasise(gd, selection);
  }

  /* At once, not in the next frame: the cursors are what a step of the epoch is seen by. */
  tdw.on("selection", (state, changed) => {
    if (changed.size === 1 && (changed.has("params") || changed.has("page"))) return;
    for (const panel of tdw.panels.all()) if (panel.visible) place(panel);
  });

  /* The lines over a figure as plotly shapes, for an image of it. */
  function shapes(panel) {
    const gd = tdw.drawing.plot(panel);
    const selection = selectionOf(panel);
    const found = new Map();
    const at = placeInTime(gd, selection);
    if (at !== null) found.set("aligned", { type: "line", xref: "x", yref: "y domain", x0: at, x1: at, y0: 0, y1: 1, line: { width: 2, color: getComputedStyle(gd).getPropertyValue("--accent").trim() } });
    for (const trace of gd._fullData) {
      for (const [field, where] of Object.entries(tdw.payload.fieldsOf(trace))) {
        const { kind } = tdw.payload.place(where);
        if ((kind !== "x" && kind !== "y") || trace.type === "scatter3d" || selection[field] === null) continue;
        const [along, across] = kind === "x" ? ["x", "y"] : ["y", "x"];
        found.set(kind + field + trace[along + "axis"], {
          type: "line", [along + "ref"]: trace[along + "axis"] || along, [across + "ref"]: (trace[across + "axis"] || across) + " domain",
          [along + "0"]: selection[field], [along + "1"]: selection[field], [across + "0"]: 0, [across + "1"]: 1,
          line: { width: field === "epoch" ? 2 : 1, dash: field === "epoch" ? "solid" : "dash", color: getComputedStyle(gd).getPropertyValue(field === "epoch" ? "--accent" : "--ink").trim() },
        });
      }
    }
    return [...found.values()];
  }

  tdw.cursors = { place, shapes };
})((window.tdw = window.tdw || {}));
