"""Which epochs are saved: a default, or a text such as ``0,100:1000:50``."""

from __future__ import annotations

from data.errors import BadParameter

DEFAULT_EVERY = 250


def default_checkpoints(epochs: int) -> list[int]:
    """Epoch 0, the powers of two, every 250, and the last."""
    powers = [2**i for i in range(epochs.bit_length())]
    return complete([*powers, *range(0, epochs, DEFAULT_EVERY)], epochs)


def parse_checkpoints(text: str, epochs: int) -> list[int]:
    """``parse_epochs`` with epoch 0 and the last one added."""
    return complete(parse_epochs(text, epochs), epochs)


def parse_epochs(text: str, epochs: int) -> list[int]:
    """Epochs of a comma-separated list of numbers and ``start:stop:step`` ranges, the stop included.

    Raises ``BadParameter`` for what cannot be read or never happens in a run of that many epochs.
    """
    wanted: list[int] = []
    for part in text.split(","):
        try:
            numbers = [int(number) for number in part.split(":")]
        except ValueError:
            raise _unreadable(part) from None
        if len(numbers) == 1:
            wanted += numbers
        elif len(numbers) == 3 and numbers[2] >= 1 and numbers[1] >= numbers[0]:
            start, stop, step = numbers
            wanted += range(start, min(stop, epochs + step) + 1, step)
        else:
            raise _unreadable(part)
    check_epochs(wanted, epochs)
    return sorted(set(wanted))


def complete(wanted: list[int], epochs: int) -> list[int]:
    """Sorted, without repetitions, with epoch 0 and the last one; ``BadParameter`` if one never happens."""
    if epochs < 1:
        raise BadParameter(f"epochs={epochs} is too few; train for at least 1")
    check_epochs(wanted, epochs)
    return sorted({0, *wanted, epochs})


def check_epochs(wanted: list[int], epochs: int) -> None:
    """``BadParameter`` if one of them never happens in a run of that many epochs."""
    outside = [epoch for epoch in wanted if not 0 <= epoch <= epochs]
    if outside:
        raise BadParameter(
            f"checkpoint {outside[0]} is outside this run of {epochs} epochs; choose epochs from 0 to "
            f"{epochs}, or train longer",
            "checkpoints",
        )


def _unreadable(part: str) -> BadParameter:
    return BadParameter(
        f"checkpoints {part.strip()!r} cannot be read; give epochs and start:stop:step ranges (with "
        "start <= stop and step >= 1) separated by commas, such as 0,100:1000:50",
        "checkpoints",
    )
