/* How times, sizes and numbers are written for people, and small helpers of lists that update in place. */
(function (tdw) {
  "use strict";
  const two = (value) => String(Math.floor(value)).padStart(2, "0");

  /* 0.4 -> "under a second"; 75 -> "1 min 15 s"; 7500 -> "2 h 05 min" */
  function duration(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
    if (seconds < 1) return "under a second";
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  }
  /* An estimate has one or two digits: "about 40 s", "about 12 min" */
  function roughly(seconds) {
    if (seconds < 1) return "under a second";
    if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s`;
    if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
    if (seconds < 129600) return `about ${Number((seconds / 3600).toPrecision(2))} h`;
    return `about ${Number((seconds / 86400).toPrecision(2))} days`;
  }
  const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
  function bytes(count) {
    let value = count;
    let unit = 0;
    while (value >= 1000 && unit < UNITS.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return `${unit ? Number(value.toPrecision(2)) : value} ${UNITS[unit]}`;
  }
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  /* Seconds since 1970: the time of today, else with the day. */
  function when(at) {
    const date = new Date(at * 1000);
    return (date.toDateString() === new Date().toDateString() ? clock : day).format(date);
  }
  const exactly = (at) => full.format(new Date(at * 1000));
  const plural = (count, word) => `${tdw.format(count)} ${word}${count === 1 ? "" : "s"}`;
  const number = (value) => (value === null || value === undefined ? "–" : Number(value) === 0 ? "0" : Number(value).toPrecision(3).replace(/\.?0+(?=$|e)/, ""));

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }
  function setAttribute(node, name, value) {
    if (value === null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }

  /* Bring the children of a list in line with `items`, keeping those that are there: focus and scroll stay.
   * keep: Map key -> what `make(item)` returned ({el, update(item)}). */
  function reconcile(home, keep, items, keyOf, make) {
    const wanted = new Set(items.map(keyOf));
    for (const [key, part] of keep) {
      if (wanted.has(key)) continue;
      part.el.remove();
      keep.delete(key);
    }
    let before = null;
    for (const item of items) {
      const key = keyOf(item);
      if (!keep.has(key)) keep.set(key, make(item));
      const part = keep.get(key);
      part.update(item);
      const there = before ? before.nextSibling : home.firstChild;
      if (there !== part.el) home.insertBefore(part.el, there);
      before = part.el;
    }
  }

  /* A link to a variant in Explore; a modified click opens a tab as usual. */
  function variantLink(name) {
    const href = "/?variant=" + encodeURIComponent(name);
    return tdw.el("a", { href, onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
      event.preventDefault();
      tdw.selection.open(href);
    } }, name);
  }
  /* A link to a page with options; the same. */
  function pageLink(page, options, text) {
    const href = `/${page}?` + new URLSearchParams(options).toString();
    return tdw.el("a", { href, onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
      event.preventDefault();
      tdw.router.go(page, options);
    } }, text);
  }
  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      setText(button, "Copied");
    } catch (error) {
      setText(button, "Select and copy by hand");
    }
    setTimeout(() => setText(button, "Copy"), 1500);
  }

  tdw.words = { duration, roughly, bytes, when, exactly, plural, number, setText, setAttribute, reconcile, variantLink, pageLink, copy };
})((window.tdw = window.tdw || {}));
