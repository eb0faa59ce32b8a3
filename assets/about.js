/* What is said of a variant beside its figures: classification, numbers, missing results, running jobs.
 * It takes the server longer than a figure does, so it is asked once the screen is drawn, or after a while.
 * Event: "about" with the answer. */
(function (tdw) {
  "use strict";
  const PATIENCE = 4000;
  const STEP = 50;
  const AGAIN = 5000; // after no answer
  let known = null;
  let questions = 0;

  /* The answer about the variant of the selection, null while there is none. */
  const of = () => (known !== null && known.variant === tdw.selection.get().variant ? known : null);

  function ask(info) {
    const mine = ++questions;
    if (info.error) return;
    const end = performance.now() + (of() ? 0 : PATIENCE);
    const look = () => {
      if (mine !== questions) return;
      if (!tdw.panels.drawn() && performance.now() < end) setTimeout(look, STEP);
      else fetchAnswer(mine, info.variant);
    };
    setTimeout(look, STEP);
  }

  async function fetchAnswer(mine, variant) {
    try {
      const answer = await tdw.fetch("/_about?variant=" + encodeURIComponent(variant));
      if (mine !== questions || !answer.variant) return;
      known = answer;
      tdw.emit("about", known);
    } catch (error) {
      if (mine === questions) setTimeout(() => mine === questions && fetchAnswer(mine, variant), AGAIN);
    }
  }

  tdw.on("info", ask);
  tdw.about = { of };
})((window.tdw = window.tdw || {}));
