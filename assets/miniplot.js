/* A small plot of lines over epochs (live losses, previews of schedules): drawn anew in a few milliseconds, coloured by
 * the theme's own variables. spec: {x, xTitle, yTitle, logY, label, lines: [{name, y, kind}]}; kind: train, test, plain. */
(function (tdw) {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";
  const ROOM = { left: 60, right: 12, top: 8, bottom: 38 };
  const homes = new Map();

  function svg(tag, attributes, text) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  /* Round steps of which about `count` fit between low and high. */
  function steps(low, high, count) {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
    return found;
  }
  function decades(low, high) {
    const every = Math.max(1, Math.ceil((Math.ceil(high) - Math.floor(low)) / 6));
    const found = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power += every) found.push(power);
    return found;
  }
  const SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = (power) => "10" + (power < 0 ? "⁻" : "") + [...String(Math.abs(power))].map((digit) => SUPER[digit]).join("");
  const written = (value) => (Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(6))));

  function scale(spec, width, height) {
    const { x, lines, logY } = spec;
    const seen = lines.flatMap((line) => line.y).filter((value) => Number.isFinite(value) && (!logY || value > 0)).map((value) => (logY ? Math.log10(value) : value));
    let low = seen.reduce((a, b) => Math.min(a, b), Infinity);
    let high = seen.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!seen.length) [low, high] = [0, 1];
    if (!logY) low = Math.min(0, low);
    const margin = (high - low) * 0.06 || (logY ? 0.5 : Math.abs(high) * 0.1 || 1);
    if (logY) low -= margin;
    high += margin;
    const [first, last] = [x[0] ?? 0, Math.max(x[x.length - 1] ?? 1, (x[0] ?? 0) + 1)];
    const inner = { width: width - ROOM.left - ROOM.right, height: height - ROOM.top - ROOM.bottom };
    return {
      low, high, first, last,
      toX: (value) => ROOM.left + ((value - first) / (last - first)) * inner.width,
      toY: (value) => ROOM.top + (1 - ((logY ? Math.log10(value) : value) - low) / (high - low)) * inner.height,
      fromX: (pixel) => first + ((pixel - ROOM.left) / inner.width) * (last - first),
    };
  }

  function path(spec, line, at) {
    let text = "";
    let open = false;
    line.y.forEach((value, i) => {
      const drawn = Number.isFinite(value) && (!spec.logY || value > 0);
      if (drawn) text += `${open ? "L" : "M"}${at.toX(spec.x[i]).toFixed(1)} ${at.toY(value).toFixed(1)}`;
      open = drawn;
    });
    return text;
  }

  function render(home) {
    const { spec, picture } = homes.get(home);
    const width = Math.max(240, home.clientWidth);
    const height = Math.max(120, home.clientHeight);
    const at = scale(spec, width, height);
    const parts = [];
    const ticks = spec.logY ? decades(at.low, at.high).map((power) => [10 ** power, raised(power)]) : steps(at.low, at.high, 4).map((value) => [value, written(value)]);
    for (const [value, text] of ticks) {
      const y = at.toY(value);
      if (y < ROOM.top - 1 || y > height - ROOM.bottom + 1) continue;
      parts.push(svg("path", { class: "grid", d: `M${ROOM.left} ${y.toFixed(1)}H${width - ROOM.right}` }), svg("text", { class: "tick", x: ROOM.left - 6, y: y + 4, "text-anchor": "end" }, text));
    }
    for (const value of steps(at.first, at.last, Math.max(2, Math.floor(width / 110)))) {
      const x = at.toX(value);
      parts.push(svg("path", { class: "grid", d: `M${x.toFixed(1)} ${ROOM.top}V${height - ROOM.bottom}` }),
        svg("text", { class: "tick", x, y: height - ROOM.bottom + 15, "text-anchor": x > width - ROOM.right - 20 ? "end" : "middle" }, tdw.format(value)));
    }
    parts.push(svg("text", { class: "title", x: (ROOM.left + width - ROOM.right) / 2, y: height - 4, "text-anchor": "middle" }, spec.xTitle));
    const middle = (ROOM.top + height - ROOM.bottom) / 2;
    parts.push(svg("text", { class: "title", x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, spec.yTitle));
    for (const line of spec.lines) parts.push(svg("path", { class: "line is-" + line.kind, d: path(spec, line, at) }));
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("aria-label", spec.label);
    picture.replaceChildren(...parts);
    point(home, at);
  }

  /* The values under the pointer. */
  function point(home, at) {
    const kept = homes.get(home);
    const { spec, tip, mark, pointer } = kept;
    kept.at = at;
    const hidden = pointer === null || !spec.x.length;
    tip.hidden = mark.hidden = hidden;
    if (hidden) return;
    const wanted = at.fromX(pointer);
    let i = 0;
    spec.x.forEach((value, j) => {
      if (Math.abs(value - wanted) < Math.abs(spec.x[i] - wanted)) i = j;
    });
    const x = at.toX(spec.x[i]);
    mark.style.transform = `translateX(${x}px)`;
    tdw.words.setText(tip, [`epoch ${tdw.format(spec.x[i])}`, ...spec.lines.map((line) => `${line.name} ${tdw.words.number(line.y[i])}`)].join(" · "));
    tip.style.left = x > home.clientWidth / 2 ? "auto" : `${x + 8}px`;
    tip.style.right = x > home.clientWidth / 2 ? `${home.clientWidth - x + 8}px` : "auto";
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.clientWidth) render(target);
  });

  function draw(home, spec) {
    if (!homes.has(home)) {
      const picture = svg("svg", { role: "img", preserveAspectRatio: "none" });
      const tip = tdw.el("div", { class: "miniplot-tip", hidden: true });
      const mark = tdw.el("div", { class: "miniplot-mark", hidden: true });
      homes.set(home, { spec, picture, tip, mark, pointer: null, at: null });
      home.classList.add("miniplot");
      home.replaceChildren(picture, mark, tip);
      home.addEventListener("pointermove", (event) => {
        const kept = homes.get(home);
        kept.pointer = event.clientX - home.getBoundingClientRect().left;
        if (kept.at) point(home, kept.at);
      });
      home.addEventListener("pointerleave", () => {
        const kept = homes.get(home);
        kept.pointer = null;
        if (kept.at) point(home, kept.at);
      });
      resized.observe(home);
    }
    homes.get(home).spec = spec;
    render(home);
  }

  /* The names of the lines with their colours, for above the plot. */
  const legend = (lines) => tdw.el("p", { class: "miniplot-legend" }, ...lines.map((line) => tdw.el("span", { class: "is-" + line.kind }, line.name)));

  function forget(home) {
    if (!homes.delete(home)) return;
    resized.unobserve(home);
    home.replaceChildren();
  }
  tdw.miniplot = { draw, forget, legend };
})((window.tdw = window.tdw || {}));
