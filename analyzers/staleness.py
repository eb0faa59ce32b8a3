"""Which stored results may be used: those of the current key, the same variant and unchanged inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analyzers.arrays import HASH, encoded_parameters
from analyzers.registry import Analyzer, Registry
from data.errors import CorruptFile
from data.files import stat_token

if TYPE_CHECKING:
    from data import Variant


class CheckpointHashes:
    """Hashes of checkpoint files, read again only when a file changes. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(self, variant: Variant) -> dict[int, str]:
        """Hash per saved epoch."""
        return {epoch: self.at(variant, epoch) for epoch in variant.epochs}

    def at(self, variant: Variant, epoch: int) -> str:
        """Hash of one checkpoint."""
        checkpoint = variant.at(epoch)
        name, token = str(checkpoint.path), stat_token(checkpoint.path)
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] == token:
            return known[1]
        found = checkpoint.hash
        with self._lock:
            self._known[name] = (token, found)
        return found


def stored(variant: Variant, analyzer: Analyzer, key: str, probe: str) -> xr.Dataset | None:
    """What is stored under that key for this very variant; None if nothing is that can be read."""
    try:
        dataset = variant.artifacts.read(probe, analyzer.name, key)
    except CorruptFile:
        return None
    if dataset is None or dataset.attrs.get("variant") != variant.identity:
        return None
    return dataset


def gone(variant: Variant) -> dict[int, str]:
    """Hash by epoch of the checkpoints that were removed on purpose (`Variant.removed`) and are not back."""
    removed = variant.removed
    return (
        {epoch: known for epoch, known in removed.items() if epoch not in variant.epochs} if removed else {}
    )


def lasting(variant: Variant, analyzer: Analyzer, key: str, probe: str, parameters: Mapping[str, Any]) -> str:
    """The key of the result that counts: `key`, or where that is missing and cannot be made any more, since
    checkpoints are `gone`, the newest one of another version."""
    if variant.artifacts.token(probe, analyzer.name, key) or not gone(variant):
        return key
    others = [
        other
        for other in superseded(variant, analyzer, key, probe, parameters)
        if stored(variant, analyzer, other, probe) is not None
    ]
    return max(
        others,
        key=lambda other: variant.artifacts.path(probe, analyzer.name, other).stat().st_mtime_ns,
        default=key,
    )


def current(
    dataset: xr.Dataset, marks: Mapping[int, str], removed: Mapping[int, str] | None = None
) -> xr.Dataset:
    """The epochs of a stored dataset whose checkpoint has not changed since.

    removed: hash by epoch of checkpoints that are `gone`; what was measured on these stands as it is.
    """
    removed = removed or {}
    pairs = zip(dataset["epoch"].values.tolist(), dataset[HASH].values.tolist(), strict=True)
    valid = np.array(
        [marks.get(epoch) == mark or removed.get(epoch) == mark.split(".")[0] for epoch, mark in pairs],
        dtype=bool,
    )
    return dataset if valid.all() else dataset.isel(epoch=valid)


def expected(
    variant: Variant,
    analyzer: Analyzer,
    registry: Registry,
    probe: str,
    hashes: Callable[[Variant], Mapping[int, str]],
) -> dict[int, str]:
    """What a stored result of each epoch must be marked with to be current.

    That is the checkpoint's hash, and where the instrument applies results of the last checkpoint to every
    epoch, a digest of those results: new checkpoints at the end that lead to the same make nothing stale.
    While such a result is missing, nothing can be current and every mark is "".
    """
    known = dict(hashes(variant))
    digest = hashlib.sha256()
    for name in registry.fixed_by(analyzer.name):
        fixed = at_last_epoch(variant, registry, name, probe, known)
        if fixed is None:
            return dict.fromkeys(known, "")
        for output in sorted(map(str, fixed.data_vars)):
            digest.update(output.encode())
            digest.update(np.ascontiguousarray(fixed[output].values).tobytes())
    if not registry.fixed_by(analyzer.name):
        return known
    mark = digest.hexdigest()[:16]
    return {epoch: f"{checkpoint}.{mark}" for epoch, checkpoint in known.items()}


def changed(
    dataset: xr.Dataset, marks: Mapping[int, str], hashes: Mapping[int, str], fixed: tuple[str, ...]
) -> str:
    """Why some epochs of a stored dataset are not current, "" if all are; fixed as in `Registry.fixed_by`."""
    pairs = zip(dataset["epoch"].values.tolist(), dataset[HASH].values.tolist(), strict=True)
    outdated = [(epoch, mark) for epoch, mark in pairs if epoch in marks and marks[epoch] != mark]
    if not outdated:
        return ""
    if fixed and all(mark.split(".")[0] == hashes[epoch] for epoch, mark in outdated):
        return f"the result of {', '.join(fixed)} at the last checkpoint may have changed since"
    return "checkpoints have changed since"


def at_last_epoch(
    variant: Variant, registry: Registry, name: str, probe: str, known: Mapping[int, str]
) -> xr.Dataset | None:
    """The current stored result of an instrument of scope "checkpoint" at the last checkpoint, or None."""
    found = registry.get(name)
    dataset = stored(variant, found, registry.key(name, probe), probe)
    if dataset is None or not known:
        return None
    last = max(known)
    dataset = current(dataset, known)
    return dataset.sel(epoch=last) if last in dataset["epoch"].values else None


def inputs_of(variant: Variant, analyzer: Analyzer, hashes: Callable[[Variant], Mapping[int, str]]) -> str:
    """Fingerprint of what a trajectory-scope instrument reads: the history, or all checkpoints, or both.

    Where checkpoints are `gone`, the removed ones count, whatever was added since."""
    digest = hashlib.sha256()
    if analyzer.kind == "history":
        history = variant.history
        for name in sorted(map(str, history.variables)):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(history[name].values).tobytes())
    if analyzer.kind != "history" or analyzer.needs:
        known = variant.removed if gone(variant) else hashes(variant)
        digest.update(repr(sorted(known.items())).encode())
    return digest.hexdigest()[:16]


def describe(
    variant: Variant, analyzer: Analyzer, key: str, probe: str, parameters: Mapping[str, Any]
) -> str:
    """Why nothing usable is stored under `key`, "" if nothing of that analyzer is stored at all."""
    if variant.artifacts.token(probe, analyzer.name, key):
        return "what is stored is damaged or belongs to another variant"
    others = superseded(variant, analyzer, key, probe, parameters)
    return "what is stored was made by another version" if others else ""


def superseded(
    variant: Variant, analyzer: Analyzer, key: str, probe: str, parameters: Mapping[str, Any]
) -> list[str]:
    """Stored keys of the same analyzer and parameters but another version (or an unreadable file)."""
    found = []
    for other in variant.artifacts.keys(probe, analyzer.name):
        if other == key:
            continue
        try:
            dataset = variant.artifacts.read(probe, analyzer.name, other)
        except CorruptFile:
            found.append(other)
            continue
        if dataset is not None and dataset.attrs.get("parameters") == encoded_parameters(parameters):
            found.append(other)
    return found
