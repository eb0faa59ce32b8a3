"""What to keep of a long run: which checkpoints tell its story, and which epochs of its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data import Variant
from training.engine import RECORDED
from training.trainer import History

ALWAYS = (0, 100, 300, 1000, 9400)  # the last is the epoch that the documentation opens
PLATEAU, AFTERWARDS = 4 / 25, 2 / 25  # shares of the chosen epochs


def choose_epochs(test_loss: NDArray[np.float64], saved: Sequence[int], count: int) -> list[int]:
    """``count`` of the saved epochs that tell the story of a run.

    test_loss [epochs + 1]: entry e is of the weights at epoch e. When the loss falls at least a hundredfold
    after its peak, they are: early ones, the peak, the end; of 25, four on the plateau up to the fall and two
    in the time after it (fewer of fewer); and the rest divides the middle 90 % of that fall, in its
    logarithm, into equal parts. What is left over, or everything when the loss never falls, is even in the
    logarithm of the epoch.
    """
    saved_epochs = np.array(sorted(saved))
    count = min(count, len(saved_epochs))
    last = int(saved_epochs[-1])
    level = np.log(np.maximum(test_loss[saved_epochs], 1e-12))
    peak = int(np.argmax(level))
    lowest = peak + int(np.argmin(level[peak:]))
    wanted: list[float] = [*(epoch for epoch in ALWAYS if epoch <= last), int(saved_epochs[peak]), last]
    if level[peak] - level[lowest] > np.log(100):
        start, stop = _drop(level, peak, lowest)
        first, end = float(saved_epochs[start]), float(saved_epochs[stop])
        before, after = round(PLATEAU * count), round(AFTERWARDS * count)
        depth = np.linspace(level[start], level[stop], max(2, count - len(wanted) - before - after))
        falling = np.minimum.accumulate(level[start : stop + 1])
        wanted += [float(saved_epochs[start + int(np.argmax(falling <= d + 1e-12))]) for d in depth]
        wanted += list(np.linspace(float(saved_epochs[peak]), first, before + 2)[1:-1])
        wanted += list(np.linspace(end, last, after + 2)[1:-1])
    chosen: set[int] = set()
    for epoch in wanted:
        _take_nearest(chosen, saved_epochs, epoch, count)
    for epoch in np.geomspace(max(1, saved_epochs[0]), max(1, last), 4 * count):
        _take_nearest(chosen, saved_epochs, float(epoch), count)
    return sorted(chosen)


def _drop(level: NDArray[np.float64], peak: int, lowest: int) -> tuple[int, int]:
    """Positions between which the level falls by the middle 90 % of its way from the peak to the lowest."""
    high = level[peak] - 0.05 * (level[peak] - level[lowest])
    low = level[lowest] + 0.05 * (level[peak] - level[lowest])
    stop = peak + int(np.argmax(level[peak:] <= low))
    start = peak + int(np.flatnonzero(level[peak : stop + 1] >= high)[-1])
    return start, stop


def _take_nearest(chosen: set[int], saved: NDArray[np.int64], epoch: float, count: int) -> None:
    """Add the nearest saved epoch that is not there yet, unless the choice is full."""
    free = np.array([e for e in saved if e not in chosen])
    if len(chosen) < count and len(free):
        chosen.add(int(free[np.argmin(np.abs(free - epoch))]))


def choose_few(
    test_loss: NDArray[np.float64], saved: Sequence[int], always: Sequence[int], count: int
) -> list[int]:
    """``count`` of the saved epochs: ``always``, and the others at equal steps of the logarithm of the test
    loss on its way down from the peak."""
    saved_epochs = np.array(sorted(saved))
    level = np.log(np.maximum(test_loss[saved_epochs], 1e-12))
    peak = int(np.argmax(level))
    falling = np.minimum.accumulate(level[peak:])
    chosen: set[int] = set(always)
    inner = np.linspace(falling[0], falling[-1], count - len(chosen) + 2)[1:-1]
    for depth in inner:
        _take_nearest(
            chosen, saved_epochs, float(saved_epochs[peak + int(np.argmax(falling <= depth))]), count
        )
    return sorted(chosen)


@dataclass(frozen=True)
class Thinning:
    """Every epoch up to ``whole``, then one in ``every``; rounded: losses and norms to float32."""

    whole: int
    every: int
    rounded: bool = False

    def __str__(self) -> str:
        text = f"every epoch to {self.whole}, then one in {self.every}" if self.every > 1 else "every epoch"
        return f"{text}; losses and norms rounded to float32" if self.rounded else text


def thinned(history: History, how: Thinning, also: Iterable[int] = ()) -> History:
    """Those epochs of a history, ``also`` these, and always the last."""
    epoch = history["epoch"]
    kept = (epoch <= how.whole) | (epoch % how.every == 0) | (epoch == epoch[-1])
    kept |= np.isin(epoch, list(also))
    thin = {name: values[kept] for name, values in history.items()}
    if how.rounded:
        thin |= {name: thin[name].astype(np.float32).astype(np.float64) for name in RECORDED if name in thin}
    return thin


def drop_all_but(variant: Variant, checkpoints: Iterable[int]) -> None:
    """Delete the other checkpoints and every training state of a finished variant."""
    for epoch in set(variant.epochs) - set(checkpoints):
        variant.drop_checkpoint(epoch)
    for epoch in variant.optimizer_epochs:
        variant.drop_optimizer(epoch)
    for folder in (variant.path / "checkpoints", variant.path / "optimizer"):
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
