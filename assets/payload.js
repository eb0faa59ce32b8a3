/* What a mark of a figure carries: the browser's twin of renderers/payload.py.
 * trace.meta.payload maps a selection field to where its value is: "x", "y", "customdata",
 * "customdata[i]", {value: constant}, or {a: place, b: place, p} for the row n = a p + b of an input.
 * The first field is the primary one; zero is a legal value. */
(function (tdw) {
  "use strict";

  function scalar(value) {
    if (value === null || value === undefined || value === "") return null;
    if (typeof value === "object") return value.length === 1 ? scalar(value[0]) : null;
    if (Number.isNaN(value)) return null;
    const number = Number(value);
    return Number.isFinite(number) ? Math.round(number) : String(value);
  }

  function place(where) {
    if (typeof where === "object" && where !== null && "p" in where) return { kind: "pair", where };
    if (typeof where === "object" && where !== null) return { kind: "constant", value: where.value };
    const indexed = /^customdata\[(\d+)\]$/.exec(where);
    if (indexed) return { kind: "customdata", index: Number(indexed[1]) };
    return { kind: where, index: null };
  }

  function valueAt(where, point) {
    if (typeof where === "object" && where !== null && "p" in where) {
      const [a, b] = [valueAt(where.a, point), valueAt(where.b, point)];
      return a === null || b === null ? null : a * where.p + b;
    }
    const spot = place(where);
    if (spot.kind === "constant") return scalar(spot.value);
    if (spot.kind !== "customdata") return scalar(point[spot.kind]);
    const data = point.customdata;
    if (data === null || data === undefined) return null;
    return scalar(spot.index === null ? data : data[spot.index]);
  }

  function fieldsOf(trace) {
    return (trace && trace.meta && trace.meta.payload) || {};
  }

  /* -> [[field, value], ...] in the declared order, without fields that the point lacks */
  function read(trace, point) {
    return Object.entries(fieldsOf(trace))
      .map(([field, where]) => [field, valueAt(where, point)])
      .filter(([, value]) => value !== null);
  }

  /* The fields that a click (the first) and a shift-click (the second) on a mark of this trace set. */
  const meanings = (trace) => Object.keys(fieldsOf(trace)).slice(0, 2);

  tdw.payload = { read, fieldsOf, place, scalar, valueAt, meanings };
})((window.tdw = window.tdw || {}));
