"""A job in hand: its row is kept alive and told the progress; its log, losses and end are written down."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.database.jobs import Job, JobStore
from data.errors import WorkbenchError
from data.job_files import JobFiles

if TYPE_CHECKING:
    from training.trainer import Progress as TrainingProgress

HEARTBEAT = 5.0  # seconds between two signs of life of a job that makes no progress
TICK = 0.5  # seconds between two reports of one that does
_TRIES = 5  # to write the end of a job into a database that is busy or full
log = logging.getLogger(__name__)


class Stopped(WorkbenchError):
    """A person asked the job to stop, or another process has taken it over."""


class Attempt:
    """What the code that does the work reports to. Nothing here waits for the database.

    should_stop  whether to end soon; `check` raises `Stopped` then
    on_stop      called (in another thread) when that is first asked, for work that cannot look
    """

    def __init__(self, job: Job, files: JobFiles) -> None:
        self.job, self.files = job, files
        self.on_stop: Callable[[], None] = lambda: None
        self.outcome: dict[str, Any] = {}
        self.message = ""
        self._lock = threading.Lock()
        self._latest: tuple[float, float, str, dict[str, Any]] | None = None
        self._stopping = ""
        self._last_loss = 0.0

    def should_stop(self) -> bool:
        return bool(self._stopping)

    def check(self) -> None:
        if self._stopping:
            raise Stopped(self._stopping)

    def progress(
        self, done: float, total: float, message: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Say where the work stands."""
        with self._lock:
            self._latest = (done, total, message, _finite(facts or {}))

    def trained(self, state: TrainingProgress, before: float = 0, total: float = 0, where: str = "") -> None:
        """Progress of training, with the losses; before: units done by earlier batches, of `total`.

        Raises `Stopped` if it is to end, which training takes as the end of the run.
        """
        now = time.monotonic()
        if now - self._last_loss >= TICK or state.epoch == state.epochs:
            self._last_loss = now
            self.files.add_losses(state.epoch, state.train_loss, state.test_loss)
        facts = {
            "epoch": state.epoch,
            "train_loss": state.train_loss,
            "test_loss": state.test_loss,
            "epochs_per_second": state.epochs_per_second,
            "seconds_left": state.seconds_left,
        }
        text = f"{where}epoch {state.epoch:,} of {state.epochs:,}"
        self.progress(before + state.epoch, total or state.epochs, text, facts)
        self.check()

    def note(self, text: str) -> None:
        """A line for the log."""
        self.files.note(text)

    def end(self, message: str, **outcome: Any) -> None:
        """Say what came of it: a sentence, and facts that are kept with the job."""
        self.message, self.outcome = message, _finite(outcome)

    # --- for `attempting` --------------------------------------------------------------------------------

    def take_latest(self) -> tuple[float, float, str, dict[str, Any]] | None:
        with self._lock:
            latest, self._latest = self._latest, None
        return latest

    def stop(self, reason: str) -> None:
        if not self._stopping:
            self._stopping = reason
            self.on_stop()


@contextmanager
def attempting(store: JobStore, job: Job, workspace: Path) -> Iterator[Attempt]:
    """The claimed job in hand; its row ends with the block, whatever happens in it.

    Exceptions go on to the caller: `Stopped` and KeyboardInterrupt after the row is "cancelled", any other
    after it is "failed" with the cause.
    """
    files = JobFiles(workspace, job.id)
    files.begin()
    attempt = Attempt(job, files)
    attempt.note(f"Begins: {job.title} (attempt {job.attempt}).")
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, attempt, over), daemon=True, name=f"job {job.id}")
    heart.start()
    state, message = "failed", ""
    try:
        yield attempt
        state, message = "done", attempt.message
    except (Stopped, KeyboardInterrupt) as error:
        state, message = (
            "cancelled",
            str(error) or "Interrupted from the keyboard; what was finished is kept.",
        )
        raise
    except WorkbenchError as error:
        message = str(error)
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        attempt.note(traceback.format_exc())
        raise
    finally:
        over.set()
        heart.join()
        attempt.note(f"Ends: {state}. {message}")
        _finish(store, attempt, state, message)


def _beat(store: JobStore, attempt: Attempt, over: threading.Event) -> None:
    """Tell the row about progress, at most every TICK, and that the job lives, every HEARTBEAT."""
    last = time.monotonic()
    while not over.wait(TICK):
        latest = attempt.take_latest()
        if latest is None and time.monotonic() - last < HEARTBEAT:
            continue
        last = time.monotonic()
        try:
            answer = store.beat(attempt.job, *(latest or ()))
        except WorkbenchError as error:  # busy or full: the next beat says the same
            log.warning("job %s: %s", attempt.job.id, error)
            continue
        if answer == "cancel":
            attempt.stop("Cancelled on request; what was finished is kept.")
        elif answer == "lost":
            attempt.stop("Another process has taken this job over.")


def _finish(store: JobStore, attempt: Attempt, state: str, message: str) -> None:
    latest = attempt.take_latest()
    for left in reversed(range(_TRIES)):
        try:
            if latest is not None:
                store.beat(attempt.job, *latest)
            store.finish(attempt.job, state, message, attempt.outcome)
            return
        except WorkbenchError as error:
            log.warning("job %s: %s", attempt.job.id, error)
            if left:
                time.sleep(TICK)


def _finite(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as JSON has them: None for numbers that it does not know."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }
