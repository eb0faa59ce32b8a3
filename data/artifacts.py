"""The artifact store of one variant: labelled results by probe, analyzer and key."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
import xarray as xr

from data.datasets import read_dataset, write_dataset
from data.files import locked, safe_name, stat_token

_SUFFIX = ".zarr.zip"


class DatasetCache:
    """Keeps the datasets read last in memory, by path and file state; holds about `limit` bytes."""

    def __init__(self, limit: int = 512 * 2**20) -> None:
        self._limit, self._lock = limit, Lock()
        self._entries: OrderedDict[tuple[str, str], xr.Dataset] = OrderedDict()

    def read(self, path: Path) -> xr.Dataset | None:
        """The dataset at `path`, None if there is no file. The result is shared: do not change it."""
        token = stat_token(path)
        if not token:
            return None
        entry = (str(path), token)
        with self._lock:
            if entry in self._entries:
                self._entries.move_to_end(entry)
                return self._entries[entry]
        dataset = read_dataset(path)
        with self._lock:
            for other in [known for known in self._entries if known[0] == entry[0]]:
                del self._entries[other]
            self._entries[entry] = dataset
            while (
                len(self._entries) > 1 and sum(kept.nbytes for kept in self._entries.values()) > self._limit
            ):
                self._entries.popitem(last=False)
        return dataset


def state_of(folder: Path) -> str:
    """A text that changes whenever any artifact below that folder is written, replaced or deleted."""
    return " ".join(stat_token(probe) for probe in sorted(folder.glob("*/")))


class ArtifactStore:
    """Artifacts under one variant's folder: `artifacts/<probe>/<analyzer>-<key>.zarr.zip`."""

    def __init__(self, folder: Path, cache: DatasetCache) -> None:
        self._folder, self._cache = folder, cache

    def path(self, probe: str, analyzer: str, key: str) -> Path:
        """Where that artifact lies (or would lie)."""
        parts = safe_name(probe, "probe"), safe_name(analyzer, "analyzer"), safe_name(key, "artifact key")
        return self._folder / parts[0] / f"{parts[1]}-{parts[2]}{_SUFFIX}"

    def read(self, probe: str, analyzer: str, key: str) -> xr.Dataset | None:
        """The stored dataset, None if there is none; CorruptFile if it is damaged."""
        return self._cache.read(self.path(probe, analyzer, key))

    def commit(self, probe: str, analyzer: str, key: str, dataset: xr.Dataset) -> None:
        """Merge `dataset` into what is stored, by `epoch`; a new epoch replaces the stored one.

        Readers see all of the new epochs or none. Two processes may commit at once: each merges under a lock.
        """
        path = self.path(probe, analyzer, key)
        with locked(self._folder / ".lock"):
            stored = read_dataset(path) if path.exists() else None
            if stored is not None:
                kept = stored.isel(epoch=~np.isin(stored["epoch"], dataset["epoch"]))
                joined = xr.concat(
                    [kept, dataset], dim="epoch", data_vars="minimal", coords="minimal", compat="override"
                )
                dataset = joined.assign_attrs(dataset.attrs)
            write_dataset(path, dataset.sortby("epoch"))

    def replace(self, probe: str, analyzer: str, key: str, dataset: xr.Dataset) -> None:
        """Store `dataset` in place of whatever is there."""
        path = self.path(probe, analyzer, key)
        with locked(self._folder / ".lock"):
            write_dataset(path, dataset)

    def drop(self, probe: str, analyzer: str, key: str) -> None:
        """Delete that artifact if it is there."""
        path = self.path(probe, analyzer, key)
        with locked(self._folder / ".lock"):
            path.unlink(missing_ok=True)

    def token(self, probe: str, analyzer: str, key: str) -> str:
        """A text that changes whenever the artifact does; "" if there is none."""
        return stat_token(self.path(probe, analyzer, key))

    def state(self) -> str:
        """A text that changes whenever any artifact is written, replaced or deleted."""
        return state_of(self._folder)

    def keys(self, probe: str, analyzer: str) -> list[str]:
        """The keys stored for that analyzer (several when versions or parameters changed)."""
        prefix = f"{safe_name(analyzer, 'analyzer')}-"
        found = (self._folder / safe_name(probe, "probe")).glob(f"{prefix}*{_SUFFIX}")
        keys = (path.name.removeprefix(prefix).removesuffix(_SUFFIX) for path in found)
        return sorted(key for key in keys if "-" not in key)

    def listing(self) -> list[tuple[str, str, str, int]]:
        """(probe, analyzer, key, bytes) of everything stored, whatever version made it."""
        found = []
        for path in sorted(self._folder.glob(f"*/[!.]*{_SUFFIX}")):
            analyzer, _, key = path.name.removesuffix(_SUFFIX).rpartition("-")
            if analyzer:
                found.append((path.parent.name, analyzer, key, path.stat().st_size))
        return found

    @property
    def nbytes(self) -> int:
        """Bytes on disk of all artifacts of the variant."""
        return sum(path.stat().st_size for path in self._folder.rglob(f"*{_SUFFIX}"))
