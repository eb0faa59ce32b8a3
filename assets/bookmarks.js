/* Bookmarks: a name for what is selected now, kept in the workspace; a click returns to it. */
(function (tdw) {
  "use strict";
  let list = [];
  let parts = null;

  function build() {
    const name = tdw.el("input", { type: "text", id: "bookmark-name", class: "number-box", maxlength: 120, autocomplete: "off", placeholder: "name this place", "aria-label": "Name of the bookmark" });
    const items = tdw.el("ul", { class: "bookmark-list" });
    const form = tdw.el("form", { class: "bookmark-form" }, name, tdw.el("button", { type: "submit", class: "button", title: "Bookmark this variant, epoch and selection" }, "Keep"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(name);
    });
    document.getElementById("bookmarks").replaceChildren(tdw.el("div", { class: "control-label" }, "Bookmarks"), form, items);
    parts = { name, items };
    show();
  }

  function suggestion() {
    const state = tdw.selection.get();
    return `${state.variant} at ${tdw.selection.describe("epoch", state.epoch)}`;
  }

  async function keep(name) {
    if (!tdw.selection.known()) return;
    try {
      const address = tdw.selection.toUrl(tdw.selection.get());
      await tdw.post("/_bookmarks", { name: name.value.trim() || suggestion(), address });
      name.value = "";
      await load();
    } catch (error) {
      tdw.notices.show("error", error.message);
    }
  }

  async function load() {
    try {
      list = await tdw.fetch("/_bookmarks");
      show();
    } catch (error) {
      /* the list stays as it was */
    }
  }

  async function forget(id) {
    list = await tdw.fetch("/_bookmarks/" + encodeURIComponent(id), { method: "DELETE" });
    show();
    parts.name.focus();
  }

  function item(one) {
    const where = one.variant + (one.epoch === null ? "" : ", epoch " + tdw.format(one.epoch));
    return tdw.el("li", {},
      tdw.el("a", { href: one.address, class: "bookmark", title: where, onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        tdw.selection.open(one.address);
      } }, tdw.el("span", {}, one.name), tdw.el("small", {}, where)),
      tdw.el("button", { type: "button", class: "icon-button", "aria-label": "Delete the bookmark " + one.name, title: "Delete", onclick: () => forget(one.id) }, "×"));
  }
  function show() {
    if (parts) parts.items.replaceChildren(...list.slice().reverse().map(item));
  }

  tdw.on("boot", () => {
    build();
    load();
  });
  tdw.bookmarks = { load };
})((window.tdw = window.tdw || {}));
