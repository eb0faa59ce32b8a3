/* Rows of the table in groups that fold. AG Grid's community edition groups no rows, so each group has a head row
 * of its own kind, which passes every filter and is put before its members after each sort; members of a folded
 * group are filtered out, but still count as shown. */
(function (tdw) {
  "use strict";
  const KIN = "kin"; // runs with what was forked from them
  const ALONE = "no relatives";
  let folded = new Map(); // key of a group -> the names that passed the filters when it was folded
  let order = new Map(); // key -> place

  const by = () => tdw.compare.option("group");
  function founder(name) {
    const { columns, at } = tdw.compare.table();
    let now = name;
    for (let step = 0; step < 50; step++) {
      const parent = columns.parent[at.get(now)];
      if (!parent || !at.has(parent)) break;
      now = parent;
    }
    return now;
  }
  function labels(rows) {
    if (by() !== KIN) return new Map(rows.map((row) => [row.name, tdw.compareColumns.plain(tdw.compareColumns.setting(by(), row)) || "none"]));
    const founders = new Map(rows.map((row) => [row.name, founder(row.name)]));
    const sizes = new Map();
    for (const one of founders.values()) sizes.set(one, (sizes.get(one) || 0) + 1);
    return new Map([...founders].map(([name, one]) => [name, sizes.get(one) > 1 ? one : ALONE]));
  }
  const natural = (a, b) => Number(a === ALONE) - Number(b === ALONE) || a.localeCompare(b, "en", { numeric: true });

  /* The rows with a head for every group. */
  function grouped(rows) {
    order = new Map();
    if (!by() || (by() !== KIN && !(by() in tdw.compare.table().parameters))) return rows;
    const of = labels(rows);
    const members = new Map();
    for (const row of rows) {
      row.key = of.get(row.name);
      members.set(row.key, [...(members.get(row.key) || []), row.name]);
    }
    [...members.keys()].sort(natural).forEach((key, place) => order.set(key, place));
    const title = by() === KIN ? "" : tdw.compareColumns.words(by()) + " =";
    const heads = [...members].map(([key, names]) => ({ id: "group:" + key, group: title || "Related:", key, label: key, names, folded: folded.has(key) }));
    return [...heads, ...rows];
  }

  /* After each sort: groups in their order, every head first. Sorting is stable, so members stay sorted. */
  function arrange({ nodes }) {
    if (!order.size) return;
    const rank = (node) => order.get(node.data.key);
    nodes.sort((a, b) => rank(a) - rank(b) || Number(!a.data.group) - Number(!b.data.group));
  }

  function fold(key) {
    const api = tdw.compareGrid.api();
    if (folded.has(key)) folded.delete(key);
    else {
      const names = [];
      api.forEachNodeAfterFilter((node) => node.data.key === key && !node.data.group && names.push(node.data.name));
      folded.set(key, names);
    }
    const head = api.getRowNode("group:" + key);
    if (head) head.setData(Object.assign({}, head.data, { folded: folded.has(key) }));
    tdw.compareGrid.apply(new Set(["folded"]));
  }
  function unfold() {
    if (!folded.size) return;
    for (const key of [...folded.keys()]) fold(key);
  }
  const hidden = (shown) => {
    const there = new Set(shown);
    return [...folded.values()].flat().filter((name) => !there.has(name));
  };

  tdw.on("compare", (changed) => {
    if (changed.has("group")) folded = new Map();
    if (changed.has("q")) unfold();
  });
  tdw.compareGroups = { KIN, grouped, arrange, fold, unfold, hidden, any: () => folded.size > 0, isFolded: (row) => !row.group && folded.has(row.key) };
})((window.tdw = window.tdw || {}));
