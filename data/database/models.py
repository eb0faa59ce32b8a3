"""Tables. `INDEX` is made from the disk and may be deleted at any time; `OWN` exists nowhere else.

Times are seconds since 1970 (UTC). Nothing here is pickled: structured values are JSON.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HEAD = "0001"  # the newest migration


class Base(DeclarativeBase):
    """Base of all tables."""


# --- index -----------------------------------------------------------------------------------------------


class VariantRow(Base):
    """One variant: its record, how far it was trained, its last losses; `token` tells when it changed."""

    __tablename__ = "variants"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    family: Mapped[str] = mapped_column(String, index=True)
    identity: Mapped[str] = mapped_column(String, index=True)
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    parent: Mapped[str | None] = mapped_column(String, index=True)
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


class ScheduleRow(Base):
    """A named learning-rate or weight-decay policy."""

    __tablename__ = "schedules"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float)


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


INDEX = (VariantRow, CheckpointRow, ArtifactRow, MetricRow)
OWN = (SettingRow, JobRow, ProbeRow, ScheduleRow, BoardRow, BookmarkRow)
