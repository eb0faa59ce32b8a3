/* The selection: one typed state, kept in the address bar, written by every click and read by every panel.
 * Choices (clicks, pickers) make a history entry; stepping and playing replace the current one. */
(function (tdw) {
  "use strict";
  const NUMBERS = ["epoch", "neuron", "head", "frequency"];
  const PAGE = Math.random().toString(36).slice(2) + Date.now().toString(36);
  const WORDS = { epoch: "epoch", neuron: "neuron", head: "head", frequency: "frequency", variant: "variant" };

  let state = fromUrl(window.location);
  let info = null;

  /* /view/<name>?variant=..&epoch=..&<view>.<parameter>=.. */
  function fromUrl(location) {
    const query = new URLSearchParams(location.search);
    const route = /^\/view\/([^/]+)\/?$/.exec(location.pathname);
    const next = { page: route ? "detail" : "explore", view: route ? decodeURIComponent(route[1]) : null };
    next.variant = query.get("variant");
    for (const field of NUMBERS) next[field] = query.has(field) ? query.get(field) : null;
    next.params = {};
    for (const [key, value] of query) {
      const dot = key.indexOf(".");
      if (dot < 1) continue;
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
    const path = selection.page === "detail" ? "/view/" + encodeURIComponent(selection.view) : "/";
    const text = query.toString();
    return path + (text ? "?" + text : "");
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
    const number = Number(wanted);
    if (!/^-?\d+(\.0+)?$/.test(String(wanted).trim())) {
      return [fallback, `“${wanted}” is not ${isEpoch ? "an" : "a"} ${WORDS[field]}; showing ${WORDS[field]} ${tdw.format(fallback)}.`];
    }
    if (isEpoch) {
      const best = nearest(info.epochs, number);
      if (best === number) return [best, null];
      return [best, `Epoch ${tdw.format(number)} is not among the ${info.epochs.length} saved checkpoints of ${info.variant} ` +
        `(${tdw.format(info.epochs[0])} to ${tdw.format(fallback)}); showing the nearest, ${tdw.format(best)}.`];
    }
    const best = Math.min(range[1], Math.max(range[0], number));
    if (best === number) return [best, null];
    return [best, `${info.variant} has no ${WORDS[field]} ${tdw.format(number)} (it has ${range[0]} to ${range[1]}); showing ${tdw.format(best)}.`];
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

  function write(how) {
    const url = toUrl(state);
    if (url === window.location.pathname + window.location.search) return;
    if (how === "push") history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  function changedFields(before) {
    return new Set(Object.keys(state).filter((field) => JSON.stringify(before[field]) !== JSON.stringify(state[field])));
  }

  const known = () => info !== null && info.variant !== null && info.variant === state.variant;

  /* `page` keeps the jobs of two tabs apart. */
  const question = () => ({ variant: state.variant, page: PAGE, at: Date.now() });

  function wantInfo() {
    tdw.send("wanted", { data: question() });
  }

  /* patch: some of the fields; how: "push" for a choice, "replace" for stepping */
  function set(patch, how) {
    const before = state;
    state = Object.assign({}, state, patch);
    if (state.variant !== before.variant) {
      write(how || "push");
      tdw.notices.clear();
      wantInfo();
      return;
    }
    if (known()) legalise();
    const changed = changedFields(before);
    if (!changed.size) return;
    write(how || "push");
    tdw.emit("selection", state, changed);
  }

  function setParameter(view, name, value) {
    const own = Object.assign({}, state.params[view]);
    if (value === null) delete own[name];
    else own[name] = value;
    const params = Object.assign({}, state.params, { [view]: own });
    if (!Object.keys(own).length) delete params[view];
    set({ params }, "push");
  }

  /* The server's answer about a variant. An answer to an older question is dropped. */
  function receive(answer) {
    if (!answer || (answer.requested !== null && answer.requested !== state.variant)) return;
    const refreshed = info !== null && info.variant === answer.variant;
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
    state = Object.assign({}, state, { variant: answer.variant });
    if (!refreshed) tdw.notices.clear();
    for (const complaint of legalise()) tdw.notices.show("warning", complaint);
    write("replace");
    tdw.emit("info", info);
    tdw.emit("selection", state, changedFields(before));
  }

  function step(field, by) {
    if (!known()) return;
    if (field === "epoch") {
      const at = info.epochs.indexOf(state.epoch);
      const to = Math.min(info.epochs.length - 1, Math.max(0, at + by));
      set({ epoch: info.epochs[to] }, "replace");
      return;
    }
    const range = info.limits[field];
    if (range) set({ [field]: Math.min(range[1], Math.max(range[0], state[field] + by)) }, "replace");
  }

  window.addEventListener("popstate", () => {
    const before = state;
    state = fromUrl(window.location);
    if (state.variant === null && info) state.variant = info.variant;
    if (state.variant !== before.variant || !known()) {
      tdw.emit("selection", state, changedFields(before));
      wantInfo();
      return;
    }
    for (const complaint of legalise()) tdw.notices.show("warning", complaint);
    tdw.emit("selection", state, changedFields(before));
  });

  tdw.selection = {
    get: () => state, info: () => info, known, set, setParameter, step, receive, toUrl, fromUrl, refresh: wantInfo,
    NUMBERS, isSelectable: (field) => field === "variant" || NUMBERS.includes(field),
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tdw: {
      boot: () => {
        tdw.emit("boot");
        return question();
      },
      receive: (answer) => {
        receive(answer);
        return window.dash_clientside.no_update;
      },
      pick: (value) => {
        if (value && value !== state.variant) set({ variant: value }, "push");
        return window.dash_clientside.no_update;
      },
      finished: (result) => {
        tdw.emit("job", result);
        return window.dash_clientside.no_update;
      },
    },
  });
})((window.tdw = window.tdw || {}));
