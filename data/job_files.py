"""What a job writes while it runs, beside its row: a log and the losses. Both are found from its id alone."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import BinaryIO

from data.errors import BadParameter

FOLDER = ".jobs"
TAIL = 64 * 1024  # bytes of a log that are looked at
_ID = re.compile(r"[0-9a-f]{12}")


class JobFiles:
    """The files of one job: `<workspace>/.jobs/<id>.log` and `.losses`.

    Writing never raises: a disk that is full must not end a run that can still go on.
    """

    def __init__(self, workspace: Path, job: str) -> None:
        if not _ID.fullmatch(job):
            raise BadParameter(f"{job!r} is not the id of a job; `tdw jobs` lists them.")
        self.log = workspace / FOLDER / f"{job}.log"
        self.losses = workspace / FOLDER / f"{job}.losses"

    def begin(self) -> None:
        """For a process that goes on where another one was killed: ends the line that was cut off."""
        for path in (self.log, self.losses):
            if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
                self._append(path, "\n")

    def note(self, text: str) -> None:
        """Add a line (or several) to the log, with the time."""
        self._append(self.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def add_losses(self, epoch: int, train: float, test: float) -> None:
        """Add one point of the live loss curve."""
        self._append(self.losses, f"{epoch} {train:.9g} {test:.9g}\n")

    def output(self) -> BinaryIO:
        """The log, for what the process of the job prints."""
        self.log.parent.mkdir(exist_ok=True)
        return self.log.open("ab")

    def read_log(self) -> str:
        """The end of the log, "" if nothing was written."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - TAIL))
                return stream.read().decode(errors="replace")
        except OSError:
            return ""

    def read_losses(self) -> dict[str, list[float]]:
        """The curve as equally long lists epoch, train, test.

        Where the run went back (it was resumed, or the next variants began), the later points stand. A line
        that was cut off by a kill is left out.
        """
        points: list[tuple[int, float, float]] = []
        try:
            lines = self.losses.read_text(errors="replace").splitlines(keepends=True)
        except OSError:
            lines = []
        for line in lines:
            if not line.endswith("\n"):
                continue
            with contextlib.suppress(ValueError):
                epoch, train, test = line.split(" ")
                point = int(epoch), float(train), float(test)
                while points and points[-1][0] >= point[0]:
                    points.pop()
                points.append(point)
        return {name: [point[i] for point in points] for i, name in enumerate(("epoch", "train", "test"))}

    def delete(self) -> None:
        """Remove both files."""
        for path in (self.log, self.losses):
            path.unlink(missing_ok=True)

    def _append(self, path: Path, text: str) -> None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as stream:
                stream.write(text)
