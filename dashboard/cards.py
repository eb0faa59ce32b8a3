"""The run in a few numbers and the rules of its classification, for the top of the page.

A number that is not there yet has no card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data import Variant

Card = dict[str, str]
RULE = "rule: "
# label of the card -> (metric of the run's summary, format, note)
FROM_SUMMARY = {
    "Largest test loss": ("largest test loss", "{:.3g}", ""),
    "Restricted loss": ("restricted loss (sum_directions), final", "{:.2g}", "key waves alone"),
    "Excluded loss": ("excluded loss (sum_directions), final", "{:.3g}", "without key waves"),
    "Logits as waves": ("logits as waves (double_centred), final", "{:.1%}", "of the variance"),
    "Dimensions of W_E": ("participation ratio of W_E (singular values), final", "{:.1f}", "participation"),
    "Weight norm": ("weight norm, final", "{:.3g}", "at the end"),
}


def cards(variant: Variant, summary: Mapping[str, Any]) -> list[Card]:
    """Label, value, a short note, and the definition for a pointer that rests on it."""
    return [
        *_turn(summary["turn"]),
        *_losses(summary),
        *_accuracies(summary),
        *_frequencies(variant, summary),
        *_metrics(summary["metrics"] or {}),
    ]


def rules(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules of the classification: name, what was compared, its value, the answer, whether it decided."""
    decided = {one.removeprefix("not ") for one in summary["classification_rules"] or []}
    return [
        {
            "name": name.removeprefix(RULE),
            "says": metric["definition"],
            "value": metric["value"],
            "answer": metric["text"],
            "decided": name.removeprefix(RULE) in decided,
        }
        for name, metric in (summary["metrics"] or {}).items()
        if name.startswith(RULE)
    ]


def _card(label: str, value: str, note: str, meaning: str) -> Card:
    return {"label": label, "value": value, "note": note, "meaning": meaning}


def _turn(turn: Mapping[str, Any]) -> Iterator[Card]:
    onset, completion, memorised = (turn.get(name) for name in ("onset", "completion", "memorised"))
    if onset:
        value = f"{round(onset[1]):,}"
        note = f"{onset[1] / memorised[1]:.1f} × memorised" if memorised and memorised[1] else "epoch"
        yield _card("Turn begins", value, note, "First epoch by which the test loss had turned downwards.")
    if onset and completion:
        length = round(completion[1] - onset[1])
        yield _card(
            "Length of the turn", f"{length:,}", "epochs", "From where the turn begins to its completion."
        )


def _losses(summary: Mapping[str, Any]) -> Iterator[Card]:
    train, test = summary["train_loss"], summary["test_loss"]
    if test is not None:
        note = "" if train is None else f"train {train:.2g}"
        yield _card("Final test loss", f"{test:.2g}", note, "Cross-entropy in nats, last value recorded.")


def _accuracies(summary: Mapping[str, Any]) -> Iterator[Card]:
    train, test = summary["train_accuracy"], summary["test_accuracy"]
    if test is not None:
        note = "" if train is None else f"train {train:.2%}"
        meaning = "Share of the test inputs that are answered correctly at the last checkpoint."
        yield _card("Test accuracy", f"{test:.2%}", note, meaning)


def _frequencies(variant: Variant, summary: Mapping[str, Any]) -> Iterator[Card]:
    keys = summary["key_frequencies"]
    if keys is None:
        return
    value = ", ".join(map(str, keys)) or "none"
    yield _card(
        "Key frequencies", value, f"of {(int(variant.params['p']) - 1) // 2}", summary["key_frequencies_rule"]
    )
    live, assigned = summary["live_neurons"], summary["assigned_neurons"]
    if live:
        meaning = "Neurons that follow one frequency, of those that are active, at the last checkpoint."
        yield _card("Assigned neurons", f"{assigned / live:.0%}", f"{assigned} of {live} live", meaning)


def _metrics(metrics: Mapping[str, Any]) -> Iterator[Card]:
    for label, (name, form, note) in FROM_SUMMARY.items():
        metric = metrics.get(name)
        if metric and metric["value"] is not None:
            meaning = metric["definition"]
            meaning = meaning[:1].upper() + meaning[1:]
            yield _card(label, form.format(metric["value"]), note or metric["text"], meaning)
