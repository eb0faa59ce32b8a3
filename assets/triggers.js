/* Buttons inside panels and the sidebar that start something: retry, analyze; and what the server reports back. */
(function (tdw) {
  "use strict";
  let cancelled = false;
  let reported = 0;

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-action]");
    if (!button) {
      closeBlurbs(event.target);
      return;
    }
    if (button.dataset.action === "retry") tdw.panels.retry(button.closest(".panel"));
    if (button.dataset.action === "analyze") document.getElementById("analyze").click();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeBlurbs(null));

  /* An open explanation closes when something else is clicked. */
  function closeBlurbs(target) {
    document.querySelectorAll("details.blurb[open]").forEach((one) => {
      if (!target || !one.contains(target)) one.open = false;
    });
  }

  /* A job that dies leaves no result; dash then only returns to idle. Say so. */
  function followJob() {
    const job = document.getElementById("job");
    let running = false;
    new MutationObserver(() => {
      const now = job.classList.contains("is-running");
      if (running && !now) {
        const before = reported;
        setTimeout(() => {
          if (reported === before && !cancelled) tdw.notices.show("error", "The analysis stopped without a result. What it had finished is kept; start it again to continue.");
          if (reported === before) tdw.selection.refresh();
          cancelled = false;
        }, 1500);
      }
      running = now;
    }).observe(job, { attributes: true, attributeFilter: ["class"] });
    document.getElementById("cancel").addEventListener("click", () => {
      cancelled = true;
      tdw.notices.show("info", "Analysis cancelled. What it had finished is kept.");
    });
  }

  tdw.on("boot", followJob);
  tdw.on("job", (result) => {
    if (!result) return;
    reported += 1;
    tdw.notices.show(result.kind, result.text);
    tdw.selection.refresh();
  });
  tdw.on("info", (info) => {
    const status = document.getElementById("status");
    if (status && !info.error) status.textContent = "Showing " + info.variant;
    document.documentElement.dataset.variant = info.error ? "unknown" : "known";
    document.title = (info.error ? "" : info.variant + " · ") + "Training Dynamics Workbench";
    tdw.send("variant-picker", { value: info.error ? null : info.variant });
  });
})((window.tdw = window.tdw || {}));
