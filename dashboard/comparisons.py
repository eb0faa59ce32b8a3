"""Figures for the panels of the Compare page: opened from the catalog, encoded once, memoised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask
from flask_caching import Cache

from dashboard.figures import DENSITIES, THEMES, explained, panel_size
from data.errors import BadParameter
from renderers.comparison.cohort import Cohort, CohortScene
from renderers.comparison.colours import BY_VARIANT
from renderers.comparison.service import BoundComparison, ComparisonService
from renderers.encode import encode
from renderers.source import Density
from renderers.theme import theme as theme_named

REMEMBERED = 300


@dataclass(frozen=True)
class Question:
    """What a panel asks: one comparison of some variants, with the selection fields it depends on."""

    comparison: str
    variants: tuple[str, ...]
    selection: Mapping[str, Any]
    params: Mapping[str, str]
    align: str
    color: str
    theme: str
    density: Density
    size: tuple[int, int] | None = None

    @classmethod
    def parse(cls, asked: Mapping[str, Any]) -> Question:
        """Read a request from the browser, which may hold anything; BadParameter says what is wrong."""
        try:
            question = cls(
                comparison=str(asked["comparison"]),
                variants=tuple(str(name) for name in asked["variants"]),
                selection={
                    str(key): value for key, value in dict(asked["selection"]).items() if value is not None
                },
                params={str(name): str(value) for name, value in dict(asked["params"]).items()},
                align=str(asked.get("align") or "epoch"),
                color=str(asked.get("color") or BY_VARIANT),
                theme=str(asked["theme"]),
                density=asked["density"],
                size=panel_size(asked.get("size")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadParameter(
                f"The request of this panel cannot be read ({error!r}). Reload the page."
            ) from error
        if question.theme not in THEMES or question.density not in DENSITIES:
            raise BadParameter(
                f"Unknown theme {question.theme!r} or density {question.density!r}. Reload the page."
            )
        return question


class ComparisonFigures:
    """Encoded comparisons of one workspace. Answers are shared and must not be changed."""

    def __init__(self, service: ComparisonService, server: Flask) -> None:
        self._service = service
        self._cache = Cache(
            server,
            config={"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": REMEMBERED, "CACHE_DEFAULT_TIMEOUT": 0},
        )

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a panel shows: `state` "figure" with the figure, what each parameter offers and the value it
        has, and the variants that were left out with the reasons.

        "unfit" with a sentence where these variants or choices do not go together (other choices can still be
        made), "error" or "missing" with a message for anything else.
        """
        try:
            return self._figure(self._reduced(Question.parse(asked)))
        except Exception as error:
            return explained(error, str(asked.get("comparison")))

    def bound(self, question: Question) -> BoundComparison:
        """The comparison with everything settled. Raises WorkbenchError."""
        return self._open(question, self._cohort(question))

    def colours(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Variant -> its colour and the label of its group, as every comparison has them. Raises
        WorkbenchError."""
        names, by = [str(name) for name in asked.get("variants") or []], str(asked.get("color") or BY_VARIANT)
        if not names:
            return {"colours": {}, "groups": {}}
        cohort = self._service.cohort(names, colour_by=by)
        scene = CohortScene(
            groups=cohort.groups,
            selection=cohort.selection,
            theme=theme_named(str(asked.get("theme", "light"))),
        )
        return {"colours": scene.colours, "groups": dict(cohort.groups)}

    def _figure(self, question: Question) -> dict[str, Any]:
        cohort = self._cohort(question)
        parts = [*vars(question).values(), self._service.token(question.comparison, cohort)]
        key = json.dumps(parts, sort_keys=True)
        known: dict[str, Any] | None = self._cache.get(key)
        if known is not None:
            return known
        bound = self._open(question, cohort)
        answer = {**_drawn(bound), "offered": bound.offered, "values": dict(bound.cohort.params)}
        self._cache.set(key, answer)
        return answer

    def _reduced(self, question: Question) -> Question:
        """The question without what its comparison does not read, so that equal figures are made once."""
        comparison = self._service.catalog.get(question.comparison)
        read = {
            field: question.selection[field] for field in comparison.depends if field in question.selection
        }
        return replace(question, selection=read, align=question.align if comparison.aligned else "epoch")

    def _cohort(self, question: Question) -> Cohort:
        return self._service.cohort(question.variants, question.selection, question.align, question.color)

    def _open(self, question: Question, cohort: Cohort) -> BoundComparison:
        return self._service.open(
            question.comparison,
            cohort,
            theme=question.theme,
            density=question.density,
            size=question.size,
            **question.params,
        )


def _drawn(bound: BoundComparison) -> dict[str, Any]:
    try:
        return {"state": "figure", "figure": encode(bound.raw()), "left_out": bound.left_out()}
    except BadParameter as error:
        return {"state": "unfit", "title": "", "text": str(error), "left_out": []}
