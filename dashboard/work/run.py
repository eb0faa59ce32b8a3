"""The process of a job: `python -m dashboard.work.run WORKSPACE ID` claims the row, does it, ends it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from dashboard.work.attempt import attempting
from dashboard.work.orders import parse
from dashboard.work.perform import perform
from data import Workspace
from data.database.jobs import Job, JobStore


def run_job(workspace: Path, ident: str) -> Job | None:
    """Do a queued job and return it as it ended; None if it was not waiting (any more).

    Whatever goes wrong is in its row, with the traceback in its log; nothing is raised for it.
    """
    opened = Workspace(workspace)
    store = JobStore(opened.database)
    job = store.claim(ident)
    try:
        if job is None:
            return None
        with suppress(Exception), attempting(store, job, opened.path) as attempt:
            perform(parse(job.order), opened, attempt)
        return store.get(ident)
    finally:
        opened.database.close()


def main() -> int:
    ended = run_job(Path(sys.argv[1]), sys.argv[2])
    return 0 if ended is None or ended.state == "done" else 1


if __name__ == "__main__":
    raise SystemExit(main())
