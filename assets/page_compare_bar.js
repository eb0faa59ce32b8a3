/* The bar that stays over the comparisons: the selected variants, alignment, colours, what to select next. */
(function (tdw) {
  "use strict";
  const MOST_CHIPS = 60;
  let parts = null;

  function choice(id, label, act) {
    const select = tdw.el("select", { id: "compare-" + id, class: "parameter", "aria-label": label });
    select.addEventListener("change", () => act(select.value));
    return select;
  }
  const labelled = (text, control) => tdw.el("span", { class: "parameter-box" }, tdw.el("label", { for: control.id }, text), control);

  function build() {
    const home = tdw.compare.home("bar");
    const alignments = JSON.parse(home.dataset.alignments);
    const align = choice("align", "Time aligned by", (value) => tdw.compare.setOptions({ align: value === "epoch" ? null : value }));
    for (const [value, text] of Object.entries(alignments)) align.append(tdw.el("option", { value }, text));
    const color = choice("color", "Colour by", (value) => tdw.compare.setOptions({ color: value === "variant" ? null : value }));
    const of = choice("of", "Statistics of", (value) => tdw.compare.setOptions({ of: value || null }));
    const chips = tdw.el("div", { class: "compare-chips", role: "group", "aria-label": "Selected variants" });
    const pick = tdw.el("details", { class: "pops compare-pick" }, tdw.el("summary", { class: "chip" }, "select …"), tdw.el("div", { class: "popped", role: "group", "aria-label": "Select variants" }));
    pick.addEventListener("toggle", () => pick.open && fillPick(pick.querySelector(".popped")));
    const link = tdw.el("button", { type: "button", class: "chip is-quiet", onclick: copy }, "copy link");
    home.replaceChildren(chips, tdw.el("div", { class: "compare-bar-controls" }, pick, labelled("Time", align), labelled("Colour", color), labelled("Statistics of", of), link));
    parts = { chips, align, color, of };
  }

  async function copy() {
    const text = window.location.origin + tdw.selection.toUrl(tdw.selection.get());
    try {
      await navigator.clipboard.writeText(text);
      tdw.notices.show("info", "Copied: " + text);
    } catch (error) {
      tdw.notices.show("warning", "The browser does not let this page write to the clipboard. The address bar has the same link.");
    }
  }

  /* --- what to select, seen from the current variant --- */
  function offers() {
    const { names, columns, at, parameters } = tdw.compare.table();
    const current = tdw.selection.get().variant;
    const row = at.get(current);
    const where = (test) => names.filter((name, i) => test(i));
    const shown = tdw.compare.shown() || names;
    if (row === undefined) return [["all shown", shown], ["none", []]];
    const children = (kind) => [current, ...where((i) => columns.parent[i] === current && columns.kind[i] === kind)];
    const p = (parameters.p || [])[row];
    return [
      [`${current} and its forks`, children("fork")], [`${current} and its replicates`, children("replicate")],
      ...(columns.parent[row] && at.has(columns.parent[row]) ? [[`its parent ${columns.parent[row]} and itself`, [columns.parent[row], current]]] : []),
      ...(p === undefined ? [] : [[`all with p = ${p}`, where((i) => parameters.p[i] === p)]]),
      ["all shown in the table", shown], ["none", []],
    ];
  }
  function fillPick(home) {
    if (tdw.compare.table() === null) return;
    home.replaceChildren(...offers().map(([text, names]) => tdw.el("button", {
      type: "button", disabled: names.length === 1, onclick: () => {
        tdw.compare.select(names);
        home.closest("details").open = false;
      },
    }, names.length ? `${text} (${names.length})` : text)));
  }

  function chip(name) {
    const isCurrent = name === tdw.selection.get().variant;
    const swatch = tdw.el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = tdw.compare.colour(name) || "var(--edge)";
    const group = tdw.compare.group(name);
    const make = tdw.el("button", { type: "button", class: "compare-chip-name", "aria-pressed": String(isCurrent), title: `${name}${group === name ? "" : ` (${tdw.compare.option("color")} = ${group})`}: make it the current variant`, onclick: () => tdw.selection.set({ variant: name }, "push") }, swatch, tdw.el("span", {}, name));
    return tdw.el("span", { class: "compare-chip" + (isCurrent ? " is-current" : "") }, make,
      tdw.el("button", { type: "button", class: "compare-chip-remove", "aria-label": "Remove " + name, title: "Remove from the selection", onclick: () => tdw.compare.toggle(name) }, "×"));
  }

  function show() {
    const table = tdw.compare.table();
    if (!parts || table === null) return;
    const names = tdw.compare.selected();
    const focused = parts.chips.contains(document.activeElement);
    const rest = names.length > MOST_CHIPS ? [tdw.el("span", { class: "compare-none" }, `and ${names.length - MOST_CHIPS} more`)] : [];
    const none = tdw.el("span", { class: "compare-none" }, `Nothing is selected: tick rows of the table. Statistics take all ${tdw.format((tdw.compare.shown() || table.names).length)} variants that it shows.`);
    parts.chips.replaceChildren(...(names.length ? [...names.slice(0, MOST_CHIPS).map(chip), ...rest] : [none]));
    if (focused) (parts.chips.querySelector("button") || parts.align).focus();
    parts.align.value = tdw.compare.option("align", "epoch");
    const settings = Object.keys(table.parameters);
    const asked = tdw.compare.option("color", "variant");
    const offered = ["variant", ...settings, "kind", "parent", ...(["variant", "kind", "parent", ...settings].includes(asked) ? [] : [asked])];
    parts.color.replaceChildren(...offered.map((value) => tdw.el("option", { value }, tdw.compareColumns.words(value))));
    parts.color.value = asked;
    const shown = (tdw.compare.shown() || table.names).length;
    parts.of.replaceChildren(tdw.el("option", { value: "" }, names.length ? `selected (${names.length})` : `all shown (${shown})`), ...(names.length ? [tdw.el("option", { value: "shown" }, `all shown (${shown})`)] : []));
    parts.of.value = names.length && tdw.compare.option("of") === "shown" ? "shown" : "";
    parts.of.disabled = !names.length;
  }

  tdw.on("boot", build);
  tdw.on("compare", (changed) => {
    if (["table", "shown", "selected", "colours", "align", "color", "of"].some((name) => changed.has(name))) show();
  });
  tdw.on("selection", (state, changed) => {
    if (state.page === "compare" && changed.has("variant")) show();
  });
})((window.tdw = window.tdw || {}));
