/* Runs in <head>, before the first paint, so that a dark page never flashes white. */
(function () {
  "use strict";
  let theme = null;
  try {
    theme = localStorage.getItem("tdw.theme");
  } catch (error) {
    /* no storage: follow the system */
  }
  if (theme !== "light" && theme !== "dark") theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.setAttribute("data-bs-theme", theme);
})();
