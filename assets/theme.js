/* Light or dark, compact or full: preferences of this browser. */
(function (tdw) {
  "use strict";
  const root = document.documentElement;

  const theme = () => root.getAttribute("data-bs-theme") || "light";
  const density = () => root.dataset.density || "compact";

  function press(name, value) {
    document.querySelectorAll("[data-set-" + name + "]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.getAttribute("data-set-" + name) === value));
    });
  }

  function setTheme(value) {
    root.setAttribute("data-bs-theme", value);
    tdw.remember("theme", value);
    press("theme", value);
    tdw.emit("theme");
  }
  function setDensity(value) {
    root.dataset.density = value;
    tdw.remember("density", value);
    press("density", value);
    tdw.emit("theme");
  }

  root.dataset.density = tdw.recall("density", "compact") === "full" ? "full" : "compact";

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-set-theme], [data-set-density]");
    if (!button) return;
    if (button.hasAttribute("data-set-theme")) setTheme(button.getAttribute("data-set-theme"));
    else setDensity(button.getAttribute("data-set-density"));
  });
  tdw.on("boot", () => {
    press("theme", theme());
    press("density", density());
  });
  tdw.theme = { current: theme, density };
})((window.tdw = window.tdw || {}));
