"""What notebooks and the dashboard ask for: stored results, small ones computed now, a variant's summary."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analyzers import staleness
from analyzers.arrays import attributes, dataset_of
from analyzers.checkpoint_work import Outputs, outputs_of
from analyzers.features import Features
from analyzers.key_frequencies import by_clusters
from analyzers.optimizer import optimizer_at
from analyzers.planning import INPUTS, PROBE, ArtifactStatus, status
from analyzers.registry import Analyzer, Registry, default_registry
from analyzers.run import Run
from analyzers.task import capabilities
from analyzers.turn_detection import EVENTS
from data.errors import BadParameter, MissingArtifact
from data.files import stat_token

if TYPE_CHECKING:
    from data import Variant

KEY_RULE = (
    "k with at least 10 % of the neurons that are assigned (neuron_clusters), at the last checkpoint,"
    " provided that at"
    " least 10 % of the live neurons are assigned"
)


class AnalyzerService:
    """Reads and computes for any variant. Threads may share it; do not change the datasets it returns."""

    def __init__(self, registry: Registry | None = None, cache_bytes: int = 64 * 2**20) -> None:
        self.registry = registry or default_registry()
        self._hashes = staleness.CheckpointHashes()
        self._cache = _Cache(cache_bytes)

    def list(self) -> list[dict[str, Any]]:
        """One dict per instrument: name, title, outputs, parameters, formula, source, protocol, caveats."""
        return [_described(found) for found in self.registry]

    def read(self, variant: Variant, name: str, probe: str = PROBE, **params: Any) -> xr.Dataset:
        """The stored result of the current version with these parameters.

        Scope "checkpoint": over `epoch`, only epochs whose checkpoint is unchanged since. Scope "trajectory":
        as computed; if the run has changed since, the attribute `stale` says so ("" otherwise). Of a variant
        whose checkpoints were removed on purpose, what was measured on them, if need be by an older version
        (the attribute `version`). Raises
        `MissingArtifact` if there is nothing of that kind, `BadParameter` for an unknown analyzer or
        parameter.
        """
        found = self.registry.get(name)
        key = self._lasting(variant, found, probe, params)
        dataset = staleness.stored(variant, found, key, probe)
        if dataset is None:
            detail = "" if not found.stored else staleness.describe(variant, found, key, probe, params)
            raise MissingArtifact(variant.name, name, detail=detail)
        if found.scope == "trajectory":
            inputs = staleness.inputs_of(variant, found, self._hashes)
            stale = "" if dataset.attrs.get(INPUTS) == inputs else "the run has changed since"
            return dataset.assign_attrs(stale=stale)
        marks = staleness.expected(variant, found, self.registry, probe, self._hashes)
        dataset = staleness.current(dataset, marks, staleness.gone(variant))
        if not dataset.sizes["epoch"]:
            raise MissingArtifact(variant.name, name, detail="the checkpoints have changed since")
        return dataset

    def on_demand(self, variant: Variant, epoch: int, name: str, **params: Any) -> xr.Dataset:
        """The result at one checkpoint, computed now (a small cache keeps the last ones); `epoch` is a scalar
        coordinate.

        What the instrument needs is computed too. Raises `UnknownEpoch`, `CorruptFile`, or `BadParameter` for
        an unknown analyzer or parameter, one of scope "trajectory", or a family that it does not apply to.
        """
        found = self.registry.get(name)
        if found.scope != "checkpoint":
            raise BadParameter(
                f"{name} looks at the whole run, not at one epoch; read its stored result instead."
            )
        lacking = set(found.requires) - capabilities(variant.family)
        if lacking:
            raise BadParameter(
                f"{name} does not apply to the family {variant.family!r}: it needs {', '.join(lacking)}."
            )
        parameters = found.with_defaults(params)
        key = self._key(found, PROBE, parameters)
        fixed = self.registry.fixed_by(name)
        this_hash = self._hashes.at(variant, epoch)
        last_hash = self._hashes.at(variant, variant.epochs[-1]) if fixed else ""
        place = (variant.identity, this_hash, last_hash, key)
        cached = self._cache.get(place)
        if cached is not None:
            return cached
        features = Features(
            variant.at(epoch).weights,
            variant.family,
            variant.params,
            optimizer=optimizer_at(variant, epoch),
        )
        for final in fixed:
            last = self.on_demand(variant, variant.epochs[-1], final)
            features.finals[final] = outputs_of(last)
        for need in self.registry.ordered(found.needs, finals=False):
            features.needs[need.name] = self._stored_at(variant, need.name, epoch) or outputs_of(
                dataset_of(need, need.compute(features, **need.with_defaults({})), {}, epoch)
            )
        features.reader = name
        attrs = attributes(found, key, PROBE, parameters, variant.identity)
        dataset = dataset_of(found, found.compute(features, **parameters), attrs, epoch)
        self._cache.put(place, dataset)
        return dataset

    def token(self, variant: Variant, name: str, probe: str = PROBE, **params: Any) -> str:
        """A text that changes whenever what `read` or `on_demand` returns may; "" if nothing is stored."""
        found = self.registry.get(name)
        key = self._lasting(variant, found, probe, params)
        checkpoints = stat_token(variant.path / "checkpoints")
        if not found.stored:
            return f"{key}.{checkpoints}"
        content = variant.artifacts.token(probe, name, key)
        fixed = self.registry.fixed_by(name)
        parts = [
            variant.artifacts.token(probe, final, self._key(self.registry.get(final), probe, {}))
            for final in fixed
        ]
        if found.kind == "history":
            parts.append(stat_token(variant.history_path))
        if found.kind != "history" or found.needs:
            parts.append(checkpoints)
        return ".".join([content, *parts]) if content else ""

    def status(self, variant: Variant, probe: str = PROBE) -> Sequence[ArtifactStatus]:
        """The state of every stored artifact that applies to the variant: complete, missing epochs, stale."""
        return status(variant, probe, self.registry, self._hashes)

    def summary(self, variant: Variant) -> dict[str, Any]:
        """Plain scalars about a variant; None where the instrument has not run.

        checkpoints, first_epoch, last_epoch; trained_epochs and the last train_loss and test_loss of the
        history; train_accuracy and test_accuracy at the last checkpoint; turn: verdict, reason, confidence
        and per event [lower, upper] or None (from the history, whether or not the instrument has run);
        key_frequencies at the last checkpoint, with key_frequencies_rule, live_neurons and assigned_neurons;
        classification, classification_rules (those that decided) and metrics (name -> value, lower, upper,
        unit, section, definition, text, reason) of the run's summary.
        """
        epochs, history = variant.epochs, variant.history
        losses = {name: _last(history, name) for name in ("train_loss", "test_loss")}
        return {
            "variant": variant.name,
            "family": variant.family,
            "checkpoints": len(epochs),
            "first_epoch": epochs[0] if epochs else None,
            "last_epoch": epochs[-1] if epochs else None,
            "trained_epochs": int(history["epoch"][-1]) if history.sizes["epoch"] else None,
            **losses,
            **self._accuracies(variant),
            "turn": self.turn(variant),
            **self._key_frequencies(variant),
            **self._metrics(variant),
        }

    def turn(self, variant: Variant) -> dict[str, Any]:
        """The `turn` of `summary` alone, from little more than the history."""
        try:
            found = self.read(variant, "turn")
        except MissingArtifact:
            found = None
        if found is None or found.attrs["stale"]:
            instrument = self.registry.get("turn")
            found = dataset_of(
                instrument, instrument.compute(Run(variant, lambda name: self.read(variant, name))), {}
            )
        intervals = {
            event: [_plain(found[bound].sel(event=event).item()) for bound in ("lower", "upper")]
            for event in EVENTS
        }
        return {
            "verdict": found.attrs["verdict"],
            "reason": found.attrs["reason"],
            "confidence": _plain(found["confidence"].item()),
            **{event: None if interval[1] is None else interval for event, interval in intervals.items()},
        }

    # --- private -----------------------------------------------------------------------------------------

    def _key(self, found: Analyzer, probe: str, params: Mapping[str, Any]) -> str:
        return self.registry.key(found.name, probe, params)

    def _lasting(self, variant: Variant, found: Analyzer, probe: str, params: Mapping[str, Any]) -> str:
        key = self._key(found, probe, params)
        return staleness.lasting(variant, found, key, probe, found.with_defaults(params))

    def _stored_at(self, variant: Variant, name: str, epoch: int) -> Outputs:
        """The stored outputs of an instrument at one epoch; empty if there are none."""
        try:
            dataset = self.read(variant, name)
        except MissingArtifact:
            return {}
        if epoch not in dataset["epoch"].values:
            return {}
        return outputs_of(dataset.sel(epoch=epoch))

    def _last_epoch(self, variant: Variant, name: str) -> xr.Dataset | None:
        """The stored result at the last checkpoint."""
        try:
            dataset = self.read(variant, name)
        except (BadParameter, MissingArtifact):
            return None
        last = max([*variant.epochs, *variant.removed], default=None)
        return dataset.sel(epoch=last) if last in dataset["epoch"].values else None

    def _accuracies(self, variant: Variant) -> dict[str, float | None]:
        found = self._last_epoch(variant, "logits_summary")
        return {
            f"{split}_accuracy": None if found is None else _plain(found["accuracy"].sel(split=split).item())
            for split in ("train", "test")
        }

    def _key_frequencies(self, variant: Variant) -> dict[str, Any]:
        neurons, clusters = (
            self._last_epoch(variant, name) for name in ("neuron_frequencies", "neuron_clusters")
        )
        if neurons is None or clusters is None:
            learned, rule = self._learned(variant) if staleness.gone(variant) else (None, KEY_RULE)
            live, assigned = None, None
        else:
            live = int((neurons["dominant_frequency"] > 0).sum())
            assigned = int(clusters["size"].sum())
            learned = clusters["freq"].values[by_clusters(clusters["size"].values, live)].tolist()
            rule = KEY_RULE
        return {
            "key_frequencies": learned,
            "key_frequencies_rule": rule,
            "live_neurons": live,
            "assigned_neurons": assigned,
        }

    def _learned(self, variant: Variant) -> tuple[Sequence[int] | None, str]:
        """The learned frequencies that the stored summary names, and by which rule."""
        metric = (self._metrics(variant)["metrics"] or {}).get("learned frequencies")
        if metric is None:
            return None, KEY_RULE
        return [int(k) for k in metric["text"].split(", ") if k.isdecimal()], metric["definition"]

    def _metrics(self, variant: Variant) -> dict[str, Any]:
        try:
            found = self.read(variant, "run_summary")
        except (BadParameter, MissingArtifact):
            return {"classification": None, "classification_rules": None, "metrics": None}
        values = {name: found[name].values.tolist() for name in ("value", "lower", "upper")}
        described = json.loads(found.attrs["metrics"])
        return {
            "classification": found.attrs["classification"],
            "classification_rules": json.loads(found.attrs["fired"]),
            "metrics": {
                one.pop("name"): {**{name: _plain(column[index]) for name, column in values.items()}, **one}
                for index, one in enumerate(described)
            },
        }


class _Cache:
    """The datasets used last, up to about `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock, self._bytes = limit, Lock(), 0
        self._entries: OrderedDict[tuple[str, ...], tuple[xr.Dataset, int]] = OrderedDict()

    def get(self, place: tuple[str, ...]) -> xr.Dataset | None:
        with self._lock:
            if place not in self._entries:
                return None
            self._entries.move_to_end(place)
            return self._entries[place][0]

    def put(self, place: tuple[str, ...], dataset: xr.Dataset) -> None:
        size = dataset.nbytes
        with self._lock:
            self._bytes += size - self._entries.pop(place, (None, 0))[1]
            self._entries[place] = dataset, size
            while len(self._entries) > 1 and self._bytes > self._limit:
                self._bytes -= self._entries.popitem(last=False)[1][1]


def _described(found: Analyzer) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "version": found.version,
        "scope": found.scope,
        "kind": found.kind,
        "stored": found.stored,
        "standard": found.standard,
        "at_most": found.at_most,
        "needs": [*found.needs, *found.needs_final],
        "requires": list(found.requires),
        "parameters": dict(found.parameters),
        "outputs": {
            name: {"dims": list(output.dims), "units": output.units, "long_name": output.long_name}
            for name, output in found.outputs.items()
        },
        "formula": found.formula,
        "source": found.source,
        "protocol": found.protocol,
        "caveats": found.caveats,
    }


def _last(history: xr.Dataset, name: str) -> float | None:
    """The last value that was recorded, None if there is none."""
    if name not in history:
        return None
    values = history[name].values
    seen = values[~np.isnan(values)]
    return _plain(float(seen[-1])) if len(seen) else None


def _plain(value: float) -> float | None:
    """A number that JSON can hold; None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None
