/* What trains or analyses in this workspace, as every page and every tab sees it: asked every second while anything
 * is active, else with each pulse. Event: "work" with the active jobs, the oldest first; "ended" with a job. */
(function (tdw) {
  "use strict";
  const SOON = 1000;
  const LATER = 4000;
  let active = [];
  let timer = 0;
  const followed = new Set(); // begun by this page: their end is told even if it came before the next look

  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const now = await tdw.fetch("/_jobs/active");
      const before = active;
      active = now;
      if (now.length || before.length) tdw.emit("work", active);
      const gone = new Set([...before.map((job) => job.id), ...followed]);
      for (const id of gone) if (!now.some((one) => one.id === id)) ended(id);
    } catch (error) {
      /* the next figure or click will say that the server is gone */
    }
    clearTimeout(timer);
    timer = setTimeout(look, active.length ? SOON : LATER);
  }

  async function ended(id) {
    followed.delete(id);
    try {
      tdw.emit("ended", await tdw.forms.question(tdw.fetch("/_jobs/" + encodeURIComponent(id))));
    } catch (error) {
      /* forgotten in another tab */
    }
  }

  function follow(id) {
    followed.add(id);
    look();
  }

  async function act(id, what) {
    try {
      if (what === "forget") await tdw.fetch("/_jobs/" + encodeURIComponent(id), { method: "DELETE" });
      else await tdw.post(`/_jobs/${encodeURIComponent(id)}/${what}`, {});
    } catch (error) {
      tdw.notices.show("error", error.message);
    }
    await look();
  }

  document.addEventListener("visibilitychange", look);
  tdw.on("boot", () => {
    timer = setTimeout(look, SOON);
  });
  /* act(id, "cancel" | "resume" | "forget") */
  tdw.work = { look, follow, act, active: () => active };
})((window.tdw = window.tdw || {}));
