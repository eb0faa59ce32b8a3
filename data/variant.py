"""A variant on disk: its record, checkpoints, optimizer states, history and artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from data.artifacts import ArtifactStore, DatasetCache
from data.datasets import write_dataset
from data.errors import BadParameter, CorruptFile, UnknownEpoch
from data.files import canonical_json, digest, read_json, replacing, safe_name, stat_token, write_json
from data.services import service

if TYPE_CHECKING:
    from torch import Tensor

    from data.workspace import Workspace

FORMAT = 1
HISTORY, ARTIFACTS = "history.zarr.zip", "artifacts"
DEFAULT_PROBE = "grid"
DIGEST = "numbers_sha256"  # in the metadata of a file of tensors: of everything after its header
_FIELDS = ("family", "name", "params", "config", "parent", "provenance")


@dataclass(frozen=True)
class VariantRecord:
    """What a variant is: everything that `variant.json` holds.

    `params` and `config` decide the training dynamics, `parent` (for a fork: name, epoch, change) where it
    started; together with the family they are the identity. `provenance` says how it was made (device,
    dtype, versions) and is not part of the identity.
    """

    family: str
    name: str
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    parent: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """sha256 (hex) of the canonical JSON of family, params, config and parent."""
        parent = None if self.parent is None else dict(self.parent)
        return digest([self.family, dict(self.params), dict(self.config), parent])

    def to_json(self) -> dict[str, Any]:
        """The content of `variant.json`."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
        return {"format": FORMAT, "identity": self.identity, **plain}

    @classmethod
    def read(cls, path: Path) -> VariantRecord:
        """Read `variant.json`; CorruptFile if it is damaged, of another format, or edited by hand."""
        content = read_json(path)
        try:
            record = cls(**{name: content[name] for name in _FIELDS})
            intact = content["format"] == FORMAT and content["identity"] == record.identity
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{path} lacks {error}. Restore it or delete its folder.") from error
        if not intact:
            raise CorruptFile(
                f"{path} does not match its own identity or format {FORMAT}: it was edited or written by"
                " another version. Restore it, or train the variant again."
            )
        return record


class Checkpoint:
    """The weights of one variant at one epoch."""

    def __init__(self, variant: Variant, epoch: int, path: Path) -> None:
        self.variant, self.epoch, self.path = variant, epoch, path

    def __repr__(self) -> str:
        return f"<Checkpoint {self.variant.name} at {self.epoch}>"

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) of the file."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise self._corrupt(error) from error

    @property
    def weights(self) -> dict[str, Tensor]:
        """All weights as float32 tensors by the field's names (`embed.W_E`, ...), read anew at each call."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(self.path.read_bytes())
        except (OSError, SafetensorError, ValueError) as error:
            raise self._corrupt(error) from error
        return {name: tensors[name].float() for name in sorted(tensors)}

    def view(self, name: str, **selection: Any) -> Any:
        """A view of this checkpoint, e.g. `.view("neuron_map", neuron=37)`; see `Workspace.views`."""
        return service("views").open(self.variant, name, epoch=self.epoch, **selection)

    def _corrupt(self, error: Exception) -> CorruptFile:
        return CorruptFile(
            f"The checkpoint {self.path} is damaged or truncated ({error}). The other epochs are not"
            " affected: delete this file, or train the variant again to restore it."
        )


class Variant:
    """One trained model of a family, as a folder of the workspace."""

    def __init__(self, workspace: Workspace, path: Path, record: VariantRecord, cache: DatasetCache) -> None:
        self.workspace, self.path, self.record = workspace, path, record
        self._cache = cache
        self.artifacts = ArtifactStore(path / ARTIFACTS, cache)

    def __repr__(self) -> str:
        return f"<Variant {self.name} ({self.family}), {len(self.epochs)} checkpoints>"

    @property
    def family(self) -> str:
        return self.record.family

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def params(self) -> Mapping[str, Any]:
        return self.record.params

    @property
    def config(self) -> Mapping[str, Any]:
        return self.record.config

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.record.provenance

    @property
    def identity(self) -> str:
        return self.record.identity

    @property
    def parent(self) -> Mapping[str, Any] | None:
        """For a fork: the parent's name, the epoch and the change; None for a root variant."""
        return self.record.parent

    @property
    def forks(self) -> list[Variant]:
        """The variants that were forked from this one."""
        return [
            other
            for other in self.workspace.variants(self.family)
            if other.parent is not None and other.parent.get("name") == self.name
        ]

    # --- checkpoints -------------------------------------------------------------------------------------

    @property
    def epochs(self) -> list[int]:
        """The epochs of the saved checkpoints, ascending."""
        return _epochs(self.path / "checkpoints")

    def at(self, epoch: int) -> Checkpoint:
        """The checkpoint at `epoch`; UnknownEpoch names the nearest saved ones."""
        epoch = int(epoch)
        path = _epoch_path(self.path / "checkpoints", epoch)
        if not path.exists():
            nearest, saved = self.nearest_epoch(epoch), self.epochs
            raise UnknownEpoch(
                f"Epoch {epoch} of {self.name} was not saved; the nearest saved epoch is {nearest}"
                f" ({len(saved)} checkpoints from {saved[0]} to {saved[-1]})."
            )
        return Checkpoint(self, epoch, path)

    def nearest_epoch(self, epoch: int) -> int:
        """The saved epoch nearest to `epoch` (the earlier of two equally near ones)."""
        saved = self.epochs
        if not saved:
            why = (
                f"any more: its {len(self.removed)} were removed, their results kept"
                if self.removed
                else "yet"
            )
            raise UnknownEpoch(f"{self.name} has no checkpoints {why}.")
        return min(saved, key=lambda candidate: (abs(candidate - epoch), candidate))

    def save_checkpoint(
        self, epoch: int, weights: Mapping[str, Tensor], dtype: str = "float32"
    ) -> Checkpoint:
        """Store the weights at `epoch` as float32 or float16, atomically."""
        if dtype not in ("float32", "float16"):
            raise BadParameter(f"checkpoint dtype {dtype!r} is not one of float32, float16.")
        metadata = {
            "format": str(FORMAT),
            "epoch": str(int(epoch)),
            "identity": self.identity,
            "dtype": dtype,
        }
        path = _epoch_path(self.path / "checkpoints", epoch)
        _write_tensors(path, weights, metadata, dtype)
        return Checkpoint(self, int(epoch), path)

    def drop_checkpoint(self, epoch: int) -> None:
        """Delete the checkpoint at `epoch` if it is there."""
        _epoch_path(self.path / "checkpoints", epoch).unlink(missing_ok=True)

    @property
    def removed(self) -> dict[int, str]:
        """sha256 (hex) by epoch of the checkpoints that were removed on purpose after they had been measured
        (see `analyzers.reduction`), as the record has it; {} for other variants."""
        noted: Mapping[str, str] = self.provenance.get("kept", {}).get("removed_checkpoints", {})
        return dict(sorted((int(epoch), known) for epoch, known in noted.items()))

    # --- optimizer states --------------------------------------------------------------------------------

    @property
    def optimizer_epochs(self) -> list[int]:
        """The epochs whose full training state was saved, ascending."""
        return _epochs(self.path / "optimizer")

    def save_optimizer(
        self, epoch: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store everything that resuming at `epoch` needs, atomically and in full precision."""
        path = _epoch_path(self.path / "optimizer", epoch)
        _write_tensors(path, tensors, {"epoch": str(int(epoch)), **(metadata or {})}, None)

    def load_optimizer(self, epoch: int) -> dict[str, Tensor]:
        """The tensors of `save_optimizer`."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = _epoch_path(self.path / "optimizer", epoch)
        try:
            return load(path.read_bytes())
        except FileNotFoundError:
            raise UnknownEpoch(
                f"{self.name} has no optimizer state at epoch {epoch}; there are {self.optimizer_epochs}."
            ) from None
        except (OSError, SafetensorError, ValueError) as error:
            raise CorruptFile(
                f"The optimizer state {path} is damaged ({error}). Delete it to resume earlier."
            ) from error

    def drop_optimizer(self, epoch: int) -> None:
        """Delete the optimizer state at `epoch` if it is there."""
        _epoch_path(self.path / "optimizer", epoch).unlink(missing_ok=True)

    # --- history -----------------------------------------------------------------------------------------

    @property
    def history_path(self) -> Path:
        return self.path / HISTORY

    @property
    def history(self) -> xr.Dataset:
        """Losses and the like over `epoch` (empty before the first save). Shared: do not change it."""
        try:
            stored = self._cache.read(self.history_path)
        except CorruptFile as error:
            raise CorruptFile(
                f"The history of {self.name} is damaged: {error.__cause__}. Its checkpoints are not affected:"
                f" restore {self.history_path}, or train the variant again."
            ) from error
        return xr.Dataset(coords={"epoch": np.zeros(0, "int64")}) if stored is None else stored

    def save_history(self, history: Mapping[str, Any]) -> None:
        """Replace the history by these equally long 1-D arrays, `epoch` among them, atomically."""
        columns = {name: np.asarray(values) for name, values in history.items()}
        epochs = columns.pop("epoch").astype("int64")
        variables = {name: ("epoch", values.astype("float64")) for name, values in columns.items()}
        write_dataset(self.history_path, xr.Dataset(variables, coords={"epoch": epochs}))

    # --- results -----------------------------------------------------------------------------------------

    def artifact(self, analyzer: str, probe: str = DEFAULT_PROBE, **params: Any) -> xr.Dataset:
        """What that analyzer found, over epoch; MissingArtifact if it has not run."""
        result: xr.Dataset = service("analyzers").read(self, analyzer, probe=probe, **params)
        return result

    @property
    def summary(self) -> dict[str, Any]:
        """Scalar findings: final losses, the turn, learned frequencies."""
        result: dict[str, Any] = service("analyzers").summary(self)
        return result

    def view(self, name: str, **selection: Any) -> Any:
        """A view of the whole run, e.g. `.view("loss_curves")`; the epoch defaults to the last checkpoint."""
        return service("views").open(self, name, **selection)

    def token(self) -> str:
        """A text that changes when the record, the history or the set of checkpoints does."""
        return token_of(self.path)

    def write_record(self) -> None:
        """(Re)write `variant.json`."""
        write_json(self.path / "variant.json", self.record.to_json())

    def clear_leftovers(self) -> None:
        """Delete the temporary files that a killed training left behind. Only for who trains the variant."""
        for folder in (self.path, self.path / "checkpoints", self.path / "optimizer"):
            for path in folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)


def token_of(folder: Path) -> str:
    """`Variant.token` of the variant in that folder, without reading its record."""
    parts = (folder / "variant.json", folder / HISTORY, folder / "checkpoints")
    return digest([stat_token(part) for part in parts])[:16]


def validated(record: VariantRecord) -> VariantRecord:
    """Return `record` if its names may become paths and it can be written as JSON."""
    safe_name(record.family, "family")
    safe_name(record.name, "variant name")
    try:
        json.dumps(record.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadParameter(f"The record of {record.name} cannot be stored: {error}.") from error
    return record


def _epoch_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{int(epoch):08d}.safetensors"


def _epochs(folder: Path) -> list[int]:
    def found() -> Iterator[int]:
        for path in folder.glob("epoch_*.safetensors"):
            digits = path.stem.removeprefix("epoch_")
            if digits.isdecimal():
                yield int(digits)

    return sorted(found())


def _write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: str | None
) -> None:
    import torch
    from safetensors.torch import save

    kind = None if dtype is None else getattr(torch, dtype)
    plain = {name: tensor.detach().to("cpu", kind).contiguous() for name, tensor in tensors.items()}
    bare = save(plain)
    numbers = hashlib.sha256(memoryview(bare)[8 + int.from_bytes(bare[:8], "little") :]).hexdigest()
    with replacing(path) as temporary:
        # One entry: safetensors writes several in a random order, and equal content must give equal files.
        described = {"training_dynamics_workbench": canonical_json({**metadata, DIGEST: numbers})}
        temporary.write_bytes(save(plain, metadata=described))
