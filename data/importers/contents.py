"""Reading a file or folder of someone else's checkpoints: tensors, losses, configuration, optimizer settings.

Only tensors and plain values are read. A `.pth` file is a pickle, which may run anything when it is loaded;
torch's `weights_only=True` reads those that need nothing but tensors and containers, and others are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter, CorruptFile

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

PICKLES = (".pth", ".pt", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
SIDE_FILES = ("config.json", "metadata.json", "losses.json", "history.json", "variant.json")
MAX_SIDE_BYTES = 64 * 2**20

_ONE = ("model", "state_dict", "model_state_dict", "weights", "model_state", "params")
_MANY = ("checkpoints", "state_dicts", "model_checkpoints")
_EPOCHS = ("checkpoint_epochs", "epochs", "steps")
_EPOCH = ("epoch", "step", "iteration")
_CONFIG = ("config", "cfg", "hparams", "hyperparameters", "args", "params", "training_config")
_OPTIMIZER = ("optimizer", "optimizer_state_dict", "optim", "opt")
_LOSSES = {split: (f"{split}_losses", f"{split}_loss", f"loss_{split}") for split in ("train", "test")}


@dataclass(frozen=True)
class Saved:
    """One state dict. epoch: None where nothing tells it; origin: the file it is from, for messages."""

    epoch: int | None
    state: State
    origin: str


@dataclass
class Contents:
    """What was found.

    saved      state dicts, in the order of their epochs
    losses     "train", "test" -> every recorded value, in order
    at         the epochs of those values where they are listed, else None
    config     plain settings by their own names; optimizer: the settings of its first parameter group
    rows       the rows (a p + b) that were trained on, if they are listed
    notes      one sentence per thing that was done
    """

    saved: list[Saved] = field(default_factory=list)
    losses: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    at: NDArray[np.int64] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    rows: NDArray[np.int64] | None = None
    notes: list[str] = field(default_factory=list)


def read_contents(path: Path) -> Contents:
    """Everything of use in a file, or in the files of a folder (each an epoch of the same run).

    Raises `BadParameter` where there is nothing that can be read, `CorruptFile` for a damaged file.
    """
    if not path.exists():
        raise BadParameter(f"There is no file or folder {path}.")
    found = Contents()
    if not path.is_dir():
        _take(found, _load(path), path)
        _side_files(found, path.parent, beside=path)
    else:
        inner = path / "checkpoints"
        folder = inner if inner.is_dir() else path
        files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
        if not files:
            kinds = ", ".join(SUFFIXES)
            raise BadParameter(f"{folder} holds no checkpoints; what can be read ends in {kinds}.")
        for file in files:
            _take(found, _load(file), file)
        for place in dict.fromkeys((folder, path)):
            _side_files(found, place)
    if not found.saved:
        raise BadParameter(
            f"{path} holds no weights: no tensor called embed.W_E, nor under any of {', '.join(_ONE)}."
        )
    _order(found, path)
    return found


def _load(path: Path) -> dict[str, Any]:
    """The content of one file as a plain mapping."""
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix not in PICKLES:
        raise BadParameter(f"{path} cannot be imported; what can be read ends in {', '.join(SUFFIXES)}.")
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)|type[: ]+<?class '?([\w.]+)", str(error))
        what = next((name for name in (named.groups() if named else ()) if name), "Python objects")
        raise BadParameter(
            f"{path} cannot be read safely: it holds {what}, and loading that could run any code. Save only"
            " tensors and plain values where it was made, e.g. torch.save({'model': model.state_dict(),"
            " 'config': dict(...)}, path), or use safetensors."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CorruptFile(
            f"{path} is damaged or no checkpoint ({error}). Copy or download it again."
        ) from error
    if not isinstance(content, Mapping):
        raise BadParameter(f"{path} holds a {type(content).__name__}, not a state dict or a dict with one.")
    return {str(name): value for name, value in content.items()}


def _load_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            described = file.metadata() or {}
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptFile(f"{path} is damaged ({error}). Copy or download it again.") from error
    return {**{name: _plain(text) for name, text in described.items()}, "model": state}


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _take(found: Contents, content: Mapping[str, Any], path: Path) -> None:
    """Add what one file holds."""
    epoch = next((int(content[name]) for name in _EPOCH if _is_number(content.get(name))), None)
    epoch = _epoch_of(path) if epoch is None else epoch
    for state, at in _states(content):
        found.saved.append(Saved(epoch if at is None else at, state, path.name))
    for split, names in _LOSSES.items():
        nested = content.get("losses")
        given = [content.get(name) for name in names] + [
            nested.get(split) if isinstance(nested, Mapping) else None
        ]
        for values in given:
            recorded = _numbers(values)
            if recorded is not None and len(recorded) > len(found.losses.get(split, ())):
                found.losses[split] = recorded
    for name in _EPOCHS:
        listed = _numbers(content.get(name))
        if listed is not None and len(listed) == len(found.losses.get("train", ())) > 1:
            found.at = listed.astype(np.int64)
    for name in _CONFIG:
        if isinstance(content.get(name), Mapping):
            found.config |= {str(key): value for key, value in content[name].items() if _is_setting(value)}
    for name in _OPTIMIZER:
        groups = content[name].get("param_groups") if isinstance(content.get(name), Mapping) else None
        if isinstance(groups, Sequence) and groups:
            found.optimizer |= {str(key): value for key, value in groups[0].items() if _is_setting(value)}
    rows = _numbers(content.get("train_indices"))
    if rows is not None and len(rows) > 1:
        found.rows = rows.astype(np.int64)


def _states(content: Mapping[str, Any]) -> Iterator[tuple[State, int | None]]:
    """(state dict, epoch or None) of every state dict in the content of a file."""
    if _is_state(content):
        yield content, None
        return
    for name in _ONE:
        if _is_state(content.get(name)):
            yield content[name], None
            break
    for name in _MANY:
        listed = content.get(name)
        if isinstance(listed, Sequence) and listed and all(_is_state(one) for one in listed):
            numbers = next(
                (
                    epochs
                    for key in _EPOCHS
                    if (epochs := _numbers(content.get(key))) is not None and len(epochs) == len(listed)
                ),
                None,
            )
            if numbers is None:
                raise BadParameter(
                    f"The file lists {len(listed)} state dicts under {name!r}, but no epochs of that number"
                    f" under any of {', '.join(_EPOCHS)}."
                )
            yield from zip(listed, numbers.astype(int).tolist(), strict=True)


def _side_files(found: Contents, folder: Path, beside: Path | None = None) -> None:
    """JSON files that describe the run; for a single file only that of its name (`run.json` of `run.pth`)."""
    names = SIDE_FILES if beside is None else (f"{beside.stem}.json",)
    for name in names:
        file = folder / name
        if not file.is_file() or file.stat().st_size > MAX_SIDE_BYTES:
            continue
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            found.notes.append(f"{name} was left out: it is no JSON ({error}).")
            continue
        if isinstance(content, Mapping):
            nested = any(isinstance(content.get(key), Mapping) for key in _CONFIG)
            _take(found, content if nested else {**content, "config": content}, file)
            found.notes.append(f"Read settings from {name}.")


def _order(found: Contents, path: Path) -> None:
    """Give every state dict its epoch, and sort them; one that is there twice is taken once."""
    known = [one for one in found.saved if one.epoch is not None]
    for one in found.saved:
        if one.epoch is not None or any(_same(one.state, other.state) for other in known):
            continue
        if len(found.saved) > len(known) + 1:
            raise BadParameter(
                f"Nothing tells the epoch of {one.origin} in {path}; put it into its name: epoch_1000.pth."
            )
        epoch, source = _last_epoch(found)
        found.notes.append(f"{one.origin} does not say its epoch; {epoch} is taken from {source}.")
        known.append(Saved(epoch, one.state, one.origin))
    by_epoch: dict[int, Saved] = {}
    for one in known:
        epoch = int(one.epoch or 0)
        if epoch < 0:
            raise BadParameter(f"{one.origin} says epoch {epoch}; an epoch is 0 or more.")
        other = by_epoch.setdefault(epoch, one)
        if other is not one and not _same(one.state, other.state):
            raise BadParameter(
                f"{one.origin} and {other.origin} both say epoch {epoch} and differ; keep one."
            )
    found.saved = [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _last_epoch(found: Contents) -> tuple[int, str]:
    """The epoch at which the run ended, and what says so."""
    for name in ("num_epochs", "n_epochs", "epochs"):
        if _is_number(found.config.get(name)):
            return int(found.config[name]), f"the configuration ({name})"
    recorded = max((len(values) for values in found.losses.values()), default=0)
    if recorded > 1:
        return recorded - 1, f"the number of recorded losses ({recorded})"
    return 0, "nothing"


def _epoch_of(path: Path) -> int | None:
    """The epoch that a file name tells: `epoch_300`, `step300`, `300`, `init` (0)."""
    named = re.search(r"(?:epoch|step|ckpt|checkpoint|iter)[a-z]*[_=-]*(\d+)", path.stem, re.IGNORECASE)
    named = named or re.fullmatch(r"(\d+)", path.stem)
    if named:
        return int(named.group(1))
    return 0 if re.search(r"(?:^|[_-])init(?:ial)?(?:[_-]|$)", path.stem, re.IGNORECASE) else None


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(hasattr(tensor, "dtype") and hasattr(tensor, "shape") for tensor in value.values())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_setting(value: Any) -> bool:
    return isinstance(value, (int, float, str, bool, list, tuple)) or value is None


def _numbers(value: Any) -> NDArray[np.float64] | None:
    """A list or tensor of numbers (or one number) as an array, None for anything else."""
    if value is None or isinstance(value, (str, Mapping)):
        return None
    try:
        values = np.asarray(
            [float(one) for one in value] if not _is_number(value) else [value], dtype=np.float64
        )
    except (TypeError, ValueError, RuntimeError):
        return None
    return values if values.ndim == 1 and len(values) else None
