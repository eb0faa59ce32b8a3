/* A figure of type "table" as a table of HTML: read aloud, selectable, and its rows clickable like any mark. */
(function (tdw) {
  "use strict";

  const entries = (values) => Array.from(values || []);

  /* Row i of the table as plotly would report a point: its index, and its entry of customdata. */
  const pointOf = (trace, row) => ({ x: row, y: row, customdata: trace.customdata ? trace.customdata[row] : null });

  function build(panel, trace) {
    const columns = entries(trace.cells.values);
    const names = entries(trace.header.values).map((name) => (Array.isArray(name) ? name.join(" ") : name));
    const { align } = trace.cells;
    const kind = (i) => ((Array.isArray(align) ? align[i] : align) === "left" ? "is-words" : null);
    const body = tdw.el("tbody", {});
    for (let row = 0; row < (columns[0] || []).length; row++) {
      const point = pointOf(trace, row);
      const line = tdw.el("tr", { "data-row": row });
      columns.forEach((column, i) => {
        const text = plain(column[row]);
        const cell = tdw.el(i ? "td" : "th", { scope: i ? null : "row", class: kind(i) });
        cell.append(i || !tdw.payload.read(trace, point).length ? text : tdw.el("button", { type: "button", class: "table-mark" }, text));
        line.append(cell);
      });
      line.addEventListener("click", (event) => tdw.chips.clicked(panel, tdw.payload.read(trace, point), event.shiftKey, tdw.payload.meanings(trace)));
      body.append(line);
    }
    const table = tdw.el("table", {}, tdw.el("thead", {}, tdw.el("tr", {}, ...names.map((name, i) => tdw.el("th", { scope: "col", class: kind(i) }, plain(name))))), body);
    const holder = tdw.el("div", { class: "panel-table", tabindex: 0, role: "group", "aria-label": panel.el.dataset.title }, table);
    holder.tdwTrace = trace;
    mark(holder);
    return holder;
  }

  /* plotly's texts may hold <b> and the like; a table shows the words. */
  const plain = (value) => (value === null || value === undefined ? "" : String(value).replace(/<[^>]*>/g, ""));

  /* The rows that stand for what is selected. */
  function mark(holder) {
    const state = tdw.selection.get();
    holder.querySelectorAll("tr[data-row]").forEach((line) => {
      const carried = tdw.payload.read(holder.tdwTrace, pointOf(holder.tdwTrace, Number(line.dataset.row)));
      const chosen = carried.length > 0 && carried[0][1] === state[carried[0][0]];
      if (chosen) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    });
  }

  tdw.on("selection", () => document.querySelectorAll(".panel-table").forEach(mark));
  tdw.table = { build };
})((window.tdw = window.tdw || {}));
