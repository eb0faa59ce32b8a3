/* The epoch scrubber: a slider over the saved checkpoints, a typed epoch, steps, play, and the run's events to snap to. */
(function (tdw) {
  "use strict";
  const SPEEDS = { "½×": 600, "1×": 280, "2×": 120, "4×": 60, "8×": 30 };
  const SCALES = { even: "even steps", log: "log epoch", linear: "linear epoch" };
  const FINE = 10000; // positions of the slider
  const SNAP = 7; // pixels around an event
  let parts = null;
  let playing = null;
  let due = 0;

  const epochs = () => (tdw.selection.known() ? tdw.selection.info().epochs : []);
  const go = (epoch, how) => epoch !== undefined && tdw.selection.set({ epoch }, how);
  const scale = () => (tdw.recall("scale", "even") in SCALES ? tdw.recall("scale", "even") : "even");

  /* Where checkpoint i is on the track, from 0 to 1. */
  function positionOf(i) {
    const all = epochs();
    if (all.length < 2) return 0;
    if (scale() === "even") return i / (all.length - 1);
    const at = scale() === "log" ? (epoch) => Math.log1p(epoch) : (epoch) => epoch;
    return (at(all[i]) - at(all[0])) / (at(all[all.length - 1]) - at(all[0]));
  }
  function nearestTo(position) {
    const all = epochs();
    let best = 0;
    for (let i = 1; i < all.length; i++) if (Math.abs(positionOf(i) - position) < Math.abs(positionOf(best) - position)) best = i;
    return best;
  }

  /* The first checkpoint at or after the event: the earliest that shows it. */
  function checkpointOf(event) {
    const all = epochs();
    return all.find((epoch) => epoch >= event.epoch) ?? all[all.length - 1];
  }
  const eventsHere = () => (epochs().length ? tdw.selection.info().events : []);

  function dragged() {
    const position = Number(parts.slider.value) / FINE;
    const width = parts.slider.clientWidth || 1;
    const all = epochs();
    const snapped = eventsHere().map((event) => all.indexOf(checkpointOf(event)))
      .find((i) => Math.abs(positionOf(i) - position) * width < SNAP);
    go(all[snapped === undefined ? nearestTo(position) : snapped], "replace");
  }

  function button(name, content, act) {
    return tdw.el("button", { type: "button", class: "icon-button", "aria-label": name, title: name, onclick: act }, content);
  }
  function choice(id, label, values, chosen, act) {
    const select = tdw.el("select", { id, class: "parameter", "aria-label": label, title: label });
    for (const [value, text] of Object.entries(values)) select.append(tdw.el("option", { value }, text));
    select.value = chosen;
    select.addEventListener("change", () => act(select.value));
    return select;
  }

  function build(home) {
    const box = tdw.el("input", { type: "text", inputmode: "numeric", id: "epoch-box", class: "number-box", autocomplete: "off", "aria-label": "Epoch; Enter goes to the nearest saved checkpoint" });
    const slider = tdw.el("input", { type: "range", id: "epoch-slider", min: 0, max: FINE, step: 1, value: 0, "aria-label": "Saved checkpoint" });
    const ticks = tdw.el("div", { class: "scrub-ticks" });
    const events = tdw.el("div", { class: "scrub-events", role: "group", "aria-label": "Events of this run" });
    const position = tdw.el("span", { class: "scrub-position" });
    const play = button("Play", "Play", toggle);
    play.classList.add("is-play");
    const speed = choice("play-speed", "Speed of playing", Object.fromEntries(Object.keys(SPEEDS).map((name) => [name, name])), "1×", () => {});
    const follow = tdw.el("input", { type: "checkbox", id: "follow" });
    follow.checked = tdw.selection.following();
    follow.addEventListener("change", () => tdw.remember("follow", follow.checked ? "on" : "off"));
    home.replaceChildren(
      tdw.el("div", { class: "scrub-head" }, tdw.el("label", { for: "epoch-box" }, "Epoch"), box, position),
      tdw.el("div", { class: "scrub-track" }, slider, ticks),
      tdw.el("div", { class: "scrub-buttons" },
        button("First checkpoint", tdw.icon("first"), () => go(epochs()[0], "replace")),
        button("Previous checkpoint", tdw.icon("previous"), () => tdw.selection.step("epoch", -1)),
        play,
        button("Next checkpoint", tdw.icon("next"), () => tdw.selection.step("epoch", 1)),
        button("Last checkpoint", tdw.icon("last"), () => go(epochs()[epochs().length - 1], "replace")),
        speed),
      tdw.el("div", { class: "scrub-options" },
        choice("epoch-scale", "Scale of the slider", SCALES, scale(), (value) => {
          tdw.remember("scale", value);
          showRun();
        }),
        tdw.el("label", { class: "check", title: "While this run trains, go on to each new checkpoint when the last one is selected" }, follow, "follow training")),
      events);
    slider.addEventListener("input", dragged);
    slider.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      tdw.selection.step("epoch", event.shiftKey ? by * 10 : by);
    });
    const typed = () => {
      const text = box.value.replace(/[\s,]/g, "");
      if (text === "" || !epochs().length) return show();
      if (!/^\d+$/.test(text)) {
        tdw.notices.show("warning", `“${box.value}” is not an epoch; type a whole number such as ${tdw.format(epochs()[0])}.`);
        return show();
      }
      const best = epochs().reduce((a, b) => (Math.abs(b - text) < Math.abs(a - text) ? b : a));
      go(best, "push");
      show();
    };
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        typed();
        box.select();
      }
      if (event.key === "Escape") {
        show();
        box.blur();
      }
    });
    box.addEventListener("blur", typed);
    box.addEventListener("focus", () => box.select());
    parts = { box, slider, ticks, events, position, play, speed };
  }

  function showRun() {
    if (!parts) return;
    const all = epochs();
    const off = all.length === 0;
    for (const control of [parts.slider, parts.box, parts.play]) control.disabled = off;
    const marks = [];
    const chips = [];
    for (const event of eventsHere()) {
      const epoch = checkpointOf(event);
      const name = `${event.label}: ${event.text}`;
      const jump = () => go(epoch, "push");
      const tick = tdw.el("span", { class: "scrub-tick", title: name, "aria-hidden": "true", onclick: jump });
      tick.style.setProperty("--at", positionOf(all.indexOf(epoch)));
      marks.push(tick);
      chips.push(tdw.el("button", { type: "button", class: "event-chip", "data-event": event.name, "data-epoch": epoch, title: `${name}; go to checkpoint ${tdw.format(epoch)}`, onclick: jump },
        tdw.el("span", {}, event.label), tdw.el("b", {}, event.text)));
    }
    parts.ticks.replaceChildren(...marks);
    parts.events.replaceChildren(...chips);
    show();
  }

  function show() {
    if (!parts) return;
    const all = epochs();
    const { epoch } = tdw.selection.get();
    const at = all.indexOf(epoch);
    const place = at < 0 ? 0 : positionOf(at);
    parts.box.value = at < 0 ? "" : tdw.format(epoch);
    parts.slider.value = Math.round(place * FINE);
    parts.slider.style.setProperty("--done", place);
    parts.slider.setAttribute("aria-valuetext", at < 0 ? "no checkpoint" : "epoch " + tdw.format(epoch));
    parts.position.textContent = at < 0 ? "" : `${at + 1} of ${all.length} saved`;
    for (const chip of parts.events.children) chip.classList.toggle("is-set", Number(chip.dataset.epoch) === epoch);
  }

  function stop() {
    clearTimeout(playing);
    playing = null;
    if (parts) {
      parts.play.textContent = "Play";
      parts.play.setAttribute("aria-label", "Play");
    }
  }
  function beat() {
    const all = epochs();
    if (all.indexOf(tdw.selection.get().epoch) >= all.length - 1) return stop();
    tdw.selection.step("epoch", 1);
    next();
  }
  /* The next step, an interval after the one before was due; what drawing took is not added. */
  function next() {
    due = Math.max(due + SPEEDS[parts.speed.value], performance.now());
    playing = setTimeout(beat, due - performance.now());
  }
  function toggle() {
    if (playing !== null) return stop();
    const all = epochs();
    if (!all.length) return;
    parts.play.textContent = "Pause";
    parts.play.setAttribute("aria-label", "Pause");
    due = performance.now();
    next();
    if (tdw.selection.get().epoch === all[all.length - 1]) go(all[0], "replace");
  }

  /* Whether it is played so fast that the next step comes within so many milliseconds. */
  const playsWithin = (time) => playing !== null && SPEEDS[parts.speed.value] < time;

  function toEvent(direction) {
    if (!tdw.selection.known()) return;
    const { epoch } = tdw.selection.get();
    const stops = [...new Set(eventsHere().map(checkpointOf))].sort((a, b) => a - b);
    const next = direction > 0 ? stops.find((one) => one > epoch) : stops.reverse().find((one) => one < epoch);
    if (next !== undefined) go(next, "push");
  }

  tdw.on("boot", () => {
    build(document.getElementById("scrubber"));
    showRun();
  });
  tdw.on("info", (info, refreshed) => {
    if (!refreshed) stop();
    showRun();
  });
  tdw.on("selection", (state, changed) => {
    if (changed.has("epoch") || changed.has("variant")) show();
  });
  tdw.scrubber = { toggle, toEvent, playsWithin };
})((window.tdw = window.tdw || {}));
