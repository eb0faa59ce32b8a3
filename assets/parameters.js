/* The parameters of a view as labelled drop-downs in its panel's header; their values are part of the address. */
(function (tdw) {
  "use strict";

  function build(panel) {
    const home = panel.el.querySelector(".panel-parameters");
    if (!home || panel.kind !== "view") return;
    for (const [name, parameter] of Object.entries(panel.defaults)) {
      if (!parameter.choices) continue;
      const id = ["parameter", panel.place, panel.view, name].join("-");
      const select = tdw.el("select", { id, class: "parameter", "data-name": name, "aria-label": parameter.label + " of " + panel.el.dataset.title });
      for (const choice of parameter.choices) select.append(tdw.el("option", { value: choice }, choice));
      select.addEventListener("change", () => {
        tdw.selection.setParameter(panel.view, name, select.value === String(parameter.default) ? null : select.value);
      });
      home.append(tdw.el("span", { class: "parameter-box" }, tdw.el("label", { for: id }, parameter.label), select));
    }
    show(panel);
  }

  function show(panel) {
    const values = tdw.panels.parametersOf(panel);
    panel.el.querySelectorAll("select.parameter").forEach((select) => {
      select.value = String(values[select.dataset.name]);
    });
  }

  tdw.on("panel", build);
  tdw.on("selection", (state, changed) => {
    if (changed.has("params")) for (const panel of tdw.panels.all()) show(panel);
  });
})((window.tdw = window.tdw || {}));
