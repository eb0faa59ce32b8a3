"""What the catalog stores about one variant, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from data.artifacts import state_of
from data.errors import CorruptFile
from data.variant import ARTIFACTS, token_of

if TYPE_CHECKING:
    from data.variant import Variant

SUMMARY = "run_summary"  # the analyzer whose scalars become metrics
FLOAT = np.dtype("<f8")  # of the numbers of a metric vector

Rows = dict[str, list[dict[str, Any]]]


def tokens_of(folder: Path) -> tuple[str, str]:
    """(record, history and checkpoints; results): texts that change when these do, from the folder alone."""
    return token_of(folder), state_of(folder / ARTIFACTS)


def rows_of(variant: Variant, token: str, results: str) -> Rows:
    """Every row about one variant, by table. token, results: what tells that they are out of date."""
    try:
        history = variant.history
    except CorruptFile:  # the variant is still listed; reading its history says what is wrong
        history = xr.Dataset(coords={"epoch": np.zeros(0, "int64")})
    parent = variant.parent or {}
    own = {
        "name": variant.name,
        "family": variant.family,
        "identity": variant.identity,
        "params": dict(variant.params),
        "config": dict(variant.config),
        "parent": parent.get("name"),
        "forked_at": parent.get("epoch"),
        "change": parent.get("change"),
        "planned_epochs": variant.provenance.get("plan", {}).get("epochs"),
        "trained_epochs": int(history["epoch"][-1]) if history.sizes["epoch"] else None,
        "final_train_loss": _last(history, "train_loss"),
        "final_test_loss": _last(history, "test_loss"),
        "token": token,
        "results": results,
    }
    stored = variant.artifacts.listing()
    metrics = _metrics(variant, [(probe, key) for probe, name, key, _ in stored if name == SUMMARY])
    return {
        "variants": [own],
        "checkpoints": [{"variant": variant.name, "epoch": epoch} for epoch in variant.epochs],
        "artifacts": [
            {"variant": variant.name, "probe": probe, "analyzer": analyzer, "key": key, "nbytes": nbytes}
            for probe, analyzer, key, nbytes in stored
        ],
        "metrics": metrics,
        "metric_vectors": [vector(variant.name, {one["name"]: one["value"] for one in metrics})]
        if metrics
        else [],
    }


def vector(variant: str, metrics: dict[str, float | None]) -> dict[str, Any]:
    """The row of `metric_vectors` with these values (None: NaN)."""
    names = sorted(metrics)
    numbers = np.array([metrics[name] for name in names], dtype=FLOAT)
    return {"variant": variant, "names": json.dumps(names), "numbers": numbers.tobytes()}


def _metrics(variant: Variant, places: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The scalars of the variant's newest stored summary; none if it has none that can be read."""
    places.sort(key=lambda place: variant.artifacts.path(place[0], SUMMARY, place[1]).stat().st_mtime_ns)
    for probe, key in reversed(places):
        try:
            summary = variant.artifacts.read(probe, SUMMARY, key)
        except CorruptFile:
            continue
        if summary is None or summary.attrs.get("variant") != variant.identity:
            continue
        columns = [summary[name].values.astype(float).tolist() for name in ("value", "lower", "upper")]
        return [
            {
                "variant": variant.name,
                "name": str(name),
                **{
                    column: number if np.isfinite(number) else None
                    for column, number in zip(("value", "lower", "upper"), numbers, strict=True)
                },
            }
            for name, *numbers in zip(summary["metric"].values, *columns, strict=True)
        ]
    return []


def _last(history: xr.Dataset, name: str) -> float | None:
    if name not in history:
        return None
    finite = history[name].values[np.isfinite(history[name].values)]
    return float(finite[-1]) if finite.size else None
