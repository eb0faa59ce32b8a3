/* "Export what I see": images are made here from the figure on the screen with its cursors; the rest by the server. */
(function (tdw) {
  "use strict";

  function save(name, href) {
    const link = tdw.el("a", { href, download: name });
    document.body.append(link);
    link.click();
    link.remove();
  }

  const kindOf = (panel) => tdw.panels.kinds.get(panel.kind) || {};

  function nameOf(panel, ending) {
    if (kindOf(panel).fileName) return kindOf(panel).fileName(panel) + "." + ending;
    const state = tdw.selection.get();
    const used = panel.depends.filter((field) => field !== "variant").map((field) => field + state[field]);
    return [state.variant, panel.view, ...used].join("_") + "." + ending;
  }

  async function image(panel, kind) {
    const canvas = panel.el.querySelector("canvas.tiles");
    if (canvas && kind === "png") {
      save(nameOf(panel, kind), canvas.toDataURL());
      return;
    }
    const gd = tdw.drawing.plot(panel);
    if (!gd) {
      tdw.notices.show("warning", "There is no figure here to make an image of.");
      return;
    }
    const { width, height } = gd._fullLayout;
    const layout = Object.assign({}, gd.layout, { shapes: [...(gd.layout.shapes || []), ...tdw.cursors.shapes(panel)] });
    const made = await window.Plotly.toImage({ data: gd.data, layout }, { format: kind, width, height, scale: kind === "png" ? 2 : 1 });
    save(nameOf(panel, kind), made);
  }

  function askFile(panel, kind) {
    if (kindOf(panel).file) return kindOf(panel).file(panel, kind);
    const address = new URL(tdw.selection.toUrl(tdw.selection.get()), window.location.origin);
    address.searchParams.set("theme", tdw.theme.current());
    return fetch(`/_export/${panel.view}.${kind}${address.search}`);
  }
  function file(panel, kind) {
    return askFile(panel, kind).then(async (response) => {
      if (!response.ok) throw new Error(await response.text());
      const href = URL.createObjectURL(await response.blob());
      save(nameOf(panel, kind), href);
      setTimeout(() => URL.revokeObjectURL(href), 10000);
    });
  }

  async function link(panel) {
    const state = Object.assign({}, tdw.selection.get(), { page: "detail", view: panel.view, options: {} });
    const text = window.location.origin + (kindOf(panel).address ? kindOf(panel).address(panel) : tdw.selection.toUrl(state));
    await navigator.clipboard.writeText(text);
    tdw.notices.show("info", "Copied: " + text);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-export]");
    if (!button) return;
    const el = button.closest(".panel");
    const panel = tdw.panels.of(el) || { el, view: el.dataset.view, depends: el.dataset.depends.split(" ") };
    const kind = button.dataset.export;
    const act = kind === "link" ? link : kind === "png" || kind === "svg" ? image : file;
    button.closest("details").open = false;
    act(panel, kind).catch((error) => tdw.notices.show("error", `${panel.el.dataset.title} could not be exported: ${error.message}`));
  });
})((window.tdw = window.tdw || {}));
