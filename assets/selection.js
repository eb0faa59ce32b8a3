/* The selection: one typed state, kept in the address bar, written by every click and read by every panel.
 * Choices (clicks, pickers) make a history entry; stepping and playing replace the current one. */
(function (tdw) {
  "use strict";
  const PAGES = ["compare", "train", "analyze", "jobs"]; // beside Explore and its details; dashboard/pages/navigation.py
  const NUMBERS = ["epoch", "neuron", "head", "frequency", "pair"];
  const WORDS = { epoch: "epoch", neuron: "neuron", head: "head", frequency: "frequency", pair: "input pair", variant: "variant" };
  const WRITE_AFTER = 150; // browsers refuse more than 20 changes of the address per second

  let state = fromUrl(window.location);
  let info = null;
  let questions = 0;
  let pending = null; // address to be written when stepping rests
  let timer = 0;

  /* /view/<name>?variant=..&epoch=..&<view>.<parameter>=..   /compare?variants=..&<option>=.. */
  function fromUrl(location) {
    const query = new URLSearchParams(location.search);
    const route = /^\/view\/([^/]+)\/?$/.exec(location.pathname);
    const page = location.pathname.slice(1).replace(/\/$/, "");
    const next = { page: route ? "detail" : PAGES.includes(page) ? page : "explore", view: route ? decodeURIComponent(route[1]) : null };
    next.variant = query.get("variant");
    for (const field of NUMBERS) next[field] = query.has(field) ? query.get(field) : null;
    next.params = {};
    next.options = {};
    for (const [key, value] of query) {
      const dot = key.indexOf(".");
      if (dot < 1) {
        if (key !== "variant" && !NUMBERS.includes(key)) next.options[key] = value;
        continue;
      }
      const view = key.slice(0, dot);
      next.params[view] = Object.assign({}, next.params[view], { [key.slice(dot + 1)]: value });
    }
    return next;
  }

  function toUrl(selection) {
    const query = new URLSearchParams();
    for (const field of ["variant", ...NUMBERS]) {
      if (selection[field] !== null && selection[field] !== undefined) query.set(field, selection[field]);
    }
    for (const view of Object.keys(selection.params).sort()) {
      for (const name of Object.keys(selection.params[view]).sort()) {
        query.set(view + "." + name, selection.params[view][name]);
      }
    }
    for (const name of Object.keys(selection.options).sort()) query.set(name, selection.options[name]);
    const path = selection.page === "detail" ? "/view/" + encodeURIComponent(selection.view) : selection.page === "explore" ? "/" : "/" + selection.page;
    const text = query.toString().replaceAll("%2C", ",");
    return path + (text ? "?" + text : "");
  }

  /* The row n = a p + b of an input, typed as "4 + 29", "4, 29" or as the row itself; null if it is none. */
  function readPair(text, p) {
    const typed = /^\s*(\d+)\s*[+, ]\s*(\d+)\s*$/.exec(String(text));
    if (typed) return Number(typed[1]) < p && Number(typed[2]) < p ? Number(typed[1]) * p + Number(typed[2]) : null;
    return /^\s*\d+\s*$/.test(String(text)) ? Number(text) : null;
  }

  /* How a value is written for people: 9,400; 4 + 29. */
  function describe(field, value) {
    if (value === null || value === undefined) return "none";
    if (field === "pair" && info && info.p) return Math.floor(value / info.p) + " + " + (value % info.p);
    return typeof value === "number" ? tdw.format(value) : String(value);
  }

  function nearest(values, wanted) {
    let best = values[0];
    for (const value of values) if (Math.abs(value - wanted) < Math.abs(best - wanted)) best = value;
    return best;
  }

  /* [legal value, complaint or null] */
  function legal(field, wanted) {
    const isEpoch = field === "epoch";
    const range = info.limits[field];
    const fallback = isEpoch ? info.epochs[info.epochs.length - 1] : range && range[0];
    if (isEpoch ? !info.epochs.length : !range) return [null, null];
    if (wanted === null || wanted === undefined) return [fallback, null];
    const typed = field === "pair" ? readPair(wanted, info.p) : wanted;
    if (typed === null || !/^-?\d+(\.0+)?$/.test(String(typed).trim())) {
      return [fallback, `“${wanted}” is not ${/^[aeiou]/.test(WORDS[field]) ? "an" : "a"} ${WORDS[field]}; showing ${WORDS[field]} ${describe(field, fallback)}.`];
    }
    const number = Number(typed);
    if (isEpoch) {
      const best = nearest(info.epochs, number);
      if (best === number) return [best, null];
      return [best, `Epoch ${tdw.format(number)} is not among the ${info.epochs.length} saved checkpoints of ${info.variant} ` +
        `(${tdw.format(info.epochs[0])} to ${tdw.format(fallback)}); showing the nearest, ${tdw.format(best)}.`];
    }
    const best = Math.min(range[1], Math.max(range[0], number));
    if (best === number) return [best, null];
    return [best, `${info.variant} has no ${WORDS[field]} ${tdw.format(number)} (it has ${describe(field, range[0])} to ${describe(field, range[1])}); showing ${describe(field, best)}.`];
  }

  function legalise() {
    const complaints = [];
    for (const field of NUMBERS) {
      const [value, complaint] = legal(field, state[field]);
      state[field] = value;
      if (complaint) complaints.push(complaint);
    }
    return complaints;
  }

  function flush() {
    clearTimeout(timer);
    if (pending !== null && pending !== window.location.pathname + window.location.search) history.replaceState(null, "", pending);
    pending = null;
  }
  function write(how) {
    const url = toUrl(state);
    if (how === "push") {
      flush();
      if (url !== window.location.pathname + window.location.search) history.pushState(null, "", url);
      return;
    }
    pending = url;
    clearTimeout(timer);
    timer = setTimeout(flush, WRITE_AFTER);
  }

  function changedFields(before) {
    return new Set(Object.keys(state).filter((field) => JSON.stringify(before[field]) !== JSON.stringify(state[field])));
  }

  const known = () => info !== null && info.variant !== null && info.variant === state.variant;

  /* Ask the server about the variant of the selection; only the answer to the newest question counts. */
  function wantInfo() {
    const mine = ++questions;
    const asked = state.variant;
    const path = "/_info" + (asked === null ? "" : "?variant=" + encodeURIComponent(asked));
    const early = window.tdwEarly;
    window.tdwEarly = null;
    (early && early.path === path ? early.answer : tdw.fetch(path)).then(
      (answer) => mine === questions && receive(answer),
      () => mine === questions && tdw.notices.show("error", "The server cannot be reached. Is it still running?", [{ label: "Try again", act: wantInfo }]));
  }

  /* patch: some of the fields; how: "push" for a choice, "replace" for stepping */
  function set(patch, how) {
    const before = state;
    state = Object.assign({}, state, patch);
    if (state.variant !== before.variant) {
      write(how || "push");
      tdw.notices.clear();
      tdw.emit("selection", state, new Set(["variant"]), how || "push");
      wantInfo();
      return;
    }
    if (known()) legalise();
    const changed = changedFields(before);
    if (!changed.size) return;
    write(how || "push");
    tdw.emit("selection", state, changed, how || "push");
  }

  /* Everything that an address says, as a bookmark or a link does. */
  function open(address) {
    const next = fromUrl(new URL(address, window.location.origin));
    if (next.variant === null) next.variant = state.variant;
    set(next, "push");
  }

  function setParameter(view, name, value) {
    const own = Object.assign({}, state.params[view]);
    if (value === null) delete own[name];
    else own[name] = value;
    const params = Object.assign({}, state.params, { [view]: own });
    if (!Object.keys(own).length) delete params[view];
    set({ params }, "push");
  }

  /* What a page itself keeps in the address; null takes it out. Other pages do not see it. */
  function setOption(name, value, how) {
    const options = Object.assign({}, state.options);
    if (value === null || value === "") delete options[name];
    else options[name] = String(value);
    set({ options }, how || "push");
  }

  const following = () => tdw.recall("follow", "on") === "on";

  function receive(answer) {
    const old = info;
    const refreshed = old !== null && !answer.error && old.variant === answer.variant;
    const isFirst = old === null || state.variant === null;
    info = answer;
    if (answer.error) {
      tdw.notices.clear();
      tdw.emit("info", info);
      tdw.notices.show("error", answer.error, answer.variants.slice(0, 12).map((one) => ({
        label: one.value, act: () => set({ variant: one.value }, "push"),
      })));
      return;
    }
    const before = Object.assign({}, state, { variant: refreshed ? answer.variant : null });
    const wasLast = refreshed && old.epochs.length > 0 && state.epoch === old.epochs[old.epochs.length - 1];
    state = Object.assign({}, state, { variant: answer.variant }, wasLast && following() ? { epoch: null } : {});
    if (!refreshed) tdw.notices.clear();
    const complaints = legalise();
    if (isFirst || fromAddress) for (const complaint of complaints) tdw.notices.show("warning", complaint);
    fromAddress = false;
    write("replace");
    flush();
    tdw.emit("info", info, refreshed);
    tdw.emit("selection", state, changedFields(before), "replace");
  }
  let fromAddress = false;

  function step(field, by) {
    if (!known()) return;
    const range = field === "epoch" ? info.epochs : info.limits[field];
    if (!range || !range.length) return;
    const beside = field === "neuron" && tdw.tiles ? tdw.tiles.neighbour(by) : null;
    if (beside !== null) {
      set({ neuron: beside }, "replace");
      return;
    }
    const order = field === "epoch" ? info.epochs : tdw.order ? tdw.order.of(field) : null;
    if (order) {
      const at = order.indexOf(state[field]);
      set({ [field]: order[Math.min(order.length - 1, Math.max(0, at + by))] }, "replace");
    } else {
      set({ [field]: Math.min(range[1], Math.max(range[0], state[field] + by)) }, "replace");
    }
  }

  window.addEventListener("popstate", () => {
    clearTimeout(timer);
    pending = null;
    const before = state;
    state = fromUrl(window.location);
    if (state.variant === null && info) state.variant = info.variant;
    if (state.variant !== before.variant || !known()) {
      fromAddress = true;
      tdw.emit("selection", state, changedFields(before), "replace");
      wantInfo();
      return;
    }
    for (const complaint of legalise()) tdw.notices.show("warning", complaint);
    tdw.emit("selection", state, changedFields(before), "replace");
  });
  window.addEventListener("pagehide", flush);

  tdw.selection = {
    get: () => state, info: () => info, known, set, open, setParameter, setOption, step, toUrl, fromUrl, describe, readPair, following,
    refresh: wantInfo, settled: () => pending === null, NUMBERS, WORDS, PAGES,
    isSelectable: (field) => field === "variant" || NUMBERS.includes(field),
  };
  tdw.on("boot", wantInfo);
})((window.tdw = window.tdw || {}));
