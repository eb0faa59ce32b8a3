"""Worker processes that never outlive the process they work for, even when that is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_LOOK = 1.0  # seconds between two looks whether the parent is there


@contextmanager
def pool(workers: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that use `threads` of torch each; after an exception they are stopped in what they do."""
    context = multiprocessing.get_context("spawn")
    made = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(threads, os.getpid()))
    try:
        yield made
    except BaseException:
        made.shutdown(wait=False, cancel_futures=True)
        stop_children()
        raise
    made.shutdown()


def stop_children() -> None:
    """End the worker processes of this one. What they had stored stands."""
    for child in multiprocessing.active_children():
        child.terminate()


def _begin(threads: int, parent: int) -> None:
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)
