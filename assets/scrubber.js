/* The epoch scrubber: a slider over the saved checkpoints, a typed epoch, steps, play, and the run's events to snap to. */
(function (tdw) {
  "use strict";
  const SPEEDS = { "½×": 600, "1×": 280, "2×": 120 };
  let parts = null;
  let playing = null;

  const epochs = () => (tdw.selection.known() ? tdw.selection.info().epochs : []);
  const go = (epoch, how) => tdw.selection.set({ epoch }, how);

  /* The first checkpoint at or after the event: the earliest that shows it. */
  function checkpointOf(event) {
    const all = epochs();
    return all.find((epoch) => epoch >= event.epoch) ?? all[all.length - 1];
  }

  function button(name, content, act) {
    return tdw.el("button", { type: "button", class: "icon-button", "aria-label": name, title: name, onclick: act }, content);
  }

  function build(home) {
    const box = tdw.el("input", { type: "text", inputmode: "numeric", id: "epoch-box", class: "number-box", autocomplete: "off", "aria-label": "Epoch; Enter goes to the nearest saved checkpoint" });
    const slider = tdw.el("input", { type: "range", id: "epoch-slider", min: 0, max: 0, value: 0, "aria-label": "Saved checkpoint" });
    const ticks = tdw.el("div", { class: "scrub-ticks" });
    const events = tdw.el("div", { class: "scrub-events", role: "group", "aria-label": "Events of this run" });
    const position = tdw.el("span", { class: "scrub-position" });
    const play = button("Play", "Play", toggle);
    play.classList.add("is-play");
    const speed = tdw.el("select", { id: "play-speed", class: "parameter", "aria-label": "Speed of playing" });
    for (const name of Object.keys(SPEEDS)) speed.append(tdw.el("option", { value: name }, name));
    speed.value = "1×";
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
      events);
    slider.addEventListener("input", () => go(epochs()[Number(slider.value)], "replace"));
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
    parts.slider.max = Math.max(0, all.length - 1);
    for (const control of [parts.slider, parts.box, parts.play]) control.disabled = off;
    const marks = [];
    const chips = [];
    for (const event of off ? [] : tdw.selection.info().events) {
      const epoch = checkpointOf(event);
      const name = `${event.label}: ${event.text}`;
      const jump = () => go(epoch, "push");
      const tick = tdw.el("button", { type: "button", class: "scrub-tick", title: name, tabindex: -1, "aria-hidden": "true", onclick: jump });
      tick.style.setProperty("--at", all.length > 1 ? all.indexOf(epoch) / (all.length - 1) : 0);
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
    parts.box.value = at < 0 ? "" : tdw.format(epoch);
    parts.slider.value = Math.max(0, at);
    parts.slider.style.setProperty("--done", all.length > 1 ? Math.max(0, at) / (all.length - 1) : 0);
    parts.slider.setAttribute("aria-valuetext", at < 0 ? "no checkpoint" : "epoch " + tdw.format(epoch));
    parts.position.textContent = at < 0 ? "" : `${at + 1} of ${all.length} saved`;
    parts.events.querySelectorAll(".event-chip").forEach((chip) => chip.classList.toggle("is-set", Number(chip.dataset.epoch) === epoch));
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
    playing = setTimeout(beat, SPEEDS[parts.speed.value]);
  }
  function toggle() {
    if (playing !== null) return stop();
    const all = epochs();
    if (!all.length) return;
    if (tdw.selection.get().epoch === all[all.length - 1]) go(all[0], "replace");
    parts.play.textContent = "Pause";
    parts.play.setAttribute("aria-label", "Pause");
    playing = setTimeout(beat, SPEEDS[parts.speed.value]);
  }

  function toEvent(direction) {
    if (!tdw.selection.known()) return;
    const { epoch } = tdw.selection.get();
    const stops = [...new Set(tdw.selection.info().events.map(checkpointOf))].sort((a, b) => a - b);
    const next = direction > 0 ? stops.find((one) => one > epoch) : stops.reverse().find((one) => one < epoch);
    if (next !== undefined) go(next, "push");
  }

  tdw.on("boot", () => {
    build(document.getElementById("scrubber"));
    showRun();
  });
  tdw.on("info", () => {
    stop();
    showRun();
  });
  tdw.on("selection", (state, changed) => {
    if (changed.has("epoch") || changed.has("variant")) show();
  });
  tdw.scrubber = { toggle, toEvent };
})((window.tdw = window.tdw || {}));
