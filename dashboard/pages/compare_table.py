"""The table of variants: what every run is and every number of its summary, column by column."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from zlib import crc32

import numpy as np
import orjson
import pandas as pd

from analyzers.service import AnalyzerService
from analyzers.summary.classification import LABELS
from dashboard.pages.compare_loss import loss_curve
from data import Variant, Workspace
from data.errors import BadParameter, WorkbenchError
from data.files import digest

SUMMARY = "run_summary"
KIND_OF_RUN = "classification"
FIXED = ("family", "parent", "kind", "forked_at", "change", "checkpoints", "trained_epochs")
LOSSES = ("final_train_loss", "final_test_loss")
ALWAYS = ("p", "seed", "data_seed")
MOST_ROWS = 200  # of one question for what only the rows on the screen need
LOOKED_AT = 24  # summaries that are read for definitions
FRESH = 5.0  # seconds
QUICK = 1  # gzip level


class VariantTable:
    """The table of one workspace. Threads may share it."""

    def __init__(self, workspace: Workspace, results: AnalyzerService) -> None:
        self._workspace, self._results = workspace, results
        self._lock = Lock()
        self._packed: tuple[str, bytes] = ("", b"")
        self._seen: tuple[str, float] = ("", 0.0)
        self._described: tuple[tuple[str, ...], dict[str, dict[str, Any]]] = ((), {})
        self._rows: dict[str, tuple[str, list[float | None]]] = {}

    def token(self) -> str:
        """A text that changes when a variant comes, goes, trains on or gets another result."""
        return self._look(self._workspace.variants())[0]

    def packed(self) -> bytes:
        """`answer` as gzipped JSON; made again only when the token has changed, which is looked at again
        after FRESH seconds."""
        with self._lock:
            token, at = self._seen
            if token == self._packed[0] and time.monotonic() - at < FRESH and token:
                return self._packed[1]
            variants = self._workspace.variants()
            token, tokens = self._look(variants)
            if token != self._packed[0]:
                self._packed = (token, gzip.compress(self._json(token, tokens, variants), QUICK))
            return self._packed[1]

    def answer(self) -> dict[str, Any]:
        """Everything that the table shows of all variants, sorted by name, as columns.

        token; names; tokens (per variant); columns (FIXED, LOSSES); parameters (those that differ: name ->
        values); verdicts (the classification in words); metrics (list of name, section, unit, definition,
        event, place, values). A value that there is not is None. Numbers have the precision of float32; an
        event's value is its upper end.
        """
        return dict(json.loads(gzip.decompress(self.packed())))

    def rows(self, names: Sequence[str]) -> dict[str, Any]:
        """What only the rows on the screen need: per variant its loss curve (`loss_curve`) and, for the
        metrics `events` in that order, the lower ends of their intervals. BadParameter for too many."""
        if len(names) > MOST_ROWS:
            raise BadParameter(
                f"{len(names)} rows were asked for; ask for {MOST_ROWS} at most, then for the next."
            )
        events = self._events()
        known = [name for name in dict.fromkeys(names) if name in self._workspace]
        lower: dict[str, dict[str, float | None]] = {name: {} for name in known}
        for one in self._workspace.catalog.metrics(events, known):
            lower[one.variant][one.name] = one.lower
        return {
            "events": events,
            "rows": {
                name: {
                    "loss": self._loss(self._workspace[name]),
                    "lower": [lower[name].get(event) for event in events],
                }
                for name in known
            },
        }

    # --- private -----------------------------------------------------------------------------------------

    def _look(self, variants: Sequence[Variant]) -> tuple[str, dict[str, str]]:
        """The token of all, and variant -> its own."""
        tokens = {one.name: f"{one.token()}{one.artifacts.state()}" for one in variants}
        token = digest(sorted(tokens.items()))[:16]
        self._seen = (token, time.monotonic())
        return token, tokens

    def _json(self, token: str, tokens: Mapping[str, str], variants: Sequence[Variant]) -> bytes:
        catalog = self._workspace.catalog
        catalog.refresh()
        parameters, metrics = catalog.parameters(), catalog.frame()
        described = self._definitions(tuple(map(str, metrics.columns)), metrics, variants)
        verdicts = [_label(value) for value in metrics.get(KIND_OF_RUN, pd.Series(index=metrics.index))]
        answer = {
            "token": token,
            "names": [str(name) for name in parameters.index],
            "tokens": [f"{crc32(tokens.get(name, '').encode()):08x}" for name in parameters.index],
            "columns": {name: _plain(parameters[name]) for name in (*FIXED, *LOSSES)},
            "parameters": {name: _plain(parameters[name]) for name in differing(parameters)},
            "verdicts": verdicts,
            "metrics": [
                {**described[name], "values": np.ascontiguousarray(metrics[name], dtype=np.float32)}
                for name in metrics.columns
                if name != KIND_OF_RUN
            ],
        }
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def _definitions(
        self, names: tuple[str, ...], metrics: pd.DataFrame, variants: Sequence[Variant]
    ) -> dict[str, dict[str, Any]]:
        """Name -> name, section, unit, definition, event: as the summaries themselves say."""
        if self._described[0] == names:
            return self._described[1]
        found: dict[str, dict[str, Any]] = {}
        most = metrics.notna().sum(axis=1).sort_values(ascending=False, kind="stable").index
        by_name = {variant.name: variant for variant in variants}
        for name in most[:LOOKED_AT]:
            if name in by_name:
                for one in _described(self._results, by_name[name]):
                    found.setdefault(one["name"], one)
            if all(wanted in found for wanted in names):
                break
        order = {name: place for place, name in enumerate(found)}
        unknown = {"section": "", "unit": "", "definition": "", "event": False}
        chosen = {name: found.get(name, {"name": name, **unknown}) for name in names}
        ordered = sorted(names, key=lambda name: order.get(name, len(order)))
        self._described = (names, {name: {**chosen[name], "place": ordered.index(name)} for name in names})
        return self._described[1]

    def _events(self) -> list[str]:
        self.packed()
        return [name for name, one in self._described[1].items() if one["event"]]

    def _loss(self, variant: Variant) -> list[float | None]:
        token = variant.token()
        known = self._rows.get(variant.name)
        if known is None or known[0] != token:
            try:
                known = (token, loss_curve(variant.history))
            except WorkbenchError:
                known = (token, [])
            self._rows[variant.name] = known
        return known[1]


def differing(parameters: pd.DataFrame) -> list[str]:
    """The parameters and config values in which these variants differ, those that name a run first."""
    settings = [str(name) for name in parameters.columns if name not in (*FIXED, *LOSSES, "epochs")]
    first = [name for name in ALWAYS if name in settings]
    return [
        *first,
        *(name for name in settings if name not in first and parameters[name].nunique(dropna=False) > 1),
    ]


def _described(results: AnalyzerService, variant: Variant) -> list[dict[str, Any]]:
    try:
        stored = json.loads(results.read(variant, SUMMARY).attrs["metrics"])
    except (WorkbenchError, KeyError):
        return []
    return [
        {
            "name": one["name"],
            "section": one["section"],
            "unit": one["unit"],
            "definition": one["definition"],
            "event": one["unit"] == "epoch",
        }
        for one in stored
    ]


def _label(code: float) -> str:
    return "" if np.isnan(code) or not 0 <= code < len(LABELS) else LABELS[int(code)]


def _plain(column: pd.Series) -> list[Any]:
    """JSON values; numbers that are not there are None."""
    return [
        None if isinstance(value, float) and not np.isfinite(value) else value for value in column.tolist()
    ]
