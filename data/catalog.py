"""The catalog: an SQLite index of the workspace that answers questions without walking the folders.

It holds nothing that is not on disk: `refresh` brings it up to date (only what changed is read again),
and deleting `catalog.sqlite` loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from sqlalchemy import (
    JSON,
    Engine,
    Float,
    ForeignKey,
    Integer,
    String,
    create_engine,
    delete,
    event,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from data.errors import CorruptFile

if TYPE_CHECKING:
    from data.variant import Variant
    from data.workspace import Workspace

SCHEMA = 1


class _Base(DeclarativeBase):
    pass


class CheckpointRow(_Base):
    """One saved epoch of a variant."""

    __tablename__ = "checkpoints"
    variant: Mapped[str] = mapped_column(ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)


class VariantRow(_Base):
    """One variant: its record, how far it was trained, and its last losses."""

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
    checkpoints: Mapped[list[CheckpointRow]] = relationship(
        cascade="all, delete-orphan", order_by=CheckpointRow.epoch, lazy="selectin"
    )


@dataclass(frozen=True)
class Entry:
    """What the catalog knows of one variant."""

    name: str
    family: str
    identity: str
    params: dict[str, Any]
    config: dict[str, Any]
    parent: str | None
    epochs: tuple[int, ...]
    trained_epochs: int | None
    final_train_loss: float | None
    final_test_loss: float | None


class Catalog:
    """The index of one workspace. `Catalog(workspace).refresh()` returns its entries, up to date."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.path = workspace.path / "catalog.sqlite"

    def refresh(self) -> list[Entry]:
        """Bring the index in line with the disk and return every entry, sorted by name."""
        try:
            return self._refresh()
        except DatabaseError:
            self._discard()  # an index that cannot be read is made again from the disk
            return self._refresh()

    def _refresh(self) -> list[Entry]:
        variants = self._workspace.variants()
        engine = self._engine()
        try:
            with Session(engine) as session, session.begin():
                known = {row.name: row for row in session.scalars(select(VariantRow))}
                for gone in known.keys() - {variant.name for variant in variants}:
                    session.delete(known[gone])
                for variant in variants:
                    token = variant.token()
                    row = known.get(variant.name)
                    if row is None or row.token != token:
                        if row is not None:
                            session.execute(
                                delete(CheckpointRow).where(CheckpointRow.variant == variant.name)
                            )
                            session.expire(row)
                        session.merge(_row(variant, token))
            with Session(engine) as session:
                return [_entry(row) for row in session.scalars(select(VariantRow).order_by(VariantRow.name))]
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        engine = create_engine(f"sqlite:///{self.path}")
        event.listen(engine, "connect", _configure)
        with engine.begin() as connection:
            if connection.execute(text("PRAGMA user_version")).scalar() != SCHEMA:
                _Base.metadata.drop_all(connection)
                connection.execute(text(f"PRAGMA user_version = {SCHEMA}"))
            _Base.metadata.create_all(connection)
        return engine

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _configure(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 10000")


def _row(variant: Variant, token: str) -> VariantRow:
    try:
        history = variant.history
    except CorruptFile:  # the variant is still listed; reading its history says what is wrong
        history = xr.Dataset(coords={"epoch": np.zeros(0, "int64")})
    return VariantRow(
        name=variant.name,
        family=variant.family,
        identity=variant.identity,
        params=dict(variant.params),
        config=dict(variant.config),
        parent=None if variant.parent is None else variant.parent["name"],
        trained_epochs=int(history["epoch"][-1]) if history.sizes["epoch"] else None,
        final_train_loss=_last(history, "train_loss"),
        final_test_loss=_last(history, "test_loss"),
        token=token,
        checkpoints=[CheckpointRow(epoch=epoch) for epoch in variant.epochs],
    )


def _last(history: Any, name: str) -> float | None:
    if name not in history:
        return None
    finite = history[name].values[np.isfinite(history[name].values)]
    return float(finite[-1]) if finite.size else None


def _entry(row: VariantRow) -> Entry:
    return Entry(
        name=row.name,
        family=row.family,
        identity=row.identity,
        params=row.params,
        config=row.config,
        parent=row.parent,
        epochs=tuple(checkpoint.epoch for checkpoint in row.checkpoints),
        trained_epochs=row.trained_epochs,
        final_train_loss=row.final_train_loss,
        final_test_loss=row.final_test_loss,
    )
