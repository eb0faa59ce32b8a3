"""The catalog: an index of the workspace that answers questions without walking the folders.

It holds nothing that is not on disk: `refresh` brings it up to date (only what changed is read again), and
deleting it loses nothing. What exists nowhere else lies in other tables of the same database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from data.database import Database
from data.database.engine import DamagedDatabase
from data.database.models import INDEX, ArtifactRow, CheckpointRow, MetricRow, VariantRow
from data.errors import BadParameter, CorruptFile
from data.files import stat_token

if TYPE_CHECKING:
    from data.variant import Variant
    from data.workspace import Workspace

SUMMARY = "run_summary"  # the analyzer whose scalars become metrics
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
        try:
            return self._refresh()
        except DamagedDatabase:
            self.database.salvage()
            return self._refresh()

    def rebuild(self) -> list[Entry]:
        """Forget the whole index and make it again from the disk."""
        with self.database.writing() as session:
            for table in reversed(INDEX):
                session.execute(delete(table))
        return self.refresh()

    def drift(self) -> list[str]:
        """One sentence for every variant of which the index says something else than the disk."""
        with self.database.reading() as session:
            known = {
                name: (token, results)
                for name, token, results in session.execute(
                    select(VariantRow.name, VariantRow.token, VariantRow.results)
                )
            }
        found = []
        for variant in self._workspace.variants():
            there = known.pop(variant.name, None)
            if there is None:
                found.append(f"{variant.name} is on disk but not in the catalog.")
            elif there[0] != variant.token():
                found.append(f"{variant.name} has changed on disk since the catalog saw it.")
            elif there[1] != _results_token(variant):
                found.append(f"{variant.name} has other results on disk than the catalog says.")
        return found + [f"{name} is in the catalog but not on disk." for name in sorted(known)]

    # --- questions ---------------------------------------------------------------------------------------

    def entries(self, family: str | None = None) -> list[Entry]:
        """Every variant in the index, sorted by name."""
        with self.database.reading() as session:
            return _entries(session, select(VariantRow).where(_of(family)))

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
            return _entries(session, select(VariantRow).where(VariantRow.name.in_(chosen)))

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
        the parameter are left out. Raises BadParameter for a metric or parameter that no variant has.
        """
        self._known(metric)
        with self.database.reading() as session:
            rows = session.execute(
                select(
                    VariantRow.name,
                    VariantRow.params,
                    VariantRow.config,
                    MetricRow.value,
                    MetricRow.lower,
                    MetricRow.upper,
                )
                .outerjoin(MetricRow, (MetricRow.variant == VariantRow.name) & (MetricRow.name == metric))
                .order_by(VariantRow.name)
            ).all()
        groups: dict[Any, list[Metric]] = {}
        for name, params, config, value, lower, upper in rows:
            both = {**config, **params}
            if parameter in both:
                key = both[parameter]
                key = key if isinstance(key, (int, float, str, bool, type(None))) else str(key)
                groups.setdefault(key, []).append(Metric(name, metric, value, lower, upper))
        if not groups:
            known = sorted({key for _, params, config, *_ in rows for key in {**config, **params}})
            raise BadParameter(f"No variant has a parameter {parameter!r}; there are: {', '.join(known)}.")
        return groups

    # --- private -----------------------------------------------------------------------------------------

    def _known(self, metric: str) -> None:
        with self.database.reading() as session:
            if session.scalar(select(MetricRow.name).where(MetricRow.name == metric).limit(1)) is not None:
                return
        names = ", ".join(self.metric_names()) or "none yet (`tdw analyze` makes them)"
        raise BadParameter(f"No variant has a metric {metric!r}; there are: {names}.")

    def _refresh(self) -> list[Entry]:
        variants = {variant.name: variant for variant in self._workspace.variants()}
        with self.database.reading() as session:
            known = {
                name: (token, results)
                for name, token, results in session.execute(
                    select(VariantRow.name, VariantRow.token, VariantRow.results)
                )
            }
        tokens = {name: (variant.token(), _results_token(variant)) for name, variant in variants.items()}
        gone = sorted(known.keys() - variants.keys())
        changed = [name for name in variants if known.get(name) != tokens[name]]
        described = [_described(variants[name], *tokens[name]) for name in changed]
        if gone or changed:
            with self.database.writing() as session:
                for start in range(0, len(gone + changed), _AT_ONCE):
                    some = (gone + changed)[start : start + _AT_ONCE]
                    for of_variant in (CheckpointRow, ArtifactRow, MetricRow):
                        session.execute(delete(of_variant).where(of_variant.variant.in_(some)))
                    session.execute(delete(VariantRow).where(VariantRow.name.in_(some)))
                for table in INDEX:
                    rows = [row for one in described for row in one[table.__tablename__]]
                    if rows:
                        session.execute(insert(table), rows)
        return self.entries()


def _of(family: str | None) -> Any:
    return True if family is None else VariantRow.family == family


def _entries(session: Session, asked: Any) -> list[Entry]:
    rows = session.scalars(asked.order_by(VariantRow.name)).all()
    epochs: dict[str, list[int]] = {}
    saved = select(CheckpointRow.variant, CheckpointRow.epoch)
    if len(rows) <= _AT_ONCE:
        saved = saved.where(CheckpointRow.variant.in_([row.name for row in rows]))
    for variant, epoch in session.execute(saved.order_by(CheckpointRow.variant, CheckpointRow.epoch)):
        epochs.setdefault(variant, []).append(epoch)
    return [
        Entry(
            name=row.name,
            family=row.family,
            identity=row.identity,
            params=row.params,
            config=row.config,
            parent=row.parent,
            epochs=tuple(epochs.get(row.name, ())),
            trained_epochs=row.trained_epochs,
            final_train_loss=row.final_train_loss,
            final_test_loss=row.final_test_loss,
        )
        for row in rows
    ]


def _results_token(variant: Variant) -> str:
    """Changes whenever an artifact is written, replaced or deleted."""
    folder = variant.path / "artifacts"
    return " ".join(stat_token(path) for path in sorted(folder.glob("*/")))


def _described(variant: Variant, token: str, results: str) -> dict[str, list[dict[str, Any]]]:
    """Every row about one variant, by table."""
    try:
        history = variant.history
    except CorruptFile:  # the variant is still listed; reading its history says what is wrong
        history = xr.Dataset(coords={"epoch": np.zeros(0, "int64")})
    own = {
        "name": variant.name,
        "family": variant.family,
        "identity": variant.identity,
        "params": dict(variant.params),
        "config": dict(variant.config),
        "parent": None if variant.parent is None else variant.parent["name"],
        "trained_epochs": int(history["epoch"][-1]) if history.sizes["epoch"] else None,
        "final_train_loss": _last(history, "train_loss"),
        "final_test_loss": _last(history, "test_loss"),
        "token": token,
        "results": results,
    }
    stored = variant.artifacts.listing()
    return {
        "variants": [own],
        "checkpoints": [{"variant": variant.name, "epoch": epoch} for epoch in variant.epochs],
        "artifacts": [
            {"variant": variant.name, "probe": probe, "analyzer": analyzer, "key": key, "nbytes": nbytes}
            for probe, analyzer, key, nbytes in stored
        ],
        "metrics": _metrics(variant, [(probe, key) for probe, name, key, _ in stored if name == SUMMARY]),
    }


def _metrics(variant: Variant, places: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The scalars of the variant's newest stored summary; none if it has none that can be read."""
    places.sort(key=lambda place: variant.artifacts.path(place[0], SUMMARY, place[1]).stat().st_mtime_ns)
    for probe, key in reversed(places):
        try:
            summary = variant.artifacts.read(probe, SUMMARY, key)
        except CorruptFile:
            continue
        if summary is None or summary.attrs.get("variant") != variant.identity:
            continue
        columns = [summary[name].values.astype(float).tolist() for name in ("value", "lower", "upper")]
        return [
            {
                "variant": variant.name,
                "name": str(name),
                **{
                    column: number if np.isfinite(number) else None
                    for column, number in zip(("value", "lower", "upper"), numbers, strict=True)
                },
            }
            for name, *numbers in zip(summary["metric"].values, *columns, strict=True)
        ]
    return []


def _last(history: xr.Dataset, name: str) -> float | None:
    if name not in history:
        return None
    finite = history[name].values[np.isfinite(history[name].values)]
    return float(finite[-1]) if finite.size else None
