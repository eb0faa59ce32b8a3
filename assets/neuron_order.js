/* The order in which n and N go through the neurons, and the neurons visited last beside the navigated views.
 * The order is that of the figure that a person navigates in: whoever draws one calls tdw.order.set. */
(function (tdw) {
  "use strict";
  const KEPT = 12;
  const DWELL = 700; // milliseconds that a neuron is looked at before passing it counts as a visit
  const orders = new Map();
  let visited = [];
  let timer = 0;
  let variant = null;

  function set(field, values) {
    orders.set(field, values);
    tdw.emit("order", field);
  }
  const of = (field) => {
    const order = orders.get(field);
    return order && order.includes(tdw.selection.get()[field]) ? order : null;
  };

  /* A navigator's columns are neurons in the order that its view chose. */
  tdw.on("drawn", (panel, gd) => {
    if (!panel.el.classList.contains("is-navigator") || panel.place !== "explore") return;
    const trace = gd._fullData[0];
    const where = trace && tdw.payload.fieldsOf(trace).neuron;
    if (where !== "customdata" || !trace.customdata || !trace.z) return;
    const row = Array.from(trace.customdata[0] || [], tdw.payload.scalar);
    if (row.length && row.every((one) => one !== null)) set("neuron", row);
  });

  function home() {
    const aside = document.querySelector("#group-neurons .group-aside");
    if (!aside) return null;
    return aside.querySelector(".visited") || (aside.prepend(tdw.el("div", { class: "visited", role: "group", "aria-label": "Neurons visited last" })), aside.querySelector(".visited"));
  }
  function show() {
    const strip = home();
    if (!strip) return;
    const now = tdw.selection.get().neuron;
    strip.replaceChildren(tdw.el("span", { class: "hint" }, "visited: "), ...visited.map((neuron) => tdw.el("button", {
      type: "button", class: "chip" + (neuron === now ? " is-set" : ""), "aria-pressed": String(neuron === now), "aria-label": "Return to neuron " + neuron,
      onclick: () => tdw.selection.set({ neuron }, "push"),
    }, String(neuron))));
  }
  function visit(neuron) {
    if (neuron === null || neuron === undefined) return;
    if (!visited.includes(neuron)) visited = [neuron, ...visited].slice(0, KEPT);
    show();
  }

  tdw.on("selection", (state, changed, how) => {
    if (state.variant !== variant) {
      variant = state.variant;
      visited = [];
      orders.clear();
    }
    if (!tdw.selection.known() || !(changed.has("neuron") || changed.has("variant"))) return;
    clearTimeout(timer);
    if (how === "push") visit(state.neuron);
    else timer = setTimeout(() => visit(tdw.selection.get().neuron), DWELL);
    show();
  });

  tdw.order = { set, of, visited: () => visited };
})((window.tdw = window.tdw || {}));
