/* Shows a canvas of tiles, then clicks tiles, with and without shift, and reads what the pointer was told before.
 * The body of an asynchronous function: given = [view] -> as walk.js. */
const [view] = given;
const el = document.querySelector(`.panel[data-view="${view}"]`);
el.scrollIntoView({block: 'center'});
const end = performance.now() + 20000;
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
while (!(tdw.panels.settled() && el.dataset.drawn && el.querySelector('canvas.tiles')) && performance.now() < end) await pause(10);
const canvas = el.querySelector('canvas.tiles');
const row = el.querySelector('.panel-chips');
const [marks, announced] = [el.dataset.marks.split(' '), tdw.chips.announced({el})];
const parameters = [...el.querySelectorAll('select.parameter')].map((one) => one.dataset.name);
const found = {state: el.dataset.state, hint: row.innerText, marks, parameters, clicks: []};
const box = canvas.getBoundingClientRect();
const at = (x, y, more) => ({clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true, ...more});
const told = (field) => {
  const text = el.querySelector('.tiles-tip').textContent;
  const number = new RegExp(field === 'frequency' ? /k = (\d+)/ : field + ' ([\\d,]+)').exec(text);
  return number && Number(number[1].replaceAll(',', ''));
};
for (const [i, field] of marks.slice(0, 2).entries()) {
  for (let n = 0; n < 400 && found.clicks.length === i; n++) {
    const [x, y] = [0.98 - (n % 20) * 0.047, 0.03 + Math.floor(n / 20) * 0.045];
    canvas.dispatchEvent(new MouseEvent('mousemove', at(x, y)));
    if (el.querySelector('.tiles-tip').hidden || told(field) === null || told(field) === tdw.selection.get()[field]) continue;
    const expected = told(field);
    const carried = marks.filter((one) => told(one) !== null);
    row.replaceChildren();
    canvas.dispatchEvent(new MouseEvent('click', at(x, y, {shiftKey: i === 1})));
    const chips = [...el.querySelectorAll('.chip[data-field]')].map((chip) => chip.dataset.field);
    found.clicks.push({field, announced: announced[i], expected, got: tdw.selection.get()[field], chips, carried});
  }
}
return found;
