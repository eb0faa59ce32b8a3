"""What the page needs to know about a variant before it can draw anything of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from dashboard.cards import cards
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

    def summary(self, variant: Any) -> dict[str, Any]: ...


def variant_info(
    workspace: Workspace,
    results: Results,
    analyzers: Iterable[str],
    name: str | None,
    running: Callable[[str], list[list[str]]] = lambda variant: [],
) -> dict[str, Any]:
    """All about one variant (the first one for None), JSON-ready.

    For a name that does not exist, or a variant that cannot be read, `error` is a sentence and `variants`
    says what there is; the other fields are then absent. A variant without checkpoints has no `epochs` and no
    `limits`; its history can be looked at. `running(variant)`: the sets of analyzers at work on it.
    """
    variants = workspace.variants()
    answer: dict[str, Any] = {
        "requested": name,
        "variant": None,
        "error": None,
        "variants": [_option(v) for v in variants],
    }
    try:
        if name is None and not variants:
            raise WorkbenchError(
                f"There are no variants in {workspace.path} yet. Train one: "
                "tdw train modular_addition --p 59 --seed 1 --epochs 2000"
            )
        variant = workspace[name] if name is not None else _first(variants)
        about = _about(variant, results, list(analyzers))
        return {**answer, **about, "running": running(variant.name)}
    except WorkbenchError as error:
        return {**answer, "error": str(error)}


def pulse(workspace: Workspace, results: Results, analyzers: Iterable[str], name: str) -> str:
    """A text that changes with the variant's checkpoints, history and results; "" if there is no variant."""
    try:
        variant = workspace[name]
        return digest(sorted(_tokens(variant, results, analyzers).items()))[:16]
    except WorkbenchError:
        return ""


def _first(variants: Sequence[Variant]) -> Variant:
    """The first variant by name that has checkpoints, or the first one."""
    return next((variant for variant in variants if variant.epochs), variants[0])


def _about(variant: Variant, results: Results, analyzers: list[str]) -> dict[str, Any]:
    epochs, tokens = variant.epochs, _tokens(variant, results, analyzers)
    summary = results.summary(variant)
    states = results.status(variant) if epochs else []
    return {
        "variant": variant.name,
        "family": variant.family,
        "p": int(variant.params["p"]),
        "epochs": epochs,
        "limits": _limits(variant) if epochs else {},
        "facts": _facts(variant),
        "cards": cards(variant, summary),
        "tokens": tokens,
        "pulse": digest(sorted(tokens.items()))[:16],
        "missing": [state.analyzer for state in states if not state.complete],
        "stale": [state.analyzer for state in states if state.stale_reason],
        "verdict": summary["turn"]["verdict"],
        "reason": summary["turn"]["reason"],
        "events": _events(summary["turn"]),
        "key_frequencies": summary["key_frequencies"],
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


def _option(variant: Variant) -> dict[str, str]:
    detail = " ".join(f"{key} {value}" for key, value in variant.params.items())
    return {
        "value": variant.name,
        "label": variant.name,
        "search": f"{variant.name} {variant.family} {detail}",
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
