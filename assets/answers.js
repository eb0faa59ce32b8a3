/* The server's answers: asked for, unpacked, and the ones used last remembered. A key is the whole question as text;
 * it holds everything that the answer depends on, the results' versions too. */
(function (tdw) {
  "use strict";
  const PATIENCE = 45000;
  const ROOM = 64e6; // characters
  const remembered = new Map();
  let size = 0;

  /* -> {length, answer}; fails if the server does not answer in time. */
  async function ask(route, key) {
    const response = await fetch(route, {
      method: "POST", body: key, headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Error("HTTP " + response.status);
    const text = await response.text();
    return { length: text.length, answer: tdw.arrays.unpack(JSON.parse(text)) };
  }

  function remember(key, received) {
    const old = remembered.get(key);
    if (old) size -= old.length;
    remembered.delete(key);
    remembered.set(key, received);
    size += received.length;
    for (const [oldest, { length }] of remembered) {
      if (size <= ROOM) break;
      remembered.delete(oldest);
      size -= length;
    }
  }

  tdw.answers = { ask, remember, has: (key) => remembered.has(key), get: (key) => remembered.get(key) };
})((window.tdw = window.tdw || {}));
