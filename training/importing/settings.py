"""Settings of a run under other programs' names, and where they contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.errors import BadParameter
from data.importers.contents import Contents
from data.importers.layouts import Sizes
from training.families import modular_addition as family
from training.importing.report import Imported

_NAMES: Mapping[str, tuple[str, ...]] = {
    "p": ("p", "P", "prime", "modulus"),
    "lr": ("lr", "learning_rate"),
    "weight_decay": ("weight_decay", "wd"),
    "betas": ("betas",),
    "eps": ("eps",),
    "seed": ("model_seed", "init_seed", "seed"),
    "data_seed": ("data_seed", "split_seed", "dseed", "seed"),
    "fraction": ("frac_train", "training_fraction", "train_fraction", "train_frac", "frac", "fraction"),
    "operation": ("operation", "fn_name", "fn", "op"),
    "d_model": ("d_model",),
    "n_heads": ("n_heads", "num_heads"),
    "d_head": ("d_head",),
    "d_mlp": ("d_mlp",),
    "activation": ("act_type", "act_fn", "act", "activation"),
    "layers": ("n_layers", "num_layers"),
}


def settings_of(contents: Contents) -> dict[str, Any]:
    """The configured value of every setting that is known by one of its names, else None."""
    return {
        field: next((contents.config[name] for name in names if contents.config.get(name) is not None), None)
        for field, names in _NAMES.items()
    }


def refuse(given: Mapping[str, Any]) -> None:
    """What the shapes cannot tell but the configuration can: another function than ours."""
    activation = given["activation"]
    if activation is not None and "relu" not in str(activation).lower():
        raise BadParameter(f"The model's activation is {activation!r}; only ReLU can be imported exactly.")
    if isinstance(given["layers"], int) and given["layers"] != 1:
        raise BadParameter(f"The model has {given['layers']} layers; only one layer can be imported exactly.")


def compare_sizes(sizes: Sizes, given: Mapping[str, Any], report: Imported) -> None:
    for name in ("d_model", "n_heads", "d_head", "d_mlp"):
        stated, real = given[name], getattr(sizes, name)
        if isinstance(stated, int) and stated != real:
            report.contradictions.append(
                f"The configuration says {name}={stated}, the shapes {real}; took the shapes."
            )


def model_seed(stated: Any, report: Imported) -> int:
    if isinstance(stated, int) and not isinstance(stated, bool) and stated >= 0:
        return stated
    report.notes.append("The seed of the initial weights is not known; 0 stands for it.")
    return 0


def training_config(
    contents: Contents, sizes: Sizes, digest: str, given: Mapping[str, Any], report: Imported
) -> family.TrainingConfig:
    """Optimizer settings: the optimizer's own, else the configuration's, else the defaults; each is said."""
    values: dict[str, Any] = {
        name: getattr(sizes, name) for name in ("d_model", "n_heads", "d_head", "d_mlp")
    }
    own = dict(contents.optimizer)
    own["lr"] = own.get("initial_lr", own.get("lr"))  # before a schedule changed it
    unknown = []
    for name in ("lr", "weight_decay", "betas", "eps"):
        used, stated = own.get(name), given[name]
        used, stated = (tuple(one) if isinstance(one, (list, tuple)) else one for one in (used, stated))
        if used is not None and stated is not None and used != stated:
            report.contradictions.append(
                f"The configuration says {name}={stated}, the optimizer's state {name}={used};"
                " took the optimizer's."
            )
        chosen = stated if used is None else used
        if chosen is None:
            unknown.append(name)
            continue
        try:
            family.make_config({**values, name: chosen})
        except BadParameter as error:
            report.notes.append(f"{name}={chosen} is not kept: {error}.")
        else:
            values[name] = chosen
    if unknown:
        report.notes.append(f"Not told by the file, so the defaults stand: {', '.join(unknown)}.")
    return family.make_config({**values, "imported": digest})
