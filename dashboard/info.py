"""What the page needs to know about a variant before it can draw anything of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from data import Variant, Workspace
from data.errors import WorkbenchError

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
    workspace: Workspace, results: Results, analyzers: Iterable[str], name: str | None
) -> dict[str, Any]:
    """All about one variant (the first one for None), JSON-ready.

    For a name that does not exist, or a variant that cannot be read, `error` is a sentence and `variants`
    says what there is; the other fields are then absent.
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
        variant = variants[0] if name is None else workspace[name]
        return {**answer, **_about(variant, results, list(analyzers))}
    except WorkbenchError as error:
        return {**answer, "error": str(error)}


def _about(variant: Variant, results: Results, analyzers: list[str]) -> dict[str, Any]:
    epochs = variant.epochs
    if not epochs:
        raise WorkbenchError(
            f"{variant.name} has no checkpoints yet. Train it further, or choose another variant."
        )
    p, config, summary = int(variant.params["p"]), variant.config, results.summary(variant)
    states = results.status(variant)
    return {
        "variant": variant.name,
        "family": variant.family,
        "p": p,
        "epochs": epochs,
        "limits": {
            "neuron": [0, int(config["d_mlp"]) - 1],
            "head": [0, int(config["n_heads"]) - 1],
            "frequency": [1, (p - 1) // 2],
        },
        "facts": _facts(variant, summary),
        "tokens": {name: results.token(variant, name) for name in analyzers} | {"": variant.token()},
        "missing": [state.analyzer for state in states if not state.complete],
        "stale": [state.analyzer for state in states if state.stale_reason],
        "verdict": summary["turn"]["verdict"],
        "reason": summary["turn"]["reason"],
        "events": _events(summary["turn"]),
        "key_frequencies": summary["key_frequencies"],
    }


def _option(variant: Variant) -> dict[str, str]:
    detail = " ".join(f"{key} {value}" for key, value in variant.params.items())
    return {
        "value": variant.name,
        "label": variant.name,
        "search": f"{variant.name} {variant.family} {detail}",
    }


def _facts(variant: Variant, summary: Mapping[str, Any]) -> list[list[str]]:
    names = sorted(variant.params, key=lambda name: name not in FIRST_FACTS)
    facts = [[name.replace("_", " "), f"{variant.params[name]}"] for name in names]
    losses = (("train_loss", "final train loss"), ("test_loss", "final test loss"))
    return facts + [[label, f"{summary[key]:.3g}"] for key, label in losses if summary[key] is not None]


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
