/* The order (dashboard/work/orders.py) that each form of the Train page stands for. */
(function (tdw) {
  "use strict";
  let facts = { family: "", settings: [] };
  const known = new Map(); // variant -> its settings, or a promise of them

  const value = (form, name) => tdw.forms.value(form, name);
  const without = (object) => Object.fromEntries(Object.entries(object).filter(([, one]) => one !== undefined));

  /* What a variant was made with (dashboard/pages/train_routes.py). */
  function settingsOf(variant) {
    if (!known.has(variant)) {
      const asked = tdw.forms.question(tdw.fetch("/_settings?variant=" + encodeURIComponent(variant)));
      asked.catch(() => {});
      asked.finally(() => setTimeout(() => known.delete(variant), 10000)).catch(() => {});
      known.set(variant, asked);
    }
    return known.get(variant);
  }

  /* The variant and the epoch that a form is about: typed, or those of the page. */
  const variantOf = (form) => tdw.forms.given(form, "of") || tdw.selection.get().variant;
  function epochOf(form) {
    const typed = tdw.forms.given(form, "at");
    return typed === undefined ? tdw.selection.get().epoch : typed;
  }

  /* Epochs to keep, as the server reads them; undefined: the standard ones. */
  function checkpoints(form, epochs) {
    const how = tdw.forms.given(form, "saved");
    const last = Number.isInteger(epochs) ? epochs : 0;
    if (how === "own") return tdw.forms.given(form, "checkpoints") || "";
    if (how === "ends") return "0";
    if (how === "every 100") return last >= 100 ? `0:${last - (last % 100)}:100` : "0";
    if (how === "every 1000") return last >= 1000 ? `0:${last - (last % 1000)}:1000` : "0";
    if (how === "early") return `0:${Math.min(500, last - (last % 10))}:10` + (last >= 250 ? `,0:${last - (last % 250)}:250` : "");
    if (how === "standard") return standard(last);
    return undefined;
  }
  function standard(last) {
    const found = new Set([0, last]);
    for (let power = 1; power <= last; power *= 2) found.add(power);
    for (let epoch = 0; epoch <= last; epoch += 250) found.add(epoch);
    return [...found].sort((a, b) => a - b);
  }
  const kept = (form, epochs) => ({
    checkpoints: checkpoints(form, epochs), checkpoint_dtype: value(form, "checkpoint_dtype"), state_every: value(form, "state_every"), device: value(form, "device"),
  });

  /* How many runs a form of new runs makes: the product of the numbers of values. */
  function count(form) {
    return facts.settings.reduce((product, { name, kind }) => {
      const typed = kind === "pair" ? undefined : tdw.forms.given(form, name);
      return product * (Array.isArray(typed) ? typed.length : 1);
    }, 1);
  }

  function runs(form) {
    const params = {};
    const config = {};
    for (const { name, place, given } of facts.settings) {
      const typed = given ? tdw.forms.given(form, name) : value(form, name);
      if (typed !== undefined) (place === "params" ? params : config)[name] = typed;
    }
    const epochs = tdw.forms.given(form, "epochs");
    const common = { family: facts.family, epochs: value(form, "epochs"), ...kept(form, epochs), tf32: value(form, "tf32") };
    const isSweep = facts.settings.some(({ name, kind }) => kind !== "pair" && Array.isArray({ ...params, ...config }[name]));
    if (!isSweep) return without({ kind: "train", params, config, ...common });
    if (config.betas) config.betas = [config.betas]; // one value that is a list
    return without({ kind: "sweep", grid: { ...params, ...config }, ...common, workers: value(form, "workers") });
  }

  async function fork(form) {
    const variant = variantOf(form);
    const { last } = await settingsOf(variant);
    const at = epochOf(form);
    const epochs = value(form, "epochs");
    const change = {};
    for (const name of ["lr", "weight_decay", "lr_schedule", "wd_schedule", "frac_train", "data_seed", "perturb", "perturb_seed", "end_intervention"]) change[name] = value(form, name);
    const gain = value(form, "gain");
    const frequencies = value(form, "frequencies");
    if (gain !== undefined || frequencies !== undefined) {
      change.intervention = {
        site: tdw.forms.given(form, "site"), gain: gain === undefined ? null : gain, frequencies: tdw.forms.several(String(frequencies ?? ""), "whole"),
        start: value(form, "start") ?? at, end: value(form, "end") ?? epochs ?? last, ramp: value(form, "ramp") ?? 0,
      };
    }
    return without({ kind: "fork", variant, at, change: without(change), epochs, ...kept(form, epochs ?? last) });
  }

  async function replicates(form) {
    const variant = variantOf(form);
    const root = await settingsOf(variant);
    if (root.parent) throw Object.assign(new Error(`${variant} is a fork or a copy. Replicates are made of a run from the start, such as ${root.parent}.`), { field: "variant" });
    const epochs = value(form, "epochs") ?? root.planned ?? root.last;
    const given = tdw.forms.given(form, "perturb");
    return without({
      kind: "replicates", family: root.family, params: root.params, config: root.config, copies: tdw.forms.given(form, "copies") ?? "", perturb: given ?? "", epochs,
      checkpoints: tdw.forms.given(form, "saved") === "ends" ? undefined : checkpoints(form, epochs), device: value(form, "device"), go_on: true,
    });
  }

  const resume = (form) => without({ kind: "resume", variant: variantOf(form), epochs: value(form, "epochs"), device: value(form, "device") });
  const densify = (form) => without({ kind: "densify", variant: variantOf(form), epochs: tdw.forms.given(form, "add") ?? "", device: value(form, "device"), force: value(form, "force") });

  const ORDERS = { new: runs, fork, replicates, resume, densify };
  /* Which field of a form shows the error of a field of the order. */
  const ALIASES = {
    new: {}, fork: { variant: "of", intervention: "gain" }, replicates: { variant: "of", replicates: "copies" }, resume: { variant: "of" },
    densify: { variant: "of", epochs: "add", checkpoints: "add" },
  };

  const of = async (form) => ORDERS[form.dataset.form](form);
  function fieldOf(form, name) {
    const field = ALIASES[form.dataset.form][name] || name;
    return field === "checkpoints" && tdw.forms.given(form, "saved") !== "own" ? "saved" : field;
  }
  tdw.trainOrders = { of, fieldOf, count, settingsOf, variantOf, epochOf, setUp: (given) => (facts = given) };
})((window.tdw = window.tdw || {}));
