/* A step of a heatmap without a new plot. Plotly answers new cells by making the whole plot anew, axes and all.
 * Where the cells are as many as before they are written into the arrays that it holds, which it then takes for
 * unchanged: it draws what else differs (a label, a mark), and its own module paints the cells. */
(function (tdw) {
  "use strict";
  const CELLS = ["z", "customdata", "text"];
  const ENDS = ["zmin", "zmax"];
  const isHeatmap = (trace) => trace.type === "heatmap";

  /* The arrays that will be written into belong to one plot; answers are drawn again. */
  function own(data) {
    for (const trace of data.filter(isHeatmap)) for (const name of CELLS) if (trace[name]) trace[name] = structuredClone(trace[name]);
  }

  /* Plotly knows arrays and `meta` by their identity: those that it holds take the place of equal ones. */
  function keep(held, given) {
    for (const [name, value] of Object.entries(given)) {
      if ((name === "meta" || tdw.arrays.isList(value)) && tdw.arrays.same(held[name], value)) given[name] = held[name];
    }
  }
  function keepLayout(held, layout) {
    keep(held, layout);
    for (const name of Object.keys(layout)) if (/axis\d*$/.test(name) && held[name]) keep(held[name], layout[name]);
  }

  /* True if the cells of the trace were written over those that the plot holds. */
  function renew(held, trace) {
    keep(held, trace);
    if (!isHeatmap(trace) || trace.x !== held.x || trace.y !== held.y) return false;
    let renewed = false;
    for (const name of CELLS) {
      if (!trace[name] || trace[name] === held[name]) continue;
      if (tdw.arrays.fill(held[name], trace[name])) [trace[name], renewed] = [held[name], true];
      else trace[name] = structuredClone(trace[name]);
    }
    return renewed;
  }

  /* Plotly would make the plot anew for another end of the colours, too. The colour of the border that a colour bar
   * has not got is what makes it draw the bar again. */
  function rescale(held, full, trace) {
    const moved = ENDS.filter((name) => trace[name] !== held[name]);
    for (const name of moved) full[name] = trace[name];
    if (!trace.colorbar || !held.colorbar) return;
    const { bordercolor } = held.colorbar;
    trace.colorbar.bordercolor = !moved.length ? bordercolor : bordercolor === "#000" ? "#fff" : "#000";
  }

  /* Another number of marks would be another plot: both sides get as many, those that are not needed unseen. */
  function pad(gd, layout) {
    for (const kind of ["shapes", "annotations"]) {
      const [held, marks] = [gd._fullLayout[kind], (layout[kind] = layout[kind] || [])];
      if (marks === gd.layout[kind] || !held.length) continue;
      while (held.length < marks.length) held.push(Object.assign({}, held[held.length - 1]));
      for (const one of gd.layout[kind].slice(marks.length)) marks.push(Object.assign({}, one, { opacity: 0 }));
    }
  }

  /* As Plotly.react. */
  async function react(gd, data, layout, config) {
    const before = gd.calcdata;
    if (!before || data.length !== gd.data.length || data.some((trace, i) => trace.type !== gd.data[i].type)) {
      own(data);
      return window.Plotly.react(gd, data, layout, config);
    }
    const renewed = [...data.keys()].filter((i) => renew(gd.data[i], data[i]));
    keepLayout(gd.layout, layout);
    if (renewed.length) pad(gd, layout);
    for (const i of renewed) {
      const full = gd._fullData[i];
      rescale(gd.data[i], full, data[i]);
      Object.assign(before[i][0], full._module.calc(gd, full)[0]);
    }
    await window.Plotly.react(gd, data, layout, config);
    if (renewed.length && gd.calcdata === before) gd._fullLayout._basePlotModules.forEach((one) => one.plot(gd));
  }

  tdw.cells = { react };
})((window.tdw = window.tdw || {}));
