/* The table itself: Dash's AG Grid, made when the page is first opened, kept in step with the address. */
(function (tdw) {
  "use strict";
  const ID = "compare-grid";
  const REST = 80;
  const AT_ONCE = 200; // rows of one question; dashboard/pages/compare_table.py
  const OWN_KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", " ", "[", "]", "n", "N", "Home", "End"]);
  let api = null;
  let making = false;
  let extras = new Map(); // name -> {token, loss, lower: event -> epoch}
  let waiting = 0;
  let current = null;

  /* --- what the cells ask --- */
  const loss = (name) => (extras.get(name) || {}).loss || null;
  const lower = (name, event) => ((extras.get(name) || {}).lower || {})[event];
  function scale() {
    const { columns, metric } = tdw.compare.table();
    const largest = metric.get("largest test loss");
    return {
      width: Math.log10(1 + Math.max(1, ...columns.trained_epochs.map(Number))),
      top: Math.log10(Math.max(10, ...(largest ? largest.values.filter((value) => value !== null) : []))),
    };
  }

  async function fetchExtras() {
    const { token } = tdw.compare.table();
    const nodes = api.getRenderedNodes().filter((node) => node.data && !node.data.group);
    const wanted = nodes.filter((node) => (extras.get(node.data.name) || {}).token !== token).slice(0, AT_ONCE);
    if (!wanted.length) return;
    const names = wanted.map((node) => node.data.name);
    for (const name of names) extras.set(name, Object.assign({}, extras.get(name), { token }));
    try {
      const { events, rows } = await tdw.post("/_compare/rows", { names });
      for (const [name, row] of Object.entries(rows)) {
        extras.set(name, { token, loss: row.loss, lower: Object.fromEntries(events.map((event, i) => [event, row.lower[i]])) });
      }
      api.refreshCells({ rowNodes: wanted, columns: ["loss"], force: true });
    } catch (error) {
      for (const name of names) extras.delete(name);
    }
  }
  function wantExtras() {
    clearTimeout(waiting);
    waiting = setTimeout(() => api && !api.isDestroyed() && tdw.compare.isHere() && fetchExtras(), REST);
  }

  /* --- making it --- */
  const rows = () => {
    const { names, verdicts } = tdw.compare.table();
    return tdw.compareGroups.grouped(names.map((name, at) => ({ id: name, name, at, verdict: verdicts[at] })));
  };
  window.dashAgGridFunctions = Object.assign({}, window.dashAgGridFunctions, {
    tdwTheme: (agGrid) => agGrid.themeQuartz.withParams({
      backgroundColor: "var(--surface)", foregroundColor: "var(--ink)", textColor: "var(--ink)", headerBackgroundColor: "var(--surface)", headerTextColor: "var(--ink-soft)",
      borderColor: "var(--edge)", accentColor: "var(--accent)", chromeBackgroundColor: "var(--surface)", rowHoverColor: "var(--sunken)", selectedRowBackgroundColor: "var(--accent-soft)",
      menuBackgroundColor: "var(--surface)", tooltipBackgroundColor: "var(--surface)", tooltipTextColor: "var(--ink)", inputBackgroundColor: "var(--surface)", inputTextColor: "var(--ink)",
      inputBorder: "solid 1px var(--edge-strong)", checkboxUncheckedBorderColor: "var(--edge-strong)", checkboxCheckedShapeColor: "var(--on-accent)", browserColorScheme: "inherit",
      fontFamily: "inherit", fontSize: 12, headerFontSize: 11.5, headerFontWeight: 600, spacing: 5, rowHeight: 28, headerHeight: 50, wrapperBorder: false, wrapperBorderRadius: 0, cellHorizontalPadding: 8,
    }),
  });
  const options = () => ({
    theme: { function: "tdwTheme(agGrid)" },
    rowSelection: { mode: "multiRow", checkboxes: true, headerCheckbox: true, enableClickSelection: false, selectAll: "filtered", isRowSelectable: (node) => !node.data.group },
    selectionColumnDef: { pinned: "left", width: 36, resizable: false, suppressHeaderMenuButton: true },
    isFullWidthRow: (params) => Boolean(params.rowNode.data && params.rowNode.data.group),
    fullWidthCellRenderer: tdw.compareCells.Group, postSortRows: tdw.compareGroups.arrange, alwaysPassFilter: (node) => Boolean(node.data.group),
    isExternalFilterPresent: () => tdw.compareGroups.any(), doesExternalFilterPass: (node) => !tdw.compareGroups.isFolded(node.data),
    getRowClass: (params) => (params.data && params.data.name === tdw.selection.get().variant ? "is-current" : ""),
    tooltipShowDelay: 400, tooltipHideDelay: 20000, groupHeaderHeight: 22, floatingFiltersHeight: 30, suppressDragLeaveHidesColumns: true, suppressColumnMoveAnimation: true, animateRows: false,
    includeHiddenColumnsInQuickFilter: false, cacheQuickFilter: true, multiSortKey: "ctrl",
    overlayNoRowsTemplate: { function: "''" },
  });
  /* Hidden from the start what the chosen set does not show: a column costs time even when it is put away again. */
  function columnDefs() {
    const shown = new Set(tdw.compareTools.columns());
    return tdw.compareColumns.all().map((group) => Object.assign(group, { children: group.children.map((one) => Object.assign(one, { hide: !shown.has(one.colId) })) }));
  }
  async function make() {
    if (making || !tdw.compare.table().names.length) return;
    making = true;
    await tdw.startup.grid();
    const props = {
      id: ID, columnDefs: columnDefs(), rowData: rows(), getRowId: "params.data.id", style: { height: "100%" }, dashGridOptions: options(),
      defaultColDef: { resizable: true, sortable: true, wrapHeaderText: true, filterParams: { maxNumConditions: 2, buttons: ["reset"] }, sortingOrder: ["asc", "desc", null], suppressHeaderMenuButton: true, suppressHeaderFilterButton: true },
    };
    window.dash_clientside.set_props("compare-grid-place", { children: { namespace: "dash_ag_grid", type: "AgGrid", props } });
    api = await window.dash_ag_grid.getApiAsync(ID);
    const box = tdw.compare.home("grid-box");
    box.querySelector("[role=grid], [role=treegrid]").setAttribute("aria-label", "Variants");
    box.addEventListener("keydown", onKey);
    apply(new Set(["set", ...["sort", "filter", "q"].filter((name) => tdw.compare.option(name))]));
    pick();
    api.addEventListener("selectionChanged", onSelection);
    api.addEventListener("sortChanged", (event) => event.source !== "api" && tdw.compare.setOptions({ sort: sortNow() }));
    api.addEventListener("filterChanged", onFilter);
    api.addEventListener("modelUpdated", onModel);
    api.addEventListener("viewportChanged", wantExtras);
    api.addEventListener("cellClicked", onClick);
    onModel();
    tdw.compare.home("cover").hidden = true;
    tdw.emit("compare-grid");
  }

  /* --- from the grid --- */
  const BY_HAND = new Set(["checkboxSelected", "rowClicked", "spaceKey", "uiSelectAll", "uiSelectAllFiltered", "uiSelectAllCurrentPage"]);
  function onSelection(event) {
    if (event.source === "api") return;
    if (!BY_HAND.has(event.source)) {
      setTimeout(pick, 5); // Dash's component sets back the selection when rows are replaced
      return;
    }
    const chosen = new Set(api.getSelectedNodes().map((node) => node.data.name));
    const kept = tdw.compare.selected().filter((name) => chosen.delete(name));
    const added = [];
    api.forEachNodeAfterFilterAndSort((node) => chosen.has(node.data.name) && added.push(node.data.name));
    tdw.compare.select([...kept, ...added]);
  }
  function onFilter(event) {
    if (event.source === "api" || !event.columns.length) return;
    const model = api.getFilterModel();
    tdw.compareGroups.unfold();
    tdw.compare.setOptions({ filter: Object.keys(model).length ? JSON.stringify(model) : null });
  }
  function onModel() {
    const names = [];
    api.forEachNodeAfterFilter((node) => !node.data.group && names.push(node.data.name));
    const { at } = tdw.compare.table();
    tdw.compare.setShown([...names, ...tdw.compareGroups.hidden(names)].filter((name) => at.has(name)).sort((a, b) => at.get(a) - at.get(b)));
    wantExtras();
  }
  function onClick({ data, column, event }) {
    if (data.group || column.getColId() === "ag-Grid-SelectionColumn") return;
    const link = event.target.closest("a.compare-open");
    if (link && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    if (link) event.preventDefault();
    if (link) open(data.name);
    else tdw.selection.set({ variant: data.name }, "push");
  }
  const open = (name) => tdw.selection.set({ page: "explore", view: null, options: {}, variant: name }, "push");
  /* The arrows move in the table, not through the epochs; Enter takes the row, on its name it opens Explore. */
  function onKey(event) {
    if (event.key === "Enter") {
      const cell = api.getFocusedCell();
      const node = cell && api.getDisplayedRowAtIndex(cell.rowIndex);
      if (!node || !event.target.closest(".ag-row")) return;
      if (node.data.group) tdw.compareGroups.fold(node.data.key);
      else if (cell.column.getColId() === "name") open(node.data.name);
      else tdw.selection.set({ variant: node.data.name }, "push");
    }
    if (OWN_KEYS.has(event.key)) event.stopPropagation();
  }

  /* --- to the grid --- */
  const sortNow = () => api.getColumnState().filter((one) => one.sort).sort((a, b) => a.sortIndex - b.sortIndex).map((one) => `${one.colId}:${one.sort}`).join(";");
  function readSort(text) {
    return (text || "").split(";").filter(Boolean).map((one, sortIndex) => ({ colId: one.slice(0, one.lastIndexOf(":")), sort: one.endsWith(":desc") ? "desc" : "asc", sortIndex }));
  }
  function readFilter(text) {
    try {
      return JSON.parse(text || "{}");
    } catch (error) {
      return {};
    }
  }
  function apply(changed) {
    if (api === null) return;
    if (changed.has("set") || changed.has("columns")) {
      const ids = tdw.compareTools.columns();
      api.applyColumnState({ state: ["ag-Grid-SelectionColumn", ...ids].map((colId) => ({ colId, hide: false })), defaultState: { hide: true }, applyOrder: true });
    }
    if (changed.has("group") || changed.has("rows")) {
      api.setGridOption("rowData", rows());
      api.onSortChanged();
    }
    if (changed.has("sort")) api.applyColumnState({ state: readSort(tdw.compare.option("sort")), defaultState: { sort: null } });
    if (changed.has("filter")) api.setFilterModel(readFilter(tdw.compare.option("filter")));
    if (changed.has("q")) api.setGridOption("quickFilterText", tdw.compare.option("q", ""));
    if (changed.has("folded")) api.onFilterChanged();
  }
  /* The checkboxes say what the address says. */
  function pick() {
    if (api === null) return;
    const chosen = new Set(tdw.compare.selected());
    const [on, off] = [[], []];
    api.forEachNode((node) => {
      if (node.data.group || Boolean(node.isSelected()) === chosen.has(node.data.name)) return;
      (chosen.has(node.data.name) ? on : off).push(node);
    });
    if (on.length) api.setNodesSelected({ nodes: on, newValue: true, source: "api" });
    if (off.length) api.setNodesSelected({ nodes: off, newValue: false, source: "api" });
  }
  const repaint = () => api && api.refreshCells({ columns: ["name", "loss", "verdict"], force: true });
  function mark() {
    if (api === null || current === tdw.selection.get().variant) return;
    const nodes = [current, tdw.selection.get().variant].map((name) => name && api.getRowNode(name)).filter(Boolean);
    current = tdw.selection.get().variant;
    if (nodes.length) api.redrawRows({ rowNodes: nodes });
  }

  tdw.on("compare", (changed) => {
    if (changed.has("table")) {
      if (api === null) make();
      else {
        api.setGridOption("columnDefs", columnDefs());
        apply(new Set(["set", "rows"]));
      }
    }
    apply(changed);
    if (changed.has("selected") || changed.has("table")) pick();
    if (changed.has("colours")) repaint();
    if (changed.has("appeared") && api) wantExtras();
  });
  tdw.on("selection", mark);
  tdw.on("work", () => tdw.compare.isHere() && api && api.refreshCells({ columns: ["verdict"], force: true }));

  tdw.compareGrid = { loss, lower, scale, apply, open, api: () => api, settled: () => api !== null };
})((window.tdw = window.tdw || {}));
