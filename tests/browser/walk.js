/* Shows a panel, then clicks one point of every trace that carries something, with and without shift.
 * The body of an asynchronous function: given = [view] -> what the label says and what every click did. */
const [view] = given;
const el = document.querySelector(`.panel[data-view="${view}"]`);
el.scrollIntoView({block: 'center'});
const end = performance.now() + 20000;
const shown = () => tdw.panels.drawn() && el.dataset.drawn && (tdw.drawing.plot(tdw.panels.of(el)) || el.dataset.state !== 'figure' || el.querySelector('.panel-table'));
while (!shown() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
const panel = tdw.panels.of(el);
const gd = tdw.drawing.plot(panel);
const parameters = [...el.querySelectorAll('select.parameter')].map((one) => one.dataset.name);
const found = {state: el.dataset.state, hint: el.querySelector('.panel-chips').innerText, marks: panel.marks, parameters, clicks: []};
if (!gd) return found;
const announced = tdw.chips.announced(panel);
for (const [i, trace] of gd._fullData.entries()) {
  if (!Object.keys(tdw.payload.fieldsOf(trace)).length || trace.visible !== true) continue;
  const points = [];
  if (trace.z && trace.z.length && trace.type !== 'scatter3d') {
    for (let row = 0; row < trace.z.length; row++) for (const column of [0, trace.z[row].length - 1]) {
      points.push({data: gd.data[i], x: trace.x ? trace.x[column] : column, y: trace.y ? trace.y[row] : row, customdata: trace.customdata && trace.customdata[row][column]});
    }
  } else {
    for (let n = 0; n < (trace.x || []).length; n++) points.push({data: gd.data[i], x: trace.x[n], y: trace.y[n], customdata: trace.customdata && trace.customdata[n]});
  }
  const meant = tdw.payload.meanings(trace);
  for (const at of [0, 1]) {
    const point = points.find((one) => tdw.payload.read(trace, one).some(([field]) => field === meant[at]));
    if (!meant[at] || !point) continue;
    const value = tdw.payload.read(trace, point).find(([field]) => field === meant[at])[1];
    gd.emit('plotly_click', {points: [point], event: {shiftKey: at === 1}});
    const state = tdw.selection.get();
    const got = state[meant[at]];
    const legal = meant[at] === 'epoch' ? tdw.selection.info().epochs.reduce((a, b) => Math.abs(b - value) < Math.abs(a - value) ? b : a) : value;
    const chips = [...el.querySelectorAll('.chip[data-field]')].map((chip) => chip.dataset.field);
    found.clicks.push({field: meant[at], announced: announced[at], expected: legal, got, chips, carried: tdw.payload.read(trace, point).map(([field]) => field)});
    el.querySelector('.panel-chips').replaceChildren();
  }
}
return found;
