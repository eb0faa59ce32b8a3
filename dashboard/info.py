"""What the page needs to know about a variant before it can draw anything, and what can wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from analyzers.summary.classification import LABELS
from dashboard.cards import cards, rules
from data import Variant, Workspace
from data.errors import WorkbenchError
from data.files import digest

FIRST_FACTS = ("p", "seed")
EVENT_LABELS = {
    "memorised": "Memorised",
    "onset": "Turn begins",
    "steepest": "Steepest",
    "completion": "Turn complete",
}


class Results(Protocol):
    """What is asked of the analyzers; `analyzers.service.AnalyzerService` is one."""

    def token(self, variant: Any, name: str) -> str: ...

    def status(self, variant: Any) -> Sequence[Any]: ...

    def turn(self, variant: Any) -> dict[str, Any]: ...

    def summary(self, variant: Any) -> dict[str, Any]: ...


def variant_info(
    workspace: Workspace, results: Results, analyzers: Iterable[str], name: str | None
) -> dict[str, Any]:
    """What is needed before the first figure of a variant (the first one for None), JSON-ready.

    It costs a few small files; `about` has what takes longer. For a name that does not exist, or a variant
    that cannot be read, `error` is a sentence and `variants` says what there is; the other fields are then
    absent. A variant without checkpoints has no `epochs` and no `limits`; its history can be looked at, and
    what was kept of the results of `measured` checkpoints that were removed.
    """
    variants = workspace.variants()
    answer: dict[str, Any] = {
        "requested": name,
        "variant": None,
        "error": None,
        "variants": options(variants),
    }
    try:
        variant = shown_first(variants) if name is None else workspace[name]
        if variant is None:
            raise WorkbenchError(
                f"There are no variants in {workspace.path} yet. Train one: "
                "tdw train modular_addition --p 59 --seed 1 --epochs 2000"
            )
        return {**answer, **_needed(variant, results, list(analyzers))}
    except WorkbenchError as error:
        return {**answer, "error": str(error)}


def about(workspace: Workspace, results: Results, name: str) -> dict[str, Any]:
    """What the page shows of a variant beside its figures, JSON-ready; {} if it cannot be read.

    The numbers of the run, its classification with the rules that decided, which results are missing or out
    of date, and the kind of every run.
    """
    try:
        variant = workspace[name]
        summary = results.summary(variant)
        states = results.status(variant) if variant.epochs else []
    except WorkbenchError:
        return {}
    return {
        "variant": variant.name,
        "cards": cards(variant, summary),
        "classification": summary["classification"],
        "rules": rules(summary),
        "analyzers": len(states),
        "missing": [state.analyzer for state in states if not state.complete],
        "stale": [state.analyzer for state in states if state.stale_reason],
        "kinds": _kinds(workspace),
    }


def _kinds(workspace: Workspace) -> dict[str, str]:
    """Variant -> its classification, of those that have one."""
    workspace.catalog.refresh()
    metrics = workspace.catalog.metrics(["classification"])
    return {one.variant: LABELS[int(one.value)] for one in metrics if one.value is not None}


def pulse(workspace: Workspace, results: Results, analyzers: Iterable[str], name: str) -> str:
    """A text that changes with the variant's checkpoints, history and results; "" if there is no variant."""
    try:
        variant = workspace[name]
        return digest(sorted(_tokens(variant, results, analyzers).items()))[:16]
    except WorkbenchError:
        return ""


def shown_first(variants: Sequence[Variant]) -> Variant | None:
    """The variant of a page that names none: the first by name that has checkpoints, or the first one."""
    return next((variant for variant in variants if variant.epochs), variants[0] if variants else None)


def _needed(variant: Variant, results: Results, analyzers: list[str]) -> dict[str, Any]:
    epochs, tokens, turn = variant.epochs, _tokens(variant, results, analyzers), results.turn(variant)
    return {
        "variant": variant.name,
        "family": variant.family,
        "p": int(variant.params["p"]),
        "epochs": epochs,
        "measured": len(variant.removed),
        "limits": _limits(variant) if epochs else {},
        "facts": _facts(variant),
        "tokens": tokens,
        "pulse": digest(sorted(tokens.items()))[:16],
        "verdict": turn["verdict"],
        "reason": turn["reason"],
        "events": _events(turn),
    }


def _tokens(variant: Variant, results: Results, analyzers: Iterable[str]) -> dict[str, str]:
    """Per analyzer, and under "" for the variant itself, a text that changes with it."""
    return {name: results.token(variant, name) for name in analyzers} | {"": variant.token()}


def _limits(variant: Variant) -> dict[str, list[int]]:
    """First and last value of every selection field but the epoch."""
    p, config = int(variant.params["p"]), variant.config
    return {
        "neuron": [0, int(config["d_mlp"]) - 1],
        "head": [0, int(config["n_heads"]) - 1],
        "frequency": [1, (p - 1) // 2],
        "pair": [0, p * p - 1],
    }


def options(variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """The entries of the variant picker: every root with its forks and replicates after it, `depth` deep.

    Those with checkpoints come first.

    `short`: what tells a fork from its parent; `copy`: a replicate, of which there may be many.
    """
    names = {variant.name for variant in variants}
    children: dict[str | None, list[Variant]] = {}
    for variant in variants:
        parent = None if variant.parent is None else str(variant.parent.get("name"))
        children.setdefault(parent if parent in names else None, []).append(variant)
    found: list[dict[str, Any]] = []

    def add(parent: str | None, depth: int) -> None:
        for variant in sorted(children.get(parent, []), key=lambda one: not one.epochs):
            found.append({**_option(variant), "parent": parent, "depth": depth})
            add(variant.name, depth + 1)

    add(None, 0)
    return found


def _option(variant: Variant) -> dict[str, Any]:
    detail = " ".join(f"{key} {value}" for key, value in variant.params.items())
    parent = variant.parent or {}
    return {
        "value": variant.name,
        "label": variant.name,
        "short": variant.name.removeprefix(f"{parent.get('name')}-"),
        "copy": "perturb" in (parent.get("change") or {}),
        "checkpoints": bool(variant.epochs),
        "search": f"{variant.name} {variant.family} {detail}".lower(),
    }


def _facts(variant: Variant) -> list[list[str]]:
    names = sorted(variant.params, key=lambda name: name not in FIRST_FACTS)
    return [[name.replace("_", " "), f"{variant.params[name]}"] for name in names]


def _events(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    events = []
    for name, label in EVENT_LABELS.items():
        interval = turn.get(name)
        if interval is not None:
            low, high = interval
            events.append({"name": name, "label": label, "text": _interval(low, high), "epoch": round(high)})
    return sorted(events, key=lambda event: event["epoch"])


def _interval(low: float | None, high: float) -> str:
    """The epochs between which an event lies, short: one number where the interval is a single epoch."""
    if low is None or round(high) - round(low) <= 1:
        return f"{round(high):,}"
    return f"{round(low):,}–{round(high):,}"
