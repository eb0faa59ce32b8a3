/* The rows of the Analyze page: per run a strip with one cell per instrument, a summary, and the list when unfolded. */
(function (tdw) {
  "use strict";
  const WORDS = { complete: "complete", partial: "some epochs", missing: "not computed yet", stale: "out of date", absent: "does not apply", unchecked: "there, not checked yet" };
  let columns = [];

  const gapsOf = (row) => row.cells.filter(([state, , ], i) => columns[i].standard && ["partial", "missing", "stale"].includes(state)).length;

  /* "embedding fourier: 40 of 101 epochs, checkpoints have changed since" */
  function tell(column, [state, done, total, reason]) {
    const title = column.name.replaceAll("_", " ");
    if (state === "complete") return `${title}: complete` + (column.whole ? "" : `, ${tdw.words.plural(total, "epoch")}`);
    if (state === "absent") return `${title}: ${reason || "does not apply"}`;
    if (state === "unchecked" || column.whole) return `${title}: ${reason}`;
    return `${title}: ${tdw.format(done)} of ${tdw.words.plural(total, "epoch")}` + (reason ? `, ${reason}` : "");
  }

  function summary(row) {
    const of = row.cells.filter(([state], i) => columns[i].standard && state !== "absent");
    if (!row.checked) return "being looked up";
    const complete = of.filter(([state]) => state === "complete").length;
    const stale = of.filter(([state]) => state === "stale").length;
    if (!of.length) return "nothing applies";
    if (complete === of.length) return `all ${of.length} complete`;
    return `${complete} of ${of.length} complete` + (stale ? `, ${stale} out of date` : "");
  }

  function strip(row) {
    let text = "";
    row.cells.forEach(([state, done, total], i) => {
      const edge = i && columns[i].group !== columns[i - 1].group ? " is-first" : "";
      const share = state === "partial" || state === "stale" ? ` style="--share:${total ? Math.max(0.15, done / total) : 0}"` : "";
      text += `<i class="cell is-${state}${edge}${columns[i].standard ? "" : " is-slow"}"${share}></i>`;
    });
    return text;
  }

  function heads(home, found) {
    columns = found;
    document.documentElement.style.setProperty("--columns", columns.length);
    const groups = [];
    for (const column of columns) {
      if (!groups.length || groups[groups.length - 1].name !== column.group) groups.push({ name: column.group, count: 0 });
      groups[groups.length - 1].count += 1;
    }
    home.replaceChildren(tdw.el("span", {}), tdw.el("div", { class: "strip" }, ...groups.map((group) => tdw.el("span", { style: `flex:${group.count} ${group.count} 0`, title: group.name }, group.name))), tdw.el("span", {}));
  }

  /* {el, update}; toggle(name, isChosen) is told of clicks. */
  function make(row, { isChosen, toggle, running, readout }) {
    let now = row;
    let drawn = "";
    const box = tdw.el("input", { type: "checkbox", id: "choose-" + row.name, onchange: () => toggle(row.name, box.checked) });
    const label = tdw.el("label", { for: box.id, title: row.name }, row.name);
    const cells = tdw.el("div", { class: "strip", role: "img" });
    const says = tdw.el("span", { class: "result-says" });
    const fold = tdw.el("button", { type: "button", class: "icon-button result-fold", "aria-expanded": "false", "aria-label": "Instruments of " + row.name, onclick: unfold }, "▸");
    const busy = tdw.el("div", { class: "result-busy", hidden: true });
    const list = tdw.el("div", { class: "result-list", hidden: true });
    const el = tdw.el("li", { class: "result", "data-variant": row.name }, tdw.el("div", { class: "result-name" }, box, label), cells,
      tdw.el("div", { class: "result-end" }, says, fold), busy, list);
    cells.addEventListener("pointermove", (event) => {
      const at = [...cells.children].indexOf(event.target);
      if (at < 0) return;
      const text = tell(columns[at], now.cells[at]);
      cells.title = text;
      readout(`${now.name} · ${text}`);
    });
    function unfold() {
      list.hidden = !list.hidden;
      fold.setAttribute("aria-expanded", String(!list.hidden));
      fold.textContent = list.hidden ? "▸" : "▾";
      details();
    }
    function details() {
      if (list.hidden) return;
      list.replaceChildren(tdw.el("p", {}, tdw.words.variantLink(now.name), `, ${tdw.words.plural(now.epochs, "checkpoint")}`),
        tdw.el("ul", {}, ...now.cells.map((cell, i) => tdw.el("li", { title: columns[i].title }, tdw.el("i", { class: "cell is-" + cell[0] }), tell(columns[i], cell) + (columns[i].standard ? "" : " (slow)")))));
    }
    function update(next) {
      now = next;
      box.checked = isChosen(next.name);
      const key = JSON.stringify(next.cells) + next.checked;
      if (key !== drawn) {
        drawn = key;
        cells.innerHTML = strip(next);
        cells.classList.toggle("is-unchecked", !next.checked);
        tdw.words.setText(says, summary(next));
        cells.setAttribute("aria-label", summary(next));
        details();
      }
      const job = running(next.name);
      busy.hidden = !job;
      if (job) {
        if (!busy.firstChild) busy.append(tdw.el("progress", { "aria-label": "Progress of the analysis of " + next.name }), tdw.el("span", {}));
        tdw.jobRow.bar(job, busy.firstChild);
        tdw.words.setText(busy.lastChild, job.cancelling ? "stopping" : job.message);
      }
    }
    return { el, update };
  }

  tdw.resultsMatrix = { heads, make, gapsOf, WORDS };
})((window.tdw = window.tdw || {}));
