/* The numbers of figures: packed by the server (renderers/encode.py), unpacked once when they arrive.
 * Plotly would unpack them at every draw, and take what it has just unpacked for new numbers. */
(function (tdw) {
  "use strict";
  const TYPES = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array,
  };
  const isTyped = ArrayBuffer.isView;
  const isList = (value) => Array.isArray(value) || isTyped(value);

  const bytes = (text) => (Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (one) => one.charCodeAt(0))).buffer;

  function rows({ dtype, bdata, shape }) {
    const flat = new TYPES[dtype](bytes(bdata));
    if (!shape) return flat;
    const [count, length] = shape.split(", ").map(Number);
    return Array.from({ length: count }, (_, row) => flat.subarray(row * length, (row + 1) * length));
  }

  /* A figure of JSON, changed in place: typed arrays, and arrays of them for tables. */
  function unpack(value) {
    if (value === null || typeof value !== "object") return value;
    if ("bdata" in value) return rows(value);
    for (const key of Object.keys(value)) if (typeof value[key] === "object") value[key] = unpack(value[key]);
    return value;
  }

  /* A copy that can be written into, except for its numbers, which both have. */
  function copy(value) {
    if (value === null || typeof value !== "object" || isTyped(value)) return value;
    if (Array.isArray(value)) return value.map(copy);
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, copy(one)]));
  }

  function same(one, other) {
    if (Object.is(one, other)) return true;
    if (!one || !other || typeof one !== "object" || one.constructor !== other.constructor) return false;
    if (isList(one)) return one.length === other.length && one.every((value, i) => same(value, other[i]));
    const keys = Object.keys(one);
    return keys.length === Object.keys(other).length && keys.every((key) => same(one[key], other[key]));
  }

  /* Writes `source` over `target`; false where they differ in shape or type, and `target` is then good for nothing. */
  function fill(target, source) {
    if (!isList(target) || !isList(source) || target.constructor !== source.constructor || target.length !== source.length) return false;
    if (isTyped(target)) {
      target.set(source);
      return true;
    }
    for (let i = 0; i < target.length; i++) {
      if (isList(source[i]) ? !fill(target[i], source[i]) : isList(target[i])) return false;
      if (!isList(source[i])) target[i] = source[i];
    }
    return true;
  }

  tdw.arrays = { unpack, copy, same, fill, isList };
})((window.tdw = window.tdw || {}));
