/* The columns of the table: what each holds, how it is written, which ones a preset shows. */
(function (tdw) {
  "use strict";
  const SECTIONS = { run: "Run", turn: "Turn", signals: "Signals", frequencies: "Fourier", geometry: "Geometry", structure: "Structure" };
  const WORDS = { data_seed: "data seed", lr: "learning rate", frac_train: "training share" };
  const MINUS = "\u2212";
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

  /* A number as people read it: 9,400; 0.0731; 2.1e-7. */
  function number(value, unit) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    let text;
    if (Number.isInteger(value) && size < 1e9) text = whole.format(value);
    else if (/^epochs?$/.test(unit || "")) text = whole.format(value);
    else if (size >= 1e6 || size < 1e-3) text = value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
    else text = String(Number(value.toPrecision(4)));
    return text.replace(/-/g, MINUS);
  }
  const words = (name) => WORDS[name] || name.replaceAll("_", " ");
  const plain = (value) => (value === null || value === undefined ? "" : typeof value === "number" ? number(value).replace(/,/g, "") : String(value));

  const isMember = (params) => params.data && !params.data.group;
  const get = (read) => (params) => (isMember(params) ? read(params.data) : null);
  const metric = (name, row) => {
    const one = tdw.compare.table().metric.get(name);
    return one ? one.values[row.at] : null;
  };
  const setting = (name, row) => (tdw.compare.table().parameters[name] || [])[row.at];
  const fixed = (name, row) => tdw.compare.table().columns[name][row.at];

  /* Where an event lies: known between two checkpoints or evaluations only. */
  function interval(name, row) {
    const value = metric(name, row);
    const lower = tdw.compareGrid.lower(row.name, name);
    if (value === null) return "";
    return lower === null || lower === undefined ? `${number(value, "epoch")}` : `after ${number(lower, "epoch")}, by ${number(value, "epoch")}`;
  }
  function meaning(one) {
    const unit = one.unit ? ` [${one.unit}]` : "";
    return `${one.name}${unit}\n${one.definition}${one.event ? "\nShown: the upper end of the interval in which it lies." : ""}`;
  }

  const numeric = { type: "rightAligned", filter: "agNumberColumnFilter" };
  const text = { filter: "agTextColumnFilter" };

  /* As wide as the longest word of the head and the longest value. */
  const widthOf = (head, values) => 20 + 7.4 * Math.max(...head.split(" ").map((word) => word.length), ...[...new Set(values)].map((value) => plain(value).length));

  function ofMetric(one) {
    return Object.assign({
      colId: "m:" + one.name, headerName: one.name, headerTooltip: meaning(one), width: 104,
      valueGetter: get((row) => metric(one.name, row)), valueFormatter: (params) => number(params.value, one.unit),
    }, one.event ? { tooltipValueGetter: (params) => (isMember(params) ? interval(one.name, params.data) : null) } : {}, numeric);
  }
  function ofSetting(name) {
    const values = tdw.compare.table().parameters[name];
    const isNumber = values.every((value) => value === null || typeof value === "number");
    return Object.assign({
      colId: "p:" + name, headerName: words(name), headerTooltip: `Parameter ${name}`, width: isNumber ? widthOf(words(name), values) : 120, suppressFloatingFilterButton: isNumber,
      valueGetter: get((row) => setting(name, row)), valueFormatter: (params) => plain(params.value),
    }, isNumber ? numeric : text);
  }
  function ofColumn(name, headerName, headerTooltip, rest) {
    return Object.assign({ colId: "c:" + name, headerName, headerTooltip, width: 104, valueGetter: get((row) => fixed(name, row)) }, rest);
  }
  const loss = { valueFormatter: (params) => number(params.value) };

  /* Every column, in groups by section. The name stands at the left and stays there. */
  function all() {
    const { metrics, parameters } = tdw.compare.table();
    const groups = [
      { headerName: "", children: [Object.assign({ colId: "name", headerName: "Variant", pinned: "left", width: 232, lockPinned: true, lockVisible: true, valueGetter: get((row) => row.name), cellRenderer: tdw.compareCells.Name, tooltipValueGetter: (params) => params.value }, text)] },
      { headerName: "What it is", children: [
        Object.assign({ colId: "verdict", headerName: "Classification", headerTooltip: "What became of the run; its rules are in the columns that begin with “rule”", width: 136, valueGetter: get((row) => row.verdict), cellRenderer: tdw.compareCells.Badge }, text),
        { colId: "loss", headerName: "Test loss", headerTooltip: "Test loss over log epoch. Every row has the same axes: epoch 0 to the longest run's last, 1e\u22129 to the largest loss.", width: 136, sortable: false, filter: false, cellRenderer: tdw.compareCells.Loss },
        ...Object.keys(parameters).map(ofSetting),
        ofColumn("kind", "kind", "root, fork of another run, or replicate of one", text), ofColumn("parent", "parent", "The run that it was forked from", Object.assign({ width: 150 }, text)),
        ofColumn("forked_at", "forked at", "Epoch at which it left its parent", Object.assign({}, numeric, loss)),
        ofColumn("change", "change", "What is different from the parent", Object.assign({ width: 150 }, text)),
      ] },
      { headerName: "Losses", children: [
        ofColumn("final_test_loss", "last test loss", "Cross-entropy [nats] of the inputs that are held out, last value recorded", Object.assign({}, numeric, loss)),
        ofColumn("final_train_loss", "last training loss", "Cross-entropy [nats] of the training inputs, last value recorded", Object.assign({}, numeric, loss)),
        ofColumn("trained_epochs", "epochs", "Last epoch recorded", Object.assign({}, numeric, loss)),
        ofColumn("checkpoints", "check\u00adpoints", "Saved weights of this run", Object.assign({}, numeric, loss)),
      ] },
    ];
    const bySection = new Map();
    for (const one of [...metrics].sort((a, b) => a.place - b.place)) {
      if (!bySection.has(one.section)) bySection.set(one.section, []);
      bySection.get(one.section).push(one);
    }
    const ranks = Object.keys(SECTIONS);
    const sections = [...bySection.keys()].sort((a, b) => (ranks.indexOf(a) + 99) % 99 - (ranks.indexOf(b) + 99) % 99);
    for (const section of sections) groups.push({ headerName: SECTIONS[section] || "Other", children: bySection.get(section).map(ofMetric) });
    return groups;
  }

  /* --- presets: column ids in order; "p:*" are the parameters that differ, /x/ metrics whose name fits --- */
  const BASE = ["name", "verdict", "loss", "p:p", "p:seed", "p:data_seed"];
  const PRESETS = {
    Overview: [...BASE, "p:*", "c:final_test_loss", "m:turn, memorised", "m:turn, onset", "m:turn, completion", "c:trained_epochs", "c:checkpoints", "c:kind"],
    Turn: [...BASE, /^turn,/, "section:turn"],
    Losses: [...BASE, "c:final_test_loss", "c:final_train_loss", "c:trained_epochs", /loss/i],
    Fourier: [...BASE, "section:frequencies"],
    Dimensionality: [...BASE, /participation|rank|spectral gap|dimension|singular/i],
    Geometry: [...BASE, "section:geometry"],
    Structure: [...BASE, "section:structure"],
    Signals: [...BASE, "section:signals"],
    "Forks and replicates": ["name", "verdict", "loss", "c:kind", "c:parent", "c:forked_at", "c:change", "p:*", "c:final_test_loss", "m:turn, onset"],
    Everything: ["*"],
  };
  function ids() {
    return all().flatMap((group) => group.children.map((column) => column.colId));
  }
  function resolve(entries) {
    const { metrics } = tdw.compare.table();
    const every = ids();
    const found = entries.flatMap((entry) => {
      if (entry === "*") return every;
      if (entry === "p:*") return every.filter((id) => id.startsWith("p:"));
      if (entry instanceof RegExp) return metrics.filter((one) => entry.test(one.name)).map((one) => "m:" + one.name);
      if (entry.startsWith("section:")) return metrics.filter((one) => one.section === entry.slice(8)).map((one) => "m:" + one.name);
      return [entry];
    });
    const there = new Set(every);
    return [...new Set(found)].filter((id) => there.has(id));
  }

  tdw.compareColumns = { all, resolve, PRESETS, number, plain, words, metric, setting, fixed, SECTIONS };
})((window.tdw = window.tdw || {}));
