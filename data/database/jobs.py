"""Jobs as durable state: rows that any process may read, claim, beat and end, on one host or several.

A row is `queued`, then `running` (claimed by one process, which gives a sign of life every few seconds), then
`done`, `failed`, `cancelled` or `interrupted`; a row that ended otherwise than `done` can be queued again. Of
equal `work` at most one row is active: starting it twice joins the first. Nothing here starts anything.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from data.database.engine import Database
from data.database.models import JobRow
from data.errors import BadParameter
from data.processes import Owner, owner

ACTIVE = ("queued", "running")
RESUMABLE = ("failed", "cancelled", "interrupted")
SILENT_ELSEWHERE = 30.0  # seconds without a sign of life after which a process of another host counts as dead
SILENT_HERE = 300.0  # the same where it can be seen that the process lives, and while a job waits to begin
DIED = "The process that ran it ended without a word; what was finished is kept."

Answer = Literal["go on", "cancel", "lost"]


@dataclass(frozen=True)
class Job:
    """One row, as it was when read. Times are seconds since 1970; done and total are in units of the kind.

    result   while it runs, what is known so far (losses, seconds left); then what came of it
    attempt  1 for the first time it ran, more after it was resumed
    """

    id: str
    kind: str
    work: str
    title: str
    state: str
    order: Mapping[str, Any]
    variants: tuple[str, ...]
    done: float
    total: float
    message: str
    result: Mapping[str, Any]
    cancelling: bool
    attempt: int
    owner: Owner | None
    heartbeat: float | None
    created: float
    started: float | None
    finished: float | None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        plain = {**vars(self), "active": self.active, "variants": list(self.variants)}
        plain["owner"] = None if self.owner is None else vars(self.owner)
        return plain


class JobStore:
    """The jobs of one workspace. `clock` is for tests."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    # --- asking ------------------------------------------------------------------------------------------

    def get(self, ident: str) -> Job:
        """One job; BadParameter if there is none of that id."""
        self.interrupt_dead()
        with self._database.reading() as session:
            return _job(_row(session, ident))

    def active(self) -> list[Job]:
        """What waits or runs, the oldest first."""
        self.interrupt_dead()
        asked = select(JobRow).where(JobRow.state.in_(ACTIVE)).order_by(JobRow.created, JobRow.id)
        with self._database.reading() as session:
            return [_job(row) for row in session.scalars(asked)]

    def history(self, limit: int | None = 100) -> list[Job]:
        """The newest jobs (None: all), active or not, the newest first."""
        self.interrupt_dead()
        asked = select(JobRow).order_by(JobRow.created.desc(), JobRow.id).limit(limit)
        with self._database.reading() as session:
            return [_job(row) for row in session.scalars(asked)]

    def dead(self) -> list[Job]:
        """Active jobs whose process is gone."""
        asked = select(JobRow).where(JobRow.state.in_(ACTIVE)).order_by(JobRow.created, JobRow.id)
        with self._database.reading() as session:
            return [job for row in session.scalars(asked) if self._is_dead(job := _job(row))]

    # --- starting ----------------------------------------------------------------------------------------

    def create_or_join(
        self,
        kind: str,
        work: str,
        order: Mapping[str, Any],
        title: str,
        variants: Sequence[str] = (),
        alone_with: Collection[str] = (),
    ) -> tuple[Job, bool]:
        """Queue a job and answer (it, True); or (the active job of the same `work`, False).

        variants     those that it writes
        alone_with   kinds of which no other active job may write one of them: BadParameter if one does
        """
        self.interrupt_dead()
        now, me = self._clock(), owner()
        with self._database.writing() as session:
            self._database.alone(session, JobRow)
            there = _doing(session, work, alone_with)
            if there is not None:
                return _job(there), False
            _check_alone(session, variants, alone_with)
            row = JobRow(
                id=uuid.uuid4().hex[:12],
                kind=kind,
                work=work,
                title=title,
                state="queued",
                order=dict(order),
                variants=list(variants),
                done=0.0,
                total=0.0,
                message="Waiting to begin",
                result=None,
                cancelling=0,
                attempts=0,
                host=me.host,
                pid=me.pid,
                process_started=me.started,
                heartbeat=now,
                created=now,
                active=work,
            )
            session.add(row)
            session.flush()
            return _job(row), True

    def resume(self, ident: str, alone_with: Collection[str] = ()) -> tuple[Job, bool]:
        """Queue a job again that did not end well; (the active job of the same work, False) if there is one.

        Raises BadParameter for one that is done, and as `create_or_join`.
        """
        self.interrupt_dead()
        me = owner()
        with self._database.writing() as session:
            self._database.alone(session, JobRow)
            row = _row(session, ident)
            there = _doing(session, row.work, alone_with)
            if there is not None:
                return _job(there), False
            if row.state not in RESUMABLE:
                raise BadParameter(f"The job {ident} is {row.state}; there is nothing left of it to do.")
            _check_alone(session, row.variants, alone_with)
            row.state, row.active, row.cancelling = "queued", row.work, 0
            row.message, row.result, row.finished = "Waiting to begin", None, None
            row.host, row.pid, row.process_started = me.host, me.pid, me.started
            row.heartbeat = self._clock()
            return _job(row), True

    def hand_over(self, ident: str, to: Owner | None) -> None:
        """Say which process will claim a queued job; None: whichever worker takes it from a queue."""
        with self._database.writing() as session:
            row = _row(session, ident)
            if row.state == "queued":
                row.host, row.pid, row.process_started = _columns(to)

    def claim(self, ident: str, by: Owner | None = None) -> Job | None:
        """Begin a queued job: it belongs to this process (or `by`). None if it no longer waits."""
        me, now = by or owner(), self._clock()
        with self._database.writing() as session:
            row = session.get(JobRow, ident, with_for_update=True)
            if row is None or row.state != "queued":
                return None
            row.state, row.message, row.attempts = "running", "Beginning", row.attempts + 1
            row.host, row.pid, row.process_started = _columns(me)
            row.started = row.heartbeat = now
            return _job(row)

    # --- running -----------------------------------------------------------------------------------------

    def beat(
        self,
        job: Job,
        done: float | None = None,
        total: float | None = None,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Give a sign of life, with progress where there is some; says whether to go on.

        A job that was wrongly taken for dead (its machine slept) lives again, unless somebody began the same
        work meanwhile: then it is "lost", and its process must stop.
        """
        with self._database.writing() as session:
            row = session.get(JobRow, job.id, with_for_update=True)
            if row is None or row.attempts != job.attempt:
                return "lost"
            if row.state == "interrupted":
                self._database.alone(session, JobRow)
                if session.scalar(select(JobRow.id).where(JobRow.active == row.work)) is not None:
                    return "lost"
                row.state, row.active, row.finished = "running", row.work, None
            if row.state != "running":
                return "lost"
            row.heartbeat = self._clock()
            row.done = row.done if done is None else float(done)
            row.total = row.total if total is None else float(total)
            row.message = row.message if message is None else message
            row.result = row.result if result is None else dict(result)
            return "cancel" if row.cancelling else "go on"

    def finish(self, job: Job, state: str, message: str, result: Mapping[str, Any] | None = None) -> None:
        """End a claimed job; nothing happens if another attempt has taken it over."""
        with self._database.writing() as session:
            row = session.get(JobRow, job.id, with_for_update=True)
            if row is None or row.attempts != job.attempt or row.state not in ("running", "interrupted"):
                return
            row.state, row.active, row.message = state, None, message
            row.result, row.finished = None if result is None else dict(result), self._clock()
            if state == "done":
                row.done = row.total

    # --- ending from outside -----------------------------------------------------------------------------

    def cancel(self, ident: str) -> Job:
        """Ask a running job to stop; one that still waits is cancelled at once, one that ended is left."""
        self.interrupt_dead()
        with self._database.writing() as session:
            row = session.get(JobRow, ident, with_for_update=True)
            if row is None:
                raise _unknown(ident)
            if row.state == "queued":
                row.state, row.active, row.finished = "cancelled", None, self._clock()
                row.message = "Cancelled before it began."
            elif row.state == "running":
                row.cancelling = 1
            return _job(row)

    def fail_to_start(self, ident: str, message: str) -> None:
        """End a job that nobody could begin."""
        with self._database.writing() as session:
            row = session.get(JobRow, ident, with_for_update=True)
            if row is not None and row.state == "queued":
                row.state, row.active, row.finished, row.message = "failed", None, self._clock(), message

    def interrupt_dead(self) -> list[Job]:
        """Mark the active jobs whose process is gone as interrupted; returns them."""
        ended = []
        for job in self.dead():
            with self._database.writing() as session:
                row = session.get(JobRow, job.id, with_for_update=True)
                if row is None or row.attempts != job.attempt or not self._is_dead(_job(row)):
                    continue
                row.state, row.active, row.finished = "interrupted", None, self._clock()
                row.message = DIED
                ended.append(_job(row))
        return ended

    def delete(self, ident: str) -> None:
        """Forget a job that has ended; BadParameter if it is active."""
        with self._database.writing() as session:
            row = _row(session, ident)
            if row.state in ACTIVE:
                raise BadParameter(f"The job {ident} is {row.state}; cancel it first.")
            session.delete(row)

    # --- private -----------------------------------------------------------------------------------------

    def _is_dead(self, job: Job) -> bool:
        if not job.active or job.owner is None:
            return False
        silence = self._clock() - (job.heartbeat or 0.0)
        if job.owner.is_here:
            return not job.owner.lives or silence > SILENT_HERE
        return silence > (SILENT_HERE if job.state == "queued" else SILENT_ELSEWHERE)


def _doing(session: Session, work: str, alone_with: Collection[str]) -> JobRow | None:
    """The active job of that work that can be joined.

    One that is being cancelled cannot. It gives way at once if others may write the same variants beside it;
    otherwise BadParameter says to wait.
    """
    row = session.scalar(select(JobRow).where(JobRow.active == work))
    if row is None or not row.cancelling:
        return row
    if alone_with:
        raise BadParameter(f"{row.title} is being cancelled (job {row.id}). Start it again in a moment.")
    row.active = None
    session.flush()
    return None


def _check_alone(session: Session, variants: Sequence[str], kinds: Collection[str]) -> None:
    """Raise BadParameter if an active job of one of the kinds writes one of the variants."""
    if not kinds:
        return
    for row in session.scalars(select(JobRow).where(JobRow.state.in_(ACTIVE), JobRow.kind.in_(kinds))):
        shared = sorted({*variants} & {*row.variants})
        if shared:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            raise BadParameter(
                f"{shared[0]}{more} is being written by the job {row.id} ({row.title}). Wait until it has"
                f" ended, or cancel it: tdw jobs cancel {row.id}"
            )


def _columns(of: Owner | None) -> tuple[str | None, int | None, float | None]:
    return (None, None, None) if of is None else (of.host, of.pid, of.started)


def _row(session: Session, ident: str) -> JobRow:
    row = session.get(JobRow, ident)
    if row is None:
        raise _unknown(ident)
    return row


def _unknown(ident: str) -> BadParameter:
    return BadParameter(f"There is no job {ident!r}; `tdw jobs` lists them.")


def _job(row: JobRow) -> Job:
    known = row.host is not None and row.pid is not None and row.process_started is not None
    return Job(
        id=row.id,
        kind=row.kind,
        work=row.work,
        title=row.title,
        state=row.state,
        order=row.order,
        variants=tuple(row.variants),
        done=row.done,
        total=row.total,
        message=row.message,
        result=row.result or {},
        cancelling=bool(row.cancelling),
        attempt=row.attempts,
        owner=Owner(row.host or "", row.pid or 0, row.process_started or 0.0) if known else None,
        heartbeat=row.heartbeat,
        created=row.created,
        started=row.started,
        finished=row.finished,
    )
