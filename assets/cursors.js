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

  /* For a payload in customdata: value -> where its marks are (a box of indices, or point numbers). */
  function indexMarks(trace, position) {
    const found = new Map();
    const data = trace.customdata;
    if (!data) return found;
    const pick = (one) => tdw.payload.scalar(position.index === null ? one : one && one[position.index]);
    const add = (value, column, row) => {
      if (value === null) return;
      const box = found.get(value);
      if (!box) found.set(value, [column, column, row, row]);
      else {
        box[0] = Math.min(box[0], column);
        box[1] = Math.max(box[1], column);
        box[2] = Math.min(box[2], row);
        box[3] = Math.max(box[3], row);
      }
    };
    if (isGrid(trace)) {
      for (let row = 0; row < data.length; row++) {
        for (let column = 0; column < data[row].length; column++) add(pick(data[row][column]), column, row);
      }
    } else {
      for (let i = 0; i < data.length; i++) add(pick(data[i]), i, i);
    }
    return found;
  }

  /* Pixel span of cell i of a heatmap axis. */
  function cell(axis, coordinates, i, count) {
    const at = (k) => axis.d2p(coordinates && coordinates.length ? coordinates[k] : k);
    const here = at(i);
    const before = i > 0 ? at(i - 1) : here - ((i + 1 < count ? at(i + 1) : here + 8) - here);
    const after = i + 1 < count ? at(i + 1) : here + (here - before);
    return [(here + before) / 2, (here + after) / 2].sort((a, b) => a - b);
  }

  function marksFor(gd, trace, selection) {
    const shapes = [];
    const [xa, ya] = axesOf(gd, trace);
    if (!xa || !ya || trace.visible !== true) return shapes;
    for (const [field, where] of Object.entries(tdw.payload.fieldsOf(trace))) {
      const value = selection[field];
      if (value === null || value === undefined) continue;
      const position = tdw.payload.place(where);
      if (position.kind === "constant") continue;
      if (position.kind === "x" || position.kind === "y") {
        shapes.push({ kind: position.kind === "x" ? "vertical" : "horizontal", field, xa, ya, at: (position.kind === "x" ? xa : ya).d2p(value) });
        continue;
      }
      trace._tdwMarks = trace._tdwMarks || {};
      const box = (trace._tdwMarks[where] = trace._tdwMarks[where] || indexMarks(trace, position)).get(value);
      if (!box) continue;
      if (!isGrid(trace)) {
        if (box[0] === box[1]) shapes.push({ kind: "ring", field, xa, ya, x: xa.d2p(trace.x[box[0]]), y: ya.d2p(trace.y[box[0]]) });
        continue;
      }
      const rows = trace.z.length;
      const columns = rows ? trace.z[0].length : 0;
      const [left, right] = [cell(xa, trace.x, box[0], columns)[0], cell(xa, trace.x, box[1], columns)[1]];
      const spanY = [...cell(ya, trace.y, box[2], rows), ...cell(ya, trace.y, box[3], rows)];
      shapes.push({ kind: "frame", field, xa, ya, left, right, top: Math.min(...spanY), bottom: Math.max(...spanY) });
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
    const selection = tdw.selection.get();
    let overlay = gd.querySelector(":scope > .cursor-layer");
    if (!overlay) {
      overlay = tdw.el("div", { class: "cursor-layer", "aria-hidden": "true" });
      gd.append(overlay);
    }
    const seen = new Set();
    const nodes = [];
    for (const trace of gd._fullData) {
      for (const shape of marksFor(gd, trace, selection)) {
        const box = boxOf(shape);
        if (!box) continue;
        const identity = [shape.kind, shape.field, ...box.map(Math.round)].join();
        if (seen.has(identity)) continue;
        seen.add(identity);
        nodes.push([shape, box]);
      }
    }
    while (overlay.children.length > nodes.length) overlay.lastChild.remove();
    while (overlay.children.length < nodes.length) overlay.append(document.createElement("div"));
    nodes.forEach(([shape, box], i) => {
      const node = overlay.children[i];
      const thin = shape.kind === "frame" && Math.min(box[2], box[3]) < 6 ? " is-thin" : "";
      node.className = "cursor is-" + shape.kind + " of-" + shape.field + thin;
      node.dataset.field = shape.field;
      node.dataset.value = selection[shape.field];
      node.style.transform = "translate(" + box[0].toFixed(1) + "px," + box[1].toFixed(1) + "px)";
      node.style.width = box[2].toFixed(1) + "px";
      node.style.height = box[3].toFixed(1) + "px";
    });
    emphasise(gd, selection);
  }

  const placeAll = tdw.framed(() => {
    for (const panel of tdw.panels.all()) if (panel.visible) place(panel);
  });
  tdw.on("selection", placeAll);

  tdw.cursors = { place };
})((window.tdw = window.tdw || {}));
