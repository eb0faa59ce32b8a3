/* Runs in <head>: the theme before the first paint, so that a dark page never flashes white, and the question
 * that every figure waits for, while the other scripts are still being read. */
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

  const variant = new URLSearchParams(window.location.search).get("variant");
  const path = "/_info" + (variant === null ? "" : "?variant=" + encodeURIComponent(variant));
  window.tdwEarly = { path, answer: fetch(path).then((response) => response.json()) };
  window.tdwEarly.answer.catch(() => {}); // whoever takes it up says so
  if (window.location.pathname === "/compare") {
    window.tdwTable = fetch("/_compare/table").then((response) => (response.ok ? response.json() : Promise.reject(new Error("HTTP " + response.status))));
    window.tdwTable.catch(() => {});
  }
})();
