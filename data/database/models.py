"""Tables. `INDEX` is made from the disk and may be deleted at any time; `OWN` exists nowhere else.

Times are seconds since 1970 (UTC). Nothing here is pickled: structured values are JSON.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HEAD = "0002"  # the newest migration


class Base(DeclarativeBase):
    """Base of all tables."""


# --- index -----------------------------------------------------------------------------------------------


class VariantRow(Base):
    """One variant: its record, how far it was trained, its last losses; `token` tells when it changed.

    forked_at, change   of a fork or replicate: the epoch at which it left its parent, and what is different
    """

    __tablename__ = "variants"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    family: Mapped[str] = mapped_column(String, index=True)
    identity: Mapped[str] = mapped_column(String, index=True)
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    parent: Mapped[str | None] = mapped_column(String, index=True)
    forked_at: Mapped[int | None] = mapped_column(Integer)
    change: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    planned_epochs: Mapped[int | None] = mapped_column(Integer)
    trained_epochs: Mapped[int | None] = mapped_column(Integer)
    final_train_loss: Mapped[float | None] = mapped_column(Float)
    final_test_loss: Mapped[float | None] = mapped_column(Float)
    token: Mapped[str] = mapped_column(String)
    results: Mapped[str] = mapped_column(String)


class CheckpointRow(Base):
    """One saved epoch of a variant."""

    __tablename__ = "checkpoints"
    variant: Mapped[str] = mapped_column(ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)


class ArtifactRow(Base):
    """One stored result."""

    __tablename__ = "artifacts"
    variant: Mapped[str] = mapped_column(ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True)
    probe: Mapped[str] = mapped_column(String, primary_key=True)
    analyzer: Mapped[str] = mapped_column(String, primary_key=True)
    key: Mapped[str] = mapped_column(String, primary_key=True)
    nbytes: Mapped[int] = mapped_column(BigInteger)


class MetricRow(Base):
    """One scalar of a variant's summary; an event lies in (lower, upper]."""

    __tablename__ = "metrics"
    variant: Mapped[str] = mapped_column(ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    lower: Mapped[float | None] = mapped_column(Float)
    upper: Mapped[float | None] = mapped_column(Float)
    __table_args__ = (Index("ix_metrics_name_value", "name", "value"),)


class MetricVectorRow(Base):
    """All metrics of a variant at once, for tables of many variants: a row per scalar is slow to read whole.

    names    JSON list of the metrics
    numbers  their values in that order, float64, little endian; NaN where there is none
    """

    __tablename__ = "metric_vectors"
    variant: Mapped[str] = mapped_column(ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True)
    names: Mapped[str] = mapped_column(Text)
    numbers: Mapped[bytes] = mapped_column(LargeBinary)


# --- own -------------------------------------------------------------------------------------------------


class SettingRow(Base):
    """One fact about the database itself, by name."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class JobRow(Base):
    """A durable run of something long. `work` names what is done: no two active jobs have the same."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    work: Mapped[str] = mapped_column(String, index=True)
    title: Mapped[str] = mapped_column(String)
    state: Mapped[str] = mapped_column(String, index=True)
    order: Mapped[dict[str, Any]] = mapped_column(JSON)
    variants: Mapped[list[str]] = mapped_column(JSON)
    done: Mapped[float] = mapped_column(Float, default=0.0)
    total: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    cancelling: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    host: Mapped[str | None] = mapped_column(String)
    pid: Mapped[int | None] = mapped_column(Integer)
    process_started: Mapped[float | None] = mapped_column(Float)
    heartbeat: Mapped[float | None] = mapped_column(Float)
    created: Mapped[float] = mapped_column(Float)
    started: Mapped[float | None] = mapped_column(Float)
    finished: Mapped[float | None] = mapped_column(Float)
    active: Mapped[str | None] = mapped_column(String, unique=True)  # `work` while active: the one-job rule


class ProbeRow(Base):
    """Named inputs of an analysis."""

    __tablename__ = "probes"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    family: Mapped[str] = mapped_column(String)
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float)


class NamedRow(Base):
    """Something that people keep under a name."""

    __abstract__ = True
    name: Mapped[str] = mapped_column(String, primary_key=True)
    definition: Mapped[Any] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float)


class ScheduleRow(NamedRow):
    """A named learning-rate or weight-decay policy."""

    __tablename__ = "schedules"


class BoardRow(Base):
    """Saved views and prose."""

    __tablename__ = "boards"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    title: Mapped[str] = mapped_column(String)
    content: Mapped[Any] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float)
    updated: Mapped[float] = mapped_column(Float)


class BookmarkRow(Base):
    """A named selection to come back to."""

    __tablename__ = "bookmarks"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    selection: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float)


class ColumnSetRow(NamedRow):
    """The columns of a table: a list of names."""

    __tablename__ = "column_sets"


INDEX = (VariantRow, CheckpointRow, ArtifactRow, MetricRow, MetricVectorRow)
OWN = (SettingRow, JobRow, ProbeRow, ScheduleRow, BoardRow, BookmarkRow, ColumnSetRow)
