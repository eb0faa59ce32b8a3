/* The variant picker: its choices, and Enter, which takes the only match of what was typed. */
(function (tdw) {
  "use strict";

  function fill() {
    const info = tdw.selection.info();
    if (info) tdw.send("variant-picker", { options: info.variants, value: info.error ? null : info.variant });
  }
  let shown = "";
  tdw.on("info", (info) => {
    const now = JSON.stringify([info.variants, info.error ? null : info.variant]);
    if (now !== shown) fill();
    shown = now;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches || !event.target.matches(".dash-dropdown-search")) return;
    const matches = document.querySelectorAll(".dash-dropdown-option");
    if (matches.length !== 1) return;
    event.preventDefault();
    event.stopPropagation();
    matches[0].click();
  }, true);
})((window.tdw = window.tdw || {}));
