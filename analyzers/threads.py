"""How many threads numerical libraries use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Many small operations are faster on one thread of torch: more would mostly wait for each other.

    For numpy, `OPENBLAS_NUM_THREADS=1` does the same; it counts when numpy is first imported.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
