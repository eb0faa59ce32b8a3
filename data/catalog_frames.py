"""Tables of many variants from the catalog: metrics and parameters, a row per variant, in one query each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pandas as pd
from sqlalchemy import String, Text, cast, func, select
from sqlalchemy.orm import Session

from data.catalog_rows import FLOAT
from data.database.models import CheckpointRow, MetricVectorRow, VariantRow
from data.files import canonical_json

VARIANT = "variant"


def metric_frame(
    session: Session, names: Sequence[str] | None, variants: Collection[str] | None
) -> pd.DataFrame:
    """Metrics wide: a row per variant of the index, sorted; NaN where it has none.

    names   the columns, in this order (one that no variant has is all NaN); None: all, sorted
    """
    asked = select(VariantRow.name, MetricVectorRow.names, MetricVectorRow.numbers)
    asked = asked.outerjoin(MetricVectorRow, MetricVectorRow.variant == VariantRow.name)
    found = session.execute(_of(asked, variants)).all()
    alike: dict[str, list[int]] = {}  # rows with the same metrics, which is nearly all of them
    for row, (_, stored, _) in enumerate(found):
        if stored is not None:
            alike.setdefault(stored, []).append(row)
    known = {stored: orjson.loads(stored) for stored in alike}
    every = sorted({name for those in known.values() for name in those}) if names is None else names
    columns = list(dict.fromkeys(every))
    place = {name: number for number, name in enumerate(columns)}
    values = np.full((len(found), len(columns)), np.nan)
    for stored, rows in alike.items():
        numbers = np.frombuffer(b"".join(found[row][2] for row in rows), FLOAT).reshape(len(rows), -1)
        wanted = [number for number, name in enumerate(known[stored]) if name in place]
        into = [place[known[stored][number]] for number in wanted]
        values[np.ix_(rows, into)] = numbers[:, wanted]
    index = pd.Index([name for name, *_ in found], name=VARIANT)
    return pd.DataFrame(values, index=index, columns=columns)


def parameter_frame(session: Session, variants: Collection[str] | None) -> pd.DataFrame:
    """What each variant is: a row per variant of the index, sorted.

    Columns: every parameter and config value that any variant has (lists and schedules as JSON text), then
    family; parent (name); kind (root, fork, replicate: one that differs by a perturbation at epoch 0 only);
    forked_at (epoch); change (JSON text of what a fork does differently); checkpoints (how many are saved);
    epochs (to which it is meant to be trained, or was, where that is not known); trained_epochs;
    final_train_loss; final_test_loss. What a variant lacks is missing as pandas has it (`isna`).
    """
    saved = (
        select(CheckpointRow.variant, func.count().label("count")).group_by(CheckpointRow.variant).subquery()
    )
    asked = select(
        VariantRow.name,
        as_text(VariantRow.params),
        as_text(VariantRow.config),
        VariantRow.family,
        VariantRow.parent,
        VariantRow.forked_at,
        as_text(VariantRow.change),
        saved.c.count,
        VariantRow.planned_epochs,
        VariantRow.trained_epochs,
        VariantRow.final_train_loss,
        VariantRow.final_test_loss,
    ).outerjoin(saved, saved.c.variant == VariantRow.name)
    rows = []
    names = []
    for name, params, config, family, parent, at, change, count, planned, trained, *losses in session.execute(
        _of(asked, variants)
    ):
        names.append(name)
        changed = decoded(change) or {}
        rows.append(
            {
                **{key: plain_value(value) for key, value in {**decoded(config), **decoded(params)}.items()},
                "family": family,
                "parent": parent,
                "kind": _kind(parent, at, changed),
                "forked_at": at,
                "change": None if parent is None else canonical_json(changed),
                "checkpoints": count or 0,
                "epochs": trained if planned is None else planned,
                "trained_epochs": trained,
                "final_train_loss": losses[0],
                "final_test_loss": losses[1],
            }
        )
    settings = dict.fromkeys(key for row in rows for key in row if key not in _FIXED)
    columns = {key: [row.get(key) for row in rows] for key in (*settings, *_FIXED)}
    return pd.DataFrame(columns, index=pd.Index(names, name=VARIANT))


_FIXED = (
    "family",
    "parent",
    "kind",
    "forked_at",
    "change",
    "checkpoints",
    "epochs",
    "trained_epochs",
    "final_train_loss",
    "final_test_loss",
)


def plain_value(value: Any) -> Any:
    """A parameter or config value that can be a key: lists and schedules become JSON text."""
    return value if isinstance(value, (int, float, str, bool, type(None))) else canonical_json(value)


def as_text(column: Any) -> Any:
    """A JSON column as its text: `decoded` turns it into a value, once for all rows that have the same."""
    return cast(column, Text)


@lru_cache(maxsize=4096)
def decoded(text: str | None) -> Any:
    """The value of JSON text. Shared: do not change it."""
    return None if text is None else orjson.loads(text)


def saved_epochs() -> Any:
    """Per variant: its name, and its saved epochs as text with commas, in any order."""
    epochs = func.aggregate_strings(cast(CheckpointRow.epoch, String), ",")
    return select(CheckpointRow.variant, epochs).group_by(CheckpointRow.variant)


def _kind(parent: str | None, at: int | None, change: dict[str, Any]) -> str:
    if parent is None:
        return "root"
    return "replicate" if at == 0 and set(change) == {"perturb", "perturb_seed"} else "fork"


def _of(asked: Any, variants: Collection[str] | None) -> Any:
    if variants is not None:
        asked = asked.where(VariantRow.name.in_(list(variants)))
    return asked.order_by(VariantRow.name)
