"""The catalog: an index of the workspace that answers questions without walking the folders.

It holds nothing that is not on disk: `refresh` brings it up to date (only what changed is read again), and
deleting it loses nothing. What exists nowhere else lies in other tables of the same database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from data.catalog_frames import (
    as_text,
    decoded,
    metric_frame,
    parameter_frame,
    plain_value,
    saved_epochs,
)
from data.catalog_rows import SUMMARY, rows_of, tokens_of
from data.database import Database
from data.database.engine import DamagedDatabase
from data.database.models import (
    INDEX,
    CheckpointRow,
    MetricRow,
    VariantRow,
)
from data.errors import BadParameter

if TYPE_CHECKING:
    from data.workspace import Workspace

__all__ = ["SUMMARY", "Catalog", "Entry", "Metric"]

_AT_ONCE = 500


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


@dataclass(frozen=True)
class Metric:
    """One scalar of one variant; an event lies in (lower, upper], and `value` is its upper end."""

    variant: str
    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None


class Catalog:
    """The index of one workspace. Questions are answered from it as it is: `refresh` first to be current."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self._workspace, self.database = workspace, database

    # --- keeping it current ------------------------------------------------------------------------------

    def refresh(self) -> list[Entry]:
        """Bring the index in line with the disk and return every entry, sorted by name."""
        return self._salvaging(whole=False)

    def rebuild(self) -> list[Entry]:
        """Make the whole index again from the disk, in one step for who reads it meanwhile."""
        return self._salvaging(whole=True)

    def is_empty(self) -> bool:
        """Whether the index knows of no variant."""
        with self.database.reading() as session:
            return session.scalar(select(VariantRow.name).limit(1)) is None

    def drift(self) -> list[str]:
        """One sentence for every variant of which the index says something else than the disk."""
        return list(self.differing().values())

    def differing(self) -> dict[str, str]:
        """The same by the variant's name. Records are read of those only that seem to differ."""
        known = self._known_tokens()
        found = {}
        for folder in self._workspace.folders():
            there, tokens = known.pop(folder.name, None), tokens_of(folder)
            if there == tokens or not self._workspace.is_readable(folder):
                continue
            if there is None:
                found[folder.name] = f"{folder.name} is on disk but not in the catalog."
            elif there[0] != tokens[0]:
                found[folder.name] = f"{folder.name} has changed on disk since the catalog saw it."
            else:
                found[folder.name] = f"{folder.name} has other results on disk than the catalog says."
        return found | {name: f"{name} is in the catalog but not on disk." for name in sorted(known)}

    # --- questions ---------------------------------------------------------------------------------------

    def entries(self, family: str | None = None) -> list[Entry]:
        """Every variant in the index, sorted by name."""
        with self.database.reading() as session:
            return _entries(session, *(() if family is None else (VariantRow.family == family,)))

    def forks_of(self, name: str, deep: bool = False) -> list[Entry]:
        """The variants that were forked from `name`, with `deep` also the forks of those, and so on."""
        chosen: set[str] = set()
        with self.database.reading() as session:
            parents = {name}
            while parents:
                rows = session.scalars(select(VariantRow.name).where(VariantRow.parent.in_(parents)))
                parents = set(rows) - chosen
                chosen |= parents
                if not deep:
                    break
            return _entries(session, VariantRow.name.in_(chosen))

    def metric_names(self) -> list[str]:
        """The metrics that any variant has."""
        with self.database.reading() as session:
            return list(session.scalars(select(MetricRow.name).distinct().order_by(MetricRow.name)))

    def metrics(
        self, names: Iterable[str] | None = None, variants: Iterable[str] | None = None
    ) -> list[Metric]:
        """The chosen metrics of the chosen variants (None: all), sorted by variant, then name."""
        asked = select(MetricRow.variant, MetricRow.name, MetricRow.value, MetricRow.lower, MetricRow.upper)
        if names is not None:
            asked = asked.where(MetricRow.name.in_(list(names)))
        if variants is not None:
            asked = asked.where(MetricRow.variant.in_(list(variants)))
        with self.database.reading() as session:
            rows = session.execute(asked.order_by(MetricRow.variant, MetricRow.name))
            return [Metric(*row) for row in rows]

    def where(self, metric: str, at_least: float | None = None, at_most: float | None = None) -> list[Metric]:
        """The variants whose metric has a value within the bounds (both included), the smallest first.

        "Which grokked by epoch 10,000" is where("turn, completion", at_most=10_000). Raises BadParameter for
        a metric that no variant has.
        """
        self._known(metric)
        asked = select(MetricRow.variant, MetricRow.name, MetricRow.value, MetricRow.lower, MetricRow.upper)
        asked = asked.where(MetricRow.name == metric, MetricRow.value.is_not(None))
        if at_least is not None:
            asked = asked.where(MetricRow.value >= at_least)
        if at_most is not None:
            asked = asked.where(MetricRow.value <= at_most)
        with self.database.reading() as session:
            return [
                Metric(*row) for row in session.execute(asked.order_by(MetricRow.value, MetricRow.variant))
            ]

    def by_parameter(self, metric: str, parameter: str) -> dict[Any, list[Metric]]:
        """The metric's values grouped by a parameter or config value, e.g. ("turn, completion", "p").

        Variants without the metric are there with value None (never grokked is an answer); those that lack
        the parameter are left out. A value that is a list or a schedule is its JSON text. Raises BadParameter
        for a metric or parameter that no variant has.
        """
        self._known(metric)
        asked = select(
            VariantRow.name,
            as_text(VariantRow.params),
            as_text(VariantRow.config),
            MetricRow.value,
            MetricRow.lower,
            MetricRow.upper,
        ).outerjoin(MetricRow, (MetricRow.variant == VariantRow.name) & (MetricRow.name == metric))
        with self.database.reading() as session:
            rows = session.execute(asked.order_by(VariantRow.name)).all()
        groups: dict[Any, list[Metric]] = {}
        for name, params, config, value, lower, upper in rows:
            holder = next((one for one in (decoded(params), decoded(config)) if parameter in one), None)
            if holder is not None:
                group = groups.setdefault(plain_value(holder[parameter]), [])
                group.append(Metric(name, metric, value, lower, upper))
        if not groups:
            known = {key for _, params, config, *_ in rows for key in {**decoded(config), **decoded(params)}}
            raise BadParameter(
                f"No variant has a parameter {parameter!r}; there are: {', '.join(sorted(known))}."
            )
        return groups

    # --- tables ------------------------------------------------------------------------------------------

    def frame(
        self, names: Iterable[str] | None = None, variants: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Metrics wide: index "variant", a column per metric (None: all, sorted), NaN where one is missing.

        A row for every variant of the index (or those of `variants` that are in it), sorted by name. The
        bounds of events are in `metrics`.
        """
        with self.database.reading() as session:
            return metric_frame(session, _listed(names), _listed(variants))

    def parameters(self, variants: Iterable[str] | None = None) -> pd.DataFrame:
        """What each variant is: index "variant"; the columns are those of `parameter_frame`."""
        with self.database.reading() as session:
            return parameter_frame(session, _listed(variants))

    # --- private -----------------------------------------------------------------------------------------

    def _known(self, metric: str) -> None:
        with self.database.reading() as session:
            if session.scalar(select(MetricRow.name).where(MetricRow.name == metric).limit(1)) is not None:
                return
        names = ", ".join(self.metric_names()) or "none yet (`tdw analyze` makes them)"
        raise BadParameter(f"No variant has a metric {metric!r}; there are: {names}.")

    def _known_tokens(self) -> dict[str, tuple[str, str]]:
        asked = select(VariantRow.name, VariantRow.token, VariantRow.results)
        with self.database.reading() as session:
            return {name: (token, results) for name, token, results in session.execute(asked)}

    def _salvaging(self, whole: bool) -> list[Entry]:
        try:
            return self._refresh(whole)
        except DamagedDatabase:
            self.database.salvage()
            return self._refresh(whole)

    def _refresh(self, whole: bool) -> list[Entry]:
        known = self._known_tokens()
        variants = {variant.name: variant for variant in self._workspace.variants()}
        tokens = {name: tokens_of(variant.path) for name, variant in variants.items()}
        gone = sorted(known.keys() - variants.keys())
        changed = [name for name in variants if whole or known.get(name) != tokens[name]]
        described = [rows_of(variants[name], *tokens[name]) for name in changed]
        if gone or changed or whole:
            with self.database.writing() as session:
                self.database.alone(
                    session, VariantRow
                )  # who refreshes at the same time writes the same rows
                _forget(session, None if whole else gone + changed)
                for table in INDEX:
                    rows = [row for one in described for row in one[table.__tablename__]]
                    if rows:
                        session.execute(insert(table), rows)
        return self.entries()


def _listed(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _forget(session: Session, names: list[str] | None) -> None:
    """Delete the rows about these variants (None: all)."""
    for table in reversed(INDEX):
        if names is None:
            session.execute(delete(table))
            continue
        key = table.__table__.c["name" if table is VariantRow else "variant"]
        for start in range(0, len(names), _AT_ONCE):
            session.execute(delete(table).where(key.in_(names[start : start + _AT_ONCE])))


def _entries(session: Session, *conditions: Any) -> list[Entry]:
    asked = select(
        VariantRow.name,
        VariantRow.family,
        VariantRow.identity,
        as_text(VariantRow.params),
        as_text(VariantRow.config),
        VariantRow.parent,
        VariantRow.trained_epochs,
        VariantRow.final_train_loss,
        VariantRow.final_test_loss,
    )
    rows = session.execute(asked.where(*conditions).order_by(VariantRow.name)).all()
    saved = saved_epochs()
    if len(rows) <= _AT_ONCE:
        saved = saved.where(CheckpointRow.variant.in_([row[0] for row in rows]))
    epochs = {name: tuple(sorted(map(int, text.split(",")))) for name, text in session.execute(saved)}
    return [
        Entry(
            name=name,
            family=family,
            identity=identity,
            params=dict(decoded(params)),
            config=dict(decoded(config)),
            parent=parent,
            epochs=epochs.get(name, ()),
            trained_epochs=trained,
            final_train_loss=train_loss,
            final_test_loss=test_loss,
        )
        for name, family, identity, params, config, parent, trained, train_loss, test_loss in rows
    ]
