/* While the page is looked at, a cheap question every few seconds: has anything of this variant changed?
 * A run in training then shows its new checkpoints, and results that another tab computes appear. */
(function (tdw) {
  "use strict";
  const EVERY = 4000;
  let bookmarks = null;

  async function beat() {
    if (document.hidden || !tdw.selection.known() || tdw.pace.running()) return;
    const { variant } = tdw.selection.get();
    try {
      const answer = await tdw.fetch("/_pulse?variant=" + encodeURIComponent(variant));
      if (!tdw.selection.known() || tdw.selection.get().variant !== variant) return;
      if (answer.variant && answer.variant !== tdw.selection.info().pulse) tdw.selection.refresh();
      if (bookmarks !== null && answer.bookmarks !== bookmarks) tdw.bookmarks.load();
      bookmarks = answer.bookmarks;
    } catch (error) {
      /* the next figure or click will say that the server is gone */
    }
  }

  setInterval(beat, EVERY);
  document.addEventListener("visibilitychange", beat);
  tdw.pulse = { beat };
})((window.tdw = window.tdw || {}));
