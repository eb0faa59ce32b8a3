/* Light or dark, compact or full: preferences of this browser. A group may have a density of its own. */
(function (tdw) {
  "use strict";
  const root = document.documentElement;

  const theme = () => root.getAttribute("data-bs-theme") || "light";
  const density = () => root.dataset.density || "compact";
  const groups = () => [...document.querySelectorAll(".group")];
  const densityOf = (el) => {
    if (!el.matches(".in-explore, .in-compare:not(.is-large)")) return "full";
    const group = el.closest(".group");
    return (group && group.dataset.density) || density();
  };

  function press(buttons, name, value) {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.getAttribute("data-set-" + name) === value)));
  }
  const all = (name) => document.querySelectorAll(`[data-set-${name}]:not([data-group])`);

  function setTheme(value) {
    root.setAttribute("data-bs-theme", value);
    tdw.remember("theme", value);
    press(all("theme"), "theme", value);
    tdw.emit("theme");
  }
  function setDensity(value) {
    root.dataset.density = value;
    tdw.remember("density", value);
    press(all("density"), "density", value);
    for (const group of groups()) {
      tdw.remember("density." + group.id, "");
      setGroup(group, value);
    }
    tdw.emit("theme");
  }
  function setGroup(group, value) {
    group.dataset.density = value;
    press(group.querySelectorAll("[data-set-density]"), "density", value);
  }

  root.dataset.density = tdw.recall("density", "compact") === "full" ? "full" : "compact";

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-set-theme], [data-set-density]");
    if (!button) return;
    const value = button.getAttribute("data-set-density");
    const group = button.closest(".group");
    if (button.hasAttribute("data-set-theme")) setTheme(button.getAttribute("data-set-theme"));
    else if (group) {
      tdw.remember("density." + group.id, value);
      setGroup(group, value);
      tdw.emit("theme");
    } else setDensity(value);
  });
  tdw.on("boot", () => {
    for (const group of groups()) setGroup(group, tdw.recall("density." + group.id, "") || density());
  });
  tdw.on("boot", () => {
    press(all("theme"), "theme", theme());
    press(all("density"), "density", density());
  });
  tdw.theme = { current: theme, density, densityOf };
})((window.tdw = window.tdw || {}));
