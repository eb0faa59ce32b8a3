/* Shared by every other script of the page: events, DOM building, number formats, questions to the server.
 * The server joins these files into one (dashboard/bundle.py), this one first.
 * Events: "boot" once all scripts have run, "jobs" once Dash is there, "panel" for each new panel,
 * "info" when a variant is known, "about" when what is said of it is, "selection" (state, changed fields, how) at every change, "theme", "order",
 * "progress" of an analysis. */
(function (tdw) {
  "use strict";
  const listeners = new Map();

  tdw.on = function (event, listener) {
    if (!listeners.has(event)) listeners.set(event, []);
    listeners.get(event).push(listener);
  };
  tdw.emit = function (event, ...args) {
    for (const listener of listeners.get(event) || []) {
      try {
        listener(...args);
      } catch (error) {
        console.error("tdw: listener of '" + event + "' failed", error);
      }
    }
  };

  /* el("button", {class: "x", "aria-label": "y", onclick: f}, child, "text") */
  tdw.el = function (tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  const ICONS = {
    first: "M4 3v10M13 3 6 8l7 5z", previous: "M11 3 4 8l7 5z", next: "M5 3l7 5-7 5z", last: "M12 3v10M3 3l7 5-7 5z",
  };
  /* A drawn icon; its button carries the accessible name. */
  tdw.icon = function (name) {
    const holder = document.createElement("template");
    holder.innerHTML = `<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
    return holder.content.firstChild;
  };

  const integers = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  tdw.format = (value) => integers.format(value);

  /* JSON from the server. A refusal becomes an Error with the server's own words. */
  tdw.fetch = async function (path, options) {
    const response = await fetch(path, options);
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error || "HTTP " + response.status);
    return answer;
  };
  tdw.post = (path, body) => tdw.fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

  /* Runs `task` once per animation frame however often it is asked for. */
  tdw.framed = function (task) {
    let waiting = false;
    return function () {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        task();
      });
    };
  };

  /* A preference that belongs to this browser, not to the shared link. */
  tdw.remember = function (name, value) {
    try {
      localStorage.setItem("tdw." + name, value);
    } catch (error) {
      /* private browsing: the preference lasts as long as the page */
    }
  };
  tdw.recall = function (name, fallback) {
    try {
      const value = localStorage.getItem("tdw." + name);
      return value === null ? fallback : value;
    } catch (error) {
      return fallback;
    }
  };

  tdw.isTyping = function (target) {
    if (!target || !target.closest) return false;
    return target.isContentEditable || Boolean(target.closest("input:not([type=range]), textarea, select, [role=listbox], [role=combobox]"));
  };

  queueMicrotask(() => tdw.emit("boot"));
})((window.tdw = window.tdw || {}));
