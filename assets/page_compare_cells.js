/* What stands in the cells of the table that are more than a text: name with colour, badge, loss curve, group. */
(function (tdw) {
  "use strict";
  const [WIDTH, HEIGHT, LOWEST] = [120, 22, -9];
  const SVG = "http://www.w3.org/2000/svg";

  /* A cell of the grid from what fills it. */
  const cell = (className, fill) => class {
    init(params) {
      this.gui = tdw.el("div", { class: className });
      fill(this.gui, params);
    }
    getGui() {
      return this.gui;
    }
    refresh(params) {
      fill(this.gui, params);
      return true;
    }
  };

  const addressOf = (name) => tdw.selection.toUrl(Object.assign({}, tdw.selection.get(), { page: "explore", view: null, options: {}, variant: name }));

  const Name = cell("compare-name", (home, params) => {
    const { name } = params.data;
    const swatch = tdw.el("span", { class: "swatch", "aria-hidden": "true" });
    const colour = tdw.compare.colour(name);
    if (colour) swatch.style.background = colour;
    else swatch.classList.add("is-empty");
    const link = tdw.el("a", { href: addressOf(name), class: "compare-open", "data-name": name, tabindex: -1 }, name);
    home.replaceChildren(swatch, link);
  });

  const Badge = cell("compare-badges", (home, params) => {
    const { verdict, name } = params.data;
    const badges = [];
    if (tdw.compare.training().has(name)) badges.push(tdw.el("span", { class: "badge is-training" }, "training"));
    if (verdict) badges.push(tdw.el("span", { class: "badge" + (/^grokked( late)?$/.test(verdict) ? " is-good" : "") }, verdict));
    else badges.push(tdw.el("span", { class: "compare-none" }, "not analysed"));
    home.replaceChildren(...badges);
  });

  /* The same axes in every row: log10(1 + epoch) to the longest run, log10 loss from 1e-9 to the largest. */
  function path([last, ...heights], scale) {
    const end = (WIDTH * Math.log10(1 + last)) / scale.width;
    let line = "";
    heights.forEach((y, i) => {
      if (y === null) return;
      const x = (end * i) / (heights.length - 1);
      const at = HEIGHT - 1 - ((Math.max(LOWEST, y) - LOWEST) / (scale.top - LOWEST)) * (HEIGHT - 2);
      line += `${line && heights[i - 1] !== null ? "L" : "M"}${x.toFixed(1)} ${at.toFixed(1)}`;
    });
    return line;
  }
  const Loss = cell("compare-loss", (home, params) => {
    const curve = tdw.compareGrid.loss(params.data.name);
    if (!curve || curve.length < 2) {
      home.replaceChildren(curve ? tdw.el("span", { class: "compare-none" }, "no history") : "");
      return;
    }
    const image = document.createElementNS(SVG, "svg");
    image.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    image.setAttribute("role", "img");
    image.setAttribute("aria-label", `Test loss, ending at 1e${curve[curve.length - 1]}`);
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path(curve, tdw.compareGrid.scale()));
    const colour = tdw.compare.colour(params.data.name);
    if (colour) line.style.stroke = colour;
    image.append(line);
    home.replaceChildren(image);
  });

  const Group = cell("compare-group", (home, params) => {
    const { group, key, label, names, folded } = params.data;
    const button = tdw.el("button", { type: "button", class: "compare-fold", "aria-expanded": String(!folded), onclick: () => tdw.compareGroups.fold(key) },
      `${folded ? "▸" : "▾"} ${group} ${label}`, tdw.el("span", { class: "group-count" }, ` ${names.length}`));
    const pick = tdw.el("button", { type: "button", class: "chip is-quiet", onclick: () => tdw.compare.select([...tdw.compare.selected(), ...names]) }, "select these");
    home.replaceChildren(button, pick);
  });

  tdw.compareCells = { Name, Badge, Loss, Group, addressOf };
})((window.tdw = window.tdw || {}));
