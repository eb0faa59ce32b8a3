/* The line over the table: search, column sets, the choice of columns, grouping, filters. */
(function (tdw) {
  "use strict";
  const OWN = "own:";
  const FIRST = "Overview";
  let sets = {}; // saved in the workspace: name -> column ids
  let parts = null;

  /* Column ids of what the address says: a preset, a saved set, or a list of its own. */
  function columns() {
    const { columns: list, set } = tdw.compare.options();
    if (list) return tdw.compareColumns.resolve(["name", ...list.split("|")]);
    const name = set || FIRST;
    const chosen = name.startsWith(OWN) ? sets[name.slice(OWN.length)] : tdw.compareColumns.PRESETS[name];
    return tdw.compareColumns.resolve(chosen || tdw.compareColumns.PRESETS[FIRST]);
  }

  function build() {
    const home = tdw.compare.home("tools");
    const search = tdw.el("input", { type: "search", id: "compare-search", class: "number-box", placeholder: "Search the rows", "aria-label": "Search the rows", autocomplete: "off" });
    search.addEventListener("input", () => tdw.compare.setOptions({ q: search.value.trim() }, "replace"));
    const set = tdw.el("select", { id: "compare-set", class: "parameter", "aria-label": "Columns" });
    set.addEventListener("change", () => tdw.compare.setOptions({ set: set.value === FIRST ? null : set.value, columns: null }));
    const group = tdw.el("select", { id: "compare-group", class: "parameter", "aria-label": "Rows grouped by" });
    group.addEventListener("change", () => tdw.compare.setOptions({ group: group.value }));
    const filters = tdw.el("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: () => showFilters(filters.getAttribute("aria-pressed") !== "true") }, "filters");
    const clear = tdw.el("button", { type: "button", class: "chip is-quiet", hidden: true, onclick: () => tdw.compare.setOptions({ q: null, filter: null }) }, "show all rows");
    const picker = tdw.el("details", { class: "pops compare-columns" }, tdw.el("summary", { class: "chip" }, "choose columns"), tdw.el("div", { class: "popped", role: "group", "aria-label": "Columns of the table" }));
    picker.addEventListener("toggle", () => picker.open && fillPicker(picker.querySelector(".popped")));
    home.replaceChildren(search, labelled("Columns", set), picker, labelled("Grouped by", group), filters, clear);
    parts = { search, set, group, filters, clear };
  }
  const labelled = (text, control) => tdw.el("span", { class: "parameter-box" }, tdw.el("label", { for: control.id }, text), control);

  function showFilters(on) {
    parts.filters.setAttribute("aria-pressed", String(on));
    parts.filters.classList.toggle("is-set", on);
    const api = tdw.compareGrid.api();
    const base = api.getGridOption("defaultColDef");
    api.setGridOption("defaultColDef", Object.assign({}, base, { floatingFilter: on }));
  }

  /* Every column with a box, by section; what is ticked stands in the table, and can be saved under a name. */
  function fillPicker(home) {
    const chosen = new Set(columns());
    const search = tdw.el("input", { type: "search", class: "number-box", placeholder: "Find a column", "aria-label": "Find a column" });
    const list = tdw.el("div", { class: "compare-column-list" });
    for (const group of tdw.compareColumns.all().slice(1)) {
      const rows = group.children.map((column) => {
        const box = tdw.el("input", { type: "checkbox", value: column.colId });
        box.checked = chosen.has(column.colId);
        return tdw.el("label", { class: "check", title: column.headerTooltip || column.headerName }, box, column.headerName);
      });
      list.append(tdw.el("fieldset", {}, tdw.el("legend", {}, group.headerName), ...rows));
    }
    list.addEventListener("change", () => {
      const now = new Set([...list.querySelectorAll("input:checked")].map((box) => box.value));
      const kept = columns().filter((id) => id === "name" || now.delete(id));
      tdw.compare.setOptions({ columns: [...kept.slice(1), ...now].join("|") });
    });
    search.addEventListener("input", () => {
      const wanted = search.value.toLowerCase();
      list.querySelectorAll("label").forEach((label) => (label.hidden = !label.textContent.toLowerCase().includes(wanted)));
      list.querySelectorAll("fieldset").forEach((field) => (field.hidden = !field.querySelector("label:not([hidden])")));
    });
    home.replaceChildren(search, list, saving());
    search.focus();
  }

  function saving() {
    const name = tdw.el("input", { type: "text", class: "number-box", placeholder: "Name of this set", "aria-label": "Name of this column set", maxlength: 60, value: ownName() });
    const save = tdw.el("button", { type: "submit", class: "button is-primary" }, "Save");
    const remove = tdw.el("button", { type: "button", class: "button", hidden: !ownName(), onclick: () => forget(ownName()) }, "Delete");
    const form = tdw.el("form", { class: "compare-save" }, name, save, remove);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(name.value.trim());
    });
    return form;
  }
  const ownName = () => {
    const { set, columns: list } = tdw.compare.options();
    return set && !list && set.startsWith(OWN) ? set.slice(OWN.length) : "";
  };
  async function keep(name) {
    if (!name) return tdw.notices.show("warning", "Type a name for this set of columns first.");
    try {
      sets = await tdw.post("/_compare/columns", { name, columns: columns().slice(1) });
      options();
      tdw.compare.setOptions({ set: OWN + name, columns: null });
      document.querySelector(".compare-columns").open = false;
      return undefined;
    } catch (error) {
      return tdw.notices.show("error", error.message);
    }
  }
  async function forget(name) {
    try {
      sets = await tdw.fetch("/_compare/columns/" + encodeURIComponent(name), { method: "DELETE" });
      tdw.compare.setOptions({ set: null });
      options();
      document.querySelector(".compare-columns").open = false;
    } catch (error) {
      tdw.notices.show("error", error.message);
    }
  }
  async function loadSets() {
    try {
      sets = await tdw.fetch("/_compare/columns");
    } catch (error) {
      sets = {};
    }
    options();
    if ((tdw.compare.option("set") || "").startsWith(OWN)) tdw.compareGrid.apply(new Set(["set"]));
  }

  /* What the two drop-downs offer, and what stands in them. */
  function options() {
    if (!parts || tdw.compare.table() === null) return;
    const option = (value, text) => tdw.el("option", { value }, text);
    const { set, columns: list, group } = tdw.compare.options();
    const own = Object.keys(sets).sort();
    parts.set.replaceChildren(...(list ? [option("", "as chosen")] : []), ...Object.keys(tdw.compareColumns.PRESETS).map((name) => option(name, name)),
      ...(own.length ? [tdw.el("optgroup", { label: "Saved" }, ...own.map((name) => option(OWN + name, name)))] : []));
    parts.set.value = list ? "" : set || FIRST;
    parts.group.replaceChildren(option("", "nothing"), option(tdw.compareGroups.KIN, "parent"), ...Object.keys(tdw.compare.table().parameters).map((name) => option(name, tdw.compareColumns.words(name))));
    parts.group.value = group || "";
  }
  function show() {
    if (!parts) return;
    if (document.activeElement !== parts.search) parts.search.value = tdw.compare.option("q", "");
    parts.clear.hidden = !tdw.compare.option("q") && !tdw.compare.option("filter");
    const [shown, table] = [tdw.compare.shown(), tdw.compare.table()];
    const count = tdw.compare.home("count");
    if (table === null) return;
    const all = table.names.length;
    const some = shown !== null && shown.length < all ? `${tdw.format(shown.length)} of ${tdw.format(all)} variants shown` : `${tdw.format(all)} variant${all === 1 ? "" : "s"}`;
    const picked = tdw.compare.selected().length;
    count.textContent = picked ? `${some}, ${picked} selected` : some;
  }

  /* How high the table is belongs to this browser. */
  function setUpResizing() {
    const handle = tdw.compare.home("resize");
    const box = tdw.compare.home("grid-box");
    const set = (height) => {
      const pixels = Math.round(Math.min(1200, Math.max(160, height)));
      document.documentElement.style.setProperty("--compare-height", pixels + "px");
      handle.setAttribute("aria-valuenow", pixels);
      tdw.remember("compare.height", pixels);
    };
    const kept = Number(tdw.recall("compare.height", ""));
    if (kept) set(kept);
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      const from = box.clientHeight - event.clientY;
      handle.onpointermove = (moved) => set(from + moved.clientY);
    });
    handle.addEventListener("pointerup", () => (handle.onpointermove = null));
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowUp: -28, ArrowDown: 28 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      set(box.clientHeight + by);
    });
    handle.addEventListener("focus", () => handle.setAttribute("aria-valuenow", box.clientHeight));
  }

  tdw.on("boot", () => {
    build();
    setUpResizing();
  });
  tdw.on("compare", (changed) => {
    if (changed.has("table")) loadSets();
    if (["table", "set", "columns", "group"].some((name) => changed.has(name))) options();
    show();
  });
  tdw.compareTools = { columns };
})((window.tdw = window.tdw || {}));
