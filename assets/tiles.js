/* Views of many small maps (renderers/tiles.py) drawn on a canvas from a binary answer.
 * One answer holds everything about one epoch; order, filter and scale are applied here, and the answers of the
 * other epochs are fetched ahead while the view is on screen: stepping and playing then ask for nothing. */
(function (tdw) {
  "use strict";
  const ROOM = 256 * 2 ** 20; // bytes of answers that are kept
  const AHEAD = 2; // requests at a time for epochs that are not shown yet
  const GAP = 2;
  const EDGE = { left: 46, bottom: 18 }; // room for the labels of rows and columns
  const HERE = ["order", "show", "scale"]; // parameters that need no new answer
  const hosts = new Map();
  const answers = new Map(); // key -> {set} or {pending} or {message}
  let held = 0;

  // --- answers -------------------------------------------------------------------------------------------

  function unpack(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const start = 4 + length;
    const columns = {};
    for (const [name, { type, at }] of Object.entries(header.columns)) {
      const Type = type === "float32" ? Float32Array : Int32Array;
      columns[name] = new Type(buffer, start + at, header.count);
    }
    const pixels = new Uint8Array(buffer, start + header.tiles, header.count * header.size * header.size);
    return { count: header.count, size: header.size, across: header.across, colours: header.colours, columns, pixels, bytes: buffer.byteLength };
  }

  function keyOf(host, epoch) {
    const state = tdw.selection.get();
    const query = new URLSearchParams({ variant: state.variant });
    for (const field of host.fields) query.set(field, field === "epoch" ? epoch : state[field]);
    const params = tdw.panels.parametersOf(host);
    for (const name of Object.keys(params)) if (!HERE.includes(name)) query.set(name, params[name]);
    query.set("v", host.needs.map((analyzer) => tdw.selection.info().tokens[analyzer] || "").join(" "));
    return "/_tiles/" + host.view + "?" + query;
  }

  function fetchSet(key) {
    const known = answers.get(key);
    if (known) return known.pending || Promise.resolve(known);
    const entry = {};
    entry.pending = fetch(key).then(async (response) => {
      if (response.ok) {
        entry.set = unpack(await response.arrayBuffer());
        held += entry.set.bytes;
        answers.delete(key); // to the young end
        answers.set(key, entry);
        forgetOldest();
      } else entry.message = await response.json();
    }).catch(() => {
      answers.delete(key); // the next look asks again
      entry.message = { state: "error", title: "No answer", text: "The server cannot be reached. Is it still running?", action: "retry" };
    }).then(() => {
      entry.pending = null;
      return entry;
    });
    answers.set(key, entry);
    return entry.pending;
  }

  function forgetOldest() {
    for (const [key, entry] of answers) {
      if (held <= ROOM) return;
      if (!entry.set) continue;
      held -= entry.set.bytes;
      answers.delete(key);
    }
  }

  // --- which tiles, in which order -------------------------------------------------------------------------

  function similarity(set, neuron) {
    const area = set.size * set.size;
    const own = set.columns.neuron.indexOf(neuron);
    const scores = new Float64Array(set.count);
    if (own < 0) return scores;
    const mean = new Float64Array(set.count);
    for (let item = 0; item < set.count; item++) {
      let sum = 0;
      for (let i = item * area; i < (item + 1) * area; i++) sum += set.pixels[i];
      mean[item] = sum / area;
    }
    for (let item = 0; item < set.count; item++) {
      let dot = 0, square = 0, ownSquare = 0;
      for (let i = 0; i < area; i++) {
        const x = set.pixels[item * area + i] - mean[item], y = set.pixels[own * area + i] - mean[own];
        dot += x * y;
        square += x * x;
        ownSquare += y * y;
      }
      scores[item] = square && ownSquare ? dot / Math.sqrt(square * ownSquare) : -2;
    }
    return scores;
  }

  const SHOWN = {
    "selected frequency": (set, item, state) => set.columns.frequency[item] === state.frequency,
    specialised: (set, item) => set.columns.specialised[item] === 1,
    unspecialised: (set, item) => set.columns.specialised[item] === 0,
  };

  /* The items in order; made once per answer and choice, as playing comes back to it. */
  function arranged(set, params, state) {
    const asked = [params.order, params.show, params.order === "similarity" && state.neuron, params.show === "selected frequency" && state.frequency].join();
    if (set.asked !== asked) [set.asked, set.items] = [asked, arrange(set, params, state)];
    return set.items;
  }

  function arrange(set, params, state) {
    let items = Array.from({ length: set.count }, (_, item) => item);
    const test = SHOWN[params.show];
    if (test) items = items.filter((item) => test(set, item, state));
    const rank = set.columns["rank_" + params.order];
    if (rank) items.sort((a, b) => rank[a] - rank[b]);
    if (params.order === "similarity") {
      const scores = similarity(set, state.neuron);
      items.sort((a, b) => scores[b] - scores[a] || a - b);
    }
    return items;
  }

  // --- drawing -----------------------------------------------------------------------------------------------

  const ramps = new Map();
  /* 256 colours between the stops of the theme, as one number a pixel. */
  function ramp() {
    const name = tdw.theme.current();
    if (ramps.has(name)) return ramps.get(name);
    const stops = JSON.parse(document.getElementById("workbench").dataset.ramps)[name].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const made = new Uint32Array(256);
    for (let step = 0; step < 256; step++) {
      const place = (step / 255) * (stops.length - 1);
      const left = Math.min(Math.floor(place), stops.length - 2);
      const part = place - left;
      const [r, g, b] = [0, 1, 2].map((i) => Math.round(stops[left][i] * (1 - part) + stops[left + 1][i] * part));
      made[step] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    ramps.set(name, made);
    return made;
  }

  /* "#rrggbb" per frequency as one number a pixel. */
  function underlinesOf(colours) {
    const made = {};
    for (const [frequency, hex] of Object.entries(colours)) {
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      made[frequency] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return made;
  }

  /* Columns, rows and the pitch in CSS pixels that fill the body best. */
  function grid(set, count, width, height) {
    const labelled = set.across > 0;
    const room = [width - (labelled ? EDGE.left : 0), height - (labelled ? EDGE.bottom : 0)];
    if (labelled) {
      const rows = Math.max(1, Math.ceil(count / set.across));
      const pitch = Math.max(6, Math.min(room[0] / set.across, room[1] / rows));
      return { columns: set.across, rows, pitch, left: EDGE.left, labelled };
    }
    let best = { columns: 1, rows: count, pitch: 0 };
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const pitch = Math.min(room[0] / columns, room[1] / rows, set.size * 4);
      if (pitch > best.pitch) best = { columns, rows, pitch };
    }
    return { ...best, left: 0, labelled };
  }

  function pixelsOf(host, items, place, common) {
    const { set } = host;
    const cell = set.size + GAP;
    const [width, height] = [place.columns * cell, place.rows * cell];
    if (!host.image || host.image.width !== width || host.image.height !== height || host.image.tiles !== items.length) {
      host.image = new ImageData(width, height);
      host.image.tiles = items.length;
    }
    const { image } = host;
    const out = new Uint32Array(image.data.buffer);
    const colours = ramp();
    let low = Infinity, high = -Infinity;
    if (common) for (const item of items) {
      if (set.columns.low[item] < low) low = set.columns.low[item];
      if (set.columns.high[item] > high) high = set.columns.high[item];
    }
    const table = new Uint32Array(256);
    const area = set.size * set.size;
    const underlines = set.underlines = set.underlines || underlinesOf(set.colours);
    items.forEach((item, index) => {
      let lut = colours;
      if (common && high > low) {
        const [from, span] = [set.columns.low[item], set.columns.high[item] - set.columns.low[item]];
        for (let step = 0; step < 256; step++) table[step] = colours[Math.round(((from + (step / 255) * span - low) / (high - low)) * 255)];
        lut = table;
      }
      const corner = Math.floor(index / place.columns) * cell * image.width + (index % place.columns) * cell;
      for (let row = 0; row < set.size; row++) {
        let from = item * area + row * set.size;
        let to = corner + row * image.width;
        for (const end = from + set.size; from < end; from++, to++) out[to] = lut[set.pixels[from]];
      }
      const line = corner + set.size * image.width;
      out.fill(set.columns.frequency ? underlines[set.columns.frequency[item]] || 0 : 0, line, line + set.size);
    });
    return image;
  }

  /* What the page's style says, asked once per theme. */
  function styleOf(host) {
    if (!host.style) {
      const style = getComputedStyle(host.el);
      host.style = { accent: style.getPropertyValue("--accent").trim() || style.color, ink: style.color, font: "11px " + style.fontFamily };
    }
    return host.style;
  }

  const isChosen = (set, item, field, state) => set.columns[field] && set.columns[field][item] === state[field];

  function paint(host) {
    const { set } = host;
    const slot = host.el.querySelector(".panel-slot");
    if (!set || !host.onScreen) return;
    if (!host.room) host.room = [slot.clientWidth, slot.clientHeight];
    const [width, height] = host.room;
    if (width === 0) return;
    const state = tdw.selection.get();
    const params = tdw.panels.parametersOf(host);
    const items = arranged(set, params, state);
    const place = grid(set, items.length, width, height);
    const canvas = canvasOf(host, slot);
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    host.items = items;
    host.place = place;
    host.note.textContent = items.length ? progressOf(host) : "No neuron is of this kind at this epoch.";
    host.el.dataset.drawn = host.shown;
    if (!items.length) return;
    const image = pixelsOf(host, items, place, params.scale === "common");
    if (host.buffer.width !== image.width || host.buffer.height !== image.height) {
      host.buffer.width = image.width;
      host.buffer.height = image.height;
    }
    host.buffer.getContext("2d").putImageData(image, 0, 0);
    const share = set.size / (set.size + GAP);
    context.imageSmoothingEnabled = place.pitch * share < set.size;
    context.drawImage(host.buffer, place.left, 0, place.columns * place.pitch, place.rows * place.pitch);
    outline(host, context, state);
    if (place.labelled) label(host, context);
    host.el.dataset.frames = String(Number(host.el.dataset.frames || 0) + 1);
  }

  function outline(host, context, state) {
    const { set, items, place } = host;
    context.strokeStyle = styleOf(host).accent;
    const fields = host.marks.filter((field) => field !== "frequency");
    items.forEach((item, index) => {
      const matches = fields.filter((field) => isChosen(set, item, field, state)).length;
      if (!matches || (matches < fields.length && !isChosen(set, item, fields[0], state))) return;
      context.lineWidth = matches === fields.length ? 2.5 : 1;
      const side = place.pitch - 1;
      context.strokeRect(place.left + (index % place.columns) * place.pitch - 0.5, Math.floor(index / place.columns) * place.pitch + 0.5, side, side);
    });
  }

  function label(host, context) {
    const { set, place } = host;
    context.fillStyle = styleOf(host).ink;
    context.font = styleOf(host).font;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let row = 0; row < place.rows; row++) context.fillText("head " + set.columns.head[row * place.columns], place.left - 6, (row + 0.5) * place.pitch);
    context.textAlign = "center";
    context.textBaseline = "top";
    const step = Math.max(1, Math.ceil(54 / place.pitch));
    for (let column = 0; column < place.columns; column += step) {
      const text = tdw.format(set.columns.epoch[column]);
      const most = host.room[0] - context.measureText(text).width / 2; // the last one would be cut
      context.fillText(text, Math.min(place.left + (column + 0.5) * place.pitch, most), place.rows * place.pitch + 3);
    }
  }

  function canvasOf(host, slot) {
    if (host.canvas && host.canvas.isConnected) return host.canvas;
    host.canvas = tdw.el("canvas", { class: "tiles", role: "img", "aria-label": host.el.dataset.title + ". The same numbers are in the other views of this group." });
    host.tip = tdw.el("div", { class: "tiles-tip", hidden: true });
    host.note = tdw.el("div", { class: "tiles-note" });
    host.canvas.addEventListener("click", (event) => choose(host, event));
    host.canvas.addEventListener("mousemove", (event) => hover(host, event));
    host.canvas.addEventListener("mouseleave", () => { host.tip.hidden = true; });
    slot.replaceChildren(host.canvas, host.tip, host.note);
    return host.canvas;
  }

  // --- pointing ------------------------------------------------------------------------------------------------

  function itemAt(host, event) {
    if (!host.items) return null;
    const box = host.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - host.place.left) / host.place.pitch);
    const row = Math.floor((event.clientY - box.top) / host.place.pitch);
    if (column < 0 || row < 0 || column >= host.place.columns) return null;
    const item = host.items[row * host.place.columns + column];
    return item === undefined ? null : item;
  }

  function carriedBy(host, item) {
    return host.marks.map((field) => [field, host.set.columns[field][item]]).filter(([field, value]) => field !== "frequency" || value > 0);
  }

  function choose(host, event) {
    const item = itemAt(host, event);
    if (item !== null) tdw.chips.clicked(host, carriedBy(host, item), event.shiftKey);
  }

  function hover(host, event) {
    const item = itemAt(host, event);
    host.tip.hidden = item === null;
    if (item === null) return;
    const { columns } = host.set;
    const parts = ["neuron", "head", "epoch"].filter((field) => columns[field]).map((field) => field + " " + tdw.format(columns[field][item]));
    if (columns.frequency[item] > 0) parts.push("k = " + columns.frequency[item] + ", " + (100 * columns.share[item]).toFixed(1) + " % of its variance");
    parts.push(columns.low[item].toPrecision(3) + " to " + columns.high[item].toPrecision(3));
    host.tip.textContent = parts.join(" · ");
    const box = host.el.querySelector(".panel-slot").getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    host.tip.style.transform = `translate(${Math.max(0, Math.min(x + 14, box.width - host.tip.offsetWidth - 4))}px, ${Math.max(0, y - 30)}px)`;
  }

  // --- asking ------------------------------------------------------------------------------------------------

  function look(host) {
    if (!host.visible || !tdw.selection.known()) return;
    if (!tdw.selection.info().epochs.length) {
      host.wanted = host.shown = null;
      host.el.dataset.state = "absent";
      tell(host, tdw.panels.absence());
      return;
    }
    const key = keyOf(host, tdw.selection.get().epoch);
    host.wanted = key;
    const known = answers.get(key);
    if (known && known.set) {
      show(host, key, known);
      return;
    }
    host.el.classList.add("is-loading");
    fetchSet(key).then((entry) => {
      if (host.wanted === key) show(host, key, entry);
    });
  }

  function show(host, key, entry) {
    host.el.classList.remove("is-loading");
    host.el.dataset.state = entry.set ? "figure" : entry.message.state;
    if (!entry.set) {
      host.set = null;
      answers.delete(key);
      tell(host, entry.message);
      return;
    }
    host.set = entry.set;
    host.shown = key;
    paint(host);
    ahead(host);
  }

  function tell(host, message) {
    host.canvas = null;
    tdw.drawing.tell(host, message);
  }

  /* Every other epoch, the nearest first; only while the view is on screen. */
  function ahead(host) {
    if (!host.fields.includes("epoch")) return;
    const { epochs } = tdw.selection.info();
    const at = epochs.indexOf(tdw.selection.get().epoch);
    const order = [...epochs.keys()].sort((a, b) => Math.abs(a - at) - Math.abs(b - at));
    for (const index of order) {
      if (!host.visible || host.fetching >= AHEAD) return;
      const key = keyOf(host, epochs[index]);
      if (answers.has(key)) continue;
      if (held + host.set.bytes > ROOM) return;
      host.fetching += 1;
      fetchSet(key).then((entry) => {
        host.fetching -= 1;
        if (host.set) host.note.textContent = progressOf(host);
        if (entry.set) ahead(host);
      });
    }
  }

  function progressOf(host) {
    if (!host.fields.includes("epoch")) return "";
    const { epochs } = tdw.selection.info();
    const loaded = epochs.filter((epoch) => (answers.get(keyOf(host, epoch)) || {}).set).length;
    return loaded < epochs.length ? `${loaded} of ${epochs.length} checkpoints loaded` : "";
  }

  /* The neuron before or after the selected one in the order of the mosaic on screen; null if there is none. */
  function neighbour(by) {
    const host = [...hosts.values()].find((one) => one.visible && one.set && one.items && one.set.columns.neuron);
    if (!host) return null;
    const neurons = host.items.map((item) => host.set.columns.neuron[item]);
    const at = neurons.indexOf(tdw.selection.get().neuron);
    if (at < 0) return neurons.length ? neurons[0] : null;
    return neurons[Math.min(neurons.length - 1, Math.max(0, at + by))];
  }

  function settled() {
    return [...hosts.values()].filter((host) => host.onScreen).every((host) =>
      host.el.dataset.state && host.el.dataset.state !== "figure" || (host.shown === host.wanted && host.el.dataset.drawn === host.shown));
  }

  // --- life ----------------------------------------------------------------------------------------------------

  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const host = hosts.get(entry.target);
      if (!host) continue;
      host.visible = entry.isIntersecting;
      look(host);
    }
  }, { rootMargin: "160px" });
  /* Answers are fetched for what is near the screen; only what is on it is painted. */
  const screen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const host = hosts.get(entry.target);
      if (!host) continue;
      host.onScreen = entry.isIntersecting;
      if (host.onScreen && host.el.dataset.drawn !== host.shown) paint(host);
    }
  });
  const resized = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const host = hosts.get(entry.target.closest(".panel"));
      if (!host) continue;
      host.room = null;
      paint(host);
    }
  });

  function watch(el) {
    const words = (text) => text.split(" ").filter(Boolean);
    const host = {
      el, view: el.dataset.view, kind: "view", place: null, visible: false, onScreen: false, fetching: 0, set: null, items: null, wanted: null, shown: null,
      fields: words(el.dataset.asks), needs: words(el.dataset.needs), marks: words(el.dataset.marks),
      defaults: JSON.parse(el.dataset.parameters), buffer: document.createElement("canvas"), note: { textContent: "" },
    };
    hosts.set(el, host);
    sight.observe(el);
    screen.observe(el);
    resized.observe(el.querySelector(".panel-slot"));
    tdw.emit("panel", { el, view: host.view, kind: host.kind, place: el.dataset.place, defaults: host.defaults });
  }

  function scan() {
    for (const [el] of hosts) {
      if (el.isConnected) continue;
      sight.unobserve(el);
      screen.unobserve(el);
      hosts.delete(el);
    }
    document.querySelectorAll('.panel[data-component="tiles"]').forEach((el) => {
      if (!hosts.has(el)) watch(el);
    });
  }

  function lookAll() {
    for (const host of hosts.values()) look(host);
  }

  tdw.on("boot", () => {
    scan();
    new MutationObserver(scan).observe(document.getElementById("detail-content"), { childList: true });
  });
  tdw.on("selection", lookAll);
  tdw.on("info", lookAll);
  tdw.on("theme", () => {
    for (const host of hosts.values()) {
      host.style = null;
      paint(host);
    }
  });

  tdw.tiles = { neighbour, settled, retry: (el) => hosts.has(el) && look(hosts.get(el)), unpack, arranged };
})((window.tdw = window.tdw || {}));
