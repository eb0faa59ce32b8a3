/* The variant picker: a searchable tree. Forks stand under their parent, replicates fold; each says what kind of run it is. */
(function (tdw) {
  "use strict";
  const MANY = 3; // copies of one run from which on they are folded
  let parts = null;
  let rows = []; // what is listed: {option} or {copies, parent, count}
  let active = 0;
  const unfolded = new Set();

  const options = () => (tdw.selection.info() ? tdw.selection.info().variants : []);
  const kindOf = (name) => (tdw.about.of() ? tdw.about.of().kinds[name] : undefined);

  function build() {
    const name = tdw.el("span", { class: "picker-name" }, "Choose a variant");
    const kind = tdw.el("span", { class: "badge", hidden: true });
    const button = tdw.el("button", { type: "button", id: "variant-picker", class: "picker-button", "aria-haspopup": "tree", "aria-expanded": "false", "aria-describedby": "picker-label", onclick: () => (parts.box.hidden ? open() : close()) }, name, kind);
    const search = tdw.el("input", { type: "text", class: "picker-search", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder: "search", "aria-label": "Search the variants", "aria-expanded": "true", "aria-haspopup": "tree", "aria-controls": "picker-tree" });
    const tree = tdw.el("ul", { id: "picker-tree", class: "picker-tree", role: "tree", "aria-label": "Variants" });
    const none = tdw.el("p", { class: "picker-none", hidden: true }, "No variant has this in its name or parameters.");
    const box = tdw.el("div", { class: "picker-box", hidden: true }, search, tree, none);
    const facts = tdw.el("div", { id: "variant-facts", class: "facts" });
    document.getElementById("picker").replaceChildren(tdw.el("span", { id: "picker-label", class: "control-label" }, "Variant"), tdw.el("div", { class: "picker" }, button, box), facts);
    search.addEventListener("input", () => list(true));
    search.addEventListener("keydown", onKey);
    document.addEventListener("pointerdown", (event) => {
      if (!event.target.closest(".picker")) close();
    });
    box.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !event.relatedTarget.closest(".picker")) close();
    });
    parts = { name, kind, button, search, tree, none, box, facts };
  }

  /* The rows that fit what is typed; without a search, copies of one run are folded into one row. */
  function found(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) {
      return options().filter((one) => words.every((word) => (one.search + " " + (kindOf(one.value) || "")).includes(word))).map((option) => ({ option, flat: true }));
    }
    const copies = new Map();
    for (const one of options()) if (one.copy) copies.set(one.parent, (copies.get(one.parent) || 0) + 1);
    const made = [];
    const headed = new Set();
    for (const option of options()) {
      const count = option.copy ? copies.get(option.parent) : 0;
      if (count >= MANY && !headed.has(option.parent)) {
        headed.add(option.parent);
        made.push({ copies: true, parent: option.parent, count, depth: option.depth });
      }
      if (count < MANY || unfolded.has(option.parent)) made.push({ option, inside: count >= MANY });
    }
    return made;
  }

  function list(isNew) {
    rows = found(parts.search.value);
    const chosen = rows.findIndex((row) => row.option && row.option.value === tdw.selection.get().variant);
    if (isNew) active = Math.max(0, chosen);
    active = Math.min(active, Math.max(0, rows.length - 1));
    parts.tree.replaceChildren(...rows.map(item));
    parts.none.hidden = rows.length > 0;
    mark();
  }

  function item(row, at) {
    const attributes = { id: "picker-row-" + at, role: "treeitem", onclick: () => take(row) };
    if (row.copies) {
      const open = unfolded.has(row.parent);
      return tdw.el("li", { ...attributes, class: "picker-copies", "aria-level": row.depth + 1, "aria-expanded": String(open), style: `--depth:${row.depth}` },
        tdw.el("span", { class: "picker-name" }, `${open ? "▾" : "▸"} ${row.count} replicates`));
    }
    const { option } = row;
    const depth = row.flat ? 0 : option.depth + (row.inside ? 1 : 0);
    const kind = kindOf(option.value);
    return tdw.el("li", { ...attributes, class: "picker-option", "aria-level": depth + 1, "aria-selected": String(option.value === tdw.selection.get().variant), title: option.value, "data-value": option.value, style: `--depth:${depth}` },
      tdw.el("span", { class: "picker-name" }, row.flat ? option.label : option.short),
      kind || !option.checkpoints ? tdw.el("span", { class: "badge" + (/^grokked( late)?$/.test(kind) ? " is-good" : "") }, kind || "history only") : null);
  }

  function mark() {
    [...parts.tree.children].forEach((one, at) => one.classList.toggle("is-active", at === active));
    const now = parts.tree.children[active];
    if (now) {
      parts.search.setAttribute("aria-activedescendant", now.id);
      now.scrollIntoView({ block: "nearest" });
    } else parts.search.removeAttribute("aria-activedescendant");
  }

  function take(row) {
    if (!row) return;
    if (row.copies) fold(row, !unfolded.has(row.parent));
    else {
      close();
      parts.button.focus();
      tdw.selection.set({ variant: row.option.value }, "push");
    }
  }
  function fold(row, open) {
    unfolded[open ? "add" : "delete"](row.parent);
    active = rows.indexOf(row);
    list(false);
  }

  function onKey(event) {
    const row = rows[active];
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 10, PageUp: active - 10 }[event.key];
    if (to !== undefined) {
      active = Math.min(rows.length - 1, Math.max(0, to));
      mark();
    } else if (event.key === "Enter") take(row);
    else if (event.key === "Escape") {
      close();
      parts.button.focus();
    } else if (row && row.copies && (event.key === "ArrowRight" || event.key === "ArrowLeft")) fold(row, event.key === "ArrowRight");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function open() {
    parts.box.hidden = false;
    parts.button.setAttribute("aria-expanded", "true");
    parts.search.value = "";
    list(true);
    parts.search.focus();
    tdw.selection.refresh(); // what was trained meanwhile, wherever
  }
  function close() {
    if (!parts || parts.box.hidden) return;
    parts.box.hidden = true;
    parts.button.setAttribute("aria-expanded", "false");
  }

  function show() {
    const info = tdw.selection.info();
    if (!parts || !info) return;
    const kind = info.error ? undefined : kindOf(info.variant);
    parts.name.textContent = info.error ? "Choose a variant" : info.variant;
    parts.button.title = info.error ? "" : info.variant;
    parts.kind.hidden = !kind;
    parts.kind.textContent = kind || "";
    parts.kind.classList.toggle("is-good", /^grokked( late)?$/.test(kind));
    parts.facts.replaceChildren(...(info.error ? [] : [tdw.el("dl", {}, ...info.facts.map(([label, value]) => tdw.el("div", {}, tdw.el("dt", {}, label), tdw.el("dd", {}, value))))]));
    if (!parts.box.hidden) list(false);
  }

  tdw.on("boot", build);
  tdw.on("info", show);
  tdw.on("about", show);
  tdw.picker = { open };
})((window.tdw = window.tdw || {}));
