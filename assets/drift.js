/* Says once when the index no longer fits the files of the workspace, and what to do about it. What is seen once
 * only is being mended by whoever changed the files. */
(function (tdw) {
  "use strict";
  const FIRST = 5000;
  const EVERY = 30000;
  const AGAIN = 4000;
  let told = "";
  let suspected = "";

  const drop = (text) => [...document.querySelectorAll("#notices .notice")].filter((one) => one.dataset.text === text).forEach((one) => one.remove());

  async function rebuild() {
    drop(told);
    try {
      const { variants } = await tdw.post("/_drift/rebuild", {});
      tdw.notices.show("done", `The index was made again from the files: ${tdw.format(variants)} variants.`);
      tdw.selection.refresh();
    } catch (error) {
      tdw.notices.show("error", error.message);
    }
    look();
  }

  async function look() {
    if (document.hidden || tdw.pace.running()) return;
    try {
      const answer = await tdw.fetch("/_drift");
      const text = answer.text && `${answer.text} ${answer.remedy}`;
      if (text === told) return;
      if (text && text !== suspected) {
        suspected = text;
        setTimeout(look, AGAIN);
        return;
      }
      drop(told);
      told = text;
      if (text) tdw.notices.show("warning", text, answer.rebuild ? [{ label: "Rebuild the index", act: rebuild }] : []);
    } catch (error) {
      /* the next figure or click will say that the server is gone */
    }
  }

  tdw.on("boot", () => {
    setTimeout(look, FIRST);
    setInterval(look, EVERY);
  });
  tdw.drift = { look };
})((window.tdw = window.tdw || {}));
