/* A choice among a few things (a drop-down) or among many (a field that narrows a list while one types). */
(function (tdw) {
  "use strict";
  const MANY = 16;

  function few(id, list, act, say) {
    const select = tdw.el("select", { id, class: "parameter" }, ...list.map((value) => tdw.el("option", { value }, say(value))));
    select.addEventListener("change", () => act(select.value));
    return { control: select, set: (value) => (select.value = value) };
  }

  function many(id, list, act, say) {
    let chosen = "";
    let active = 0;
    let found = [];
    const items = tdw.el("ul", { id: id + "-list", role: "listbox", hidden: true });
    const input = tdw.el("input", { id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id + "-list" });
    const holder = tdw.el("span", { class: "search-choice" }, input, items);
    const close = () => {
      items.hidden = true;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
      input.value = say(chosen);
    };
    const take = (value) => {
      if (value === undefined) return;
      const isNew = value !== chosen;
      chosen = value;
      close();
      if (isNew) act(value);
    };
    const mark = () => {
      [...items.children].forEach((item, i) => item.classList.toggle("is-active", i === active));
      const item = items.children[active];
      if (!item) return;
      input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    };
    const open = (text) => {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      found = list.filter((value) => words.every((word) => say(value).toLowerCase().includes(word)));
      items.replaceChildren(...found.map((value, i) => tdw.el("li", { id: `${id}-${i}`, role: "option", "aria-selected": String(value === chosen), onpointerdown: (event) => event.preventDefault(), onclick: () => take(value) }, say(value))));
      active = Math.max(0, found.indexOf(chosen));
      items.hidden = found.length === 0;
      input.setAttribute("aria-expanded", String(!items.hidden));
      mark();
    };
    input.addEventListener("focus", () => {
      input.select();
      open("");
    });
    input.addEventListener("input", () => open(input.value));
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") take(found[active]);
      else if (event.key === "Escape" && !items.hidden) close();
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (items.hidden) open("");
        else active = Math.min(found.length - 1, Math.max(0, active + (event.key === "ArrowDown" ? 1 : -1)));
        mark();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return { control: holder, set: (value) => {
      chosen = value;
      if (document.activeElement !== input) input.value = say(value);
      input.title = say(value);
    } };
  }

  /* -> {el, set(value)}; act(value) when another one is chosen; say(value): how it is written */
  function build(label, name, list, act, say = (value) => value) {
    const id = "choice-" + name;
    const { control, set } = list.length > MANY ? many(id, list, act, say) : few(id, list, act, say);
    return { el: tdw.el("span", { class: "parameter-box" }, tdw.el("label", { for: id }, label), control), set };
  }

  tdw.compareChoice = { build };
})((window.tdw = window.tdw || {}));
