"""Processes by host, number and start time: together they name one even after the number is used again."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import psutil

_CLOCK_STEP = 2.0  # seconds by which a corrected clock may move the start time of a process


@dataclass(frozen=True)
class Owner:
    """A process on a host; `started` is in seconds since 1970."""

    host: str
    pid: int
    started: float

    @property
    def is_here(self) -> bool:
        """Whether it is (or was) a process of this host, so that `lives` can tell."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether the process still runs. Only meaningful for one of this host."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _CLOCK_STEP
            return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def owner(pid: int | None = None) -> Owner:
    """The process of that number on this host (None: this one); one that is gone has started 0."""
    number = os.getpid() if pid is None else pid
    try:
        started = float(psutil.Process(number).create_time())
    except psutil.NoSuchProcess:
        started = 0.0
    return Owner(socket.gethostname(), number, started)
