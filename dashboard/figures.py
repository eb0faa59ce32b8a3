"""Figures for panels: opened from the catalog, encoded once, memoised by everything that they depend on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask_caching import Cache

from analyzers.registry import default_registry
from data import Workspace
from data.errors import BadParameter, MissingArtifact, WorkbenchError
from renderers.encode import encode
from renderers.service import BoundView, ViewService
from renderers.source import Density

log = logging.getLogger(__name__)
REMEMBERED_FIGURES = 600
DENSITIES = ("compact", "full")
THEMES = ("light", "dark")


@dataclass(frozen=True)
class Question:
    """What a panel asks: one view of one variant, with the selection fields it depends on."""

    view: str
    variant: str
    selection: Mapping[str, int]
    params: Mapping[str, str]
    theme: str
    density: Density
    size: tuple[int, int] | None = None

    @classmethod
    def parse(cls, asked: Mapping[str, Any]) -> Question:
        """Read a request from the browser, which may hold anything; BadParameter says what is wrong."""
        try:
            question = cls(
                view=str(asked["view"]),
                variant=str(asked["variant"]),
                selection={
                    str(field): int(value)
                    for field, value in dict(asked["selection"]).items()
                    if value is not None
                },
                params={str(name): str(value) for name, value in dict(asked["params"]).items()},
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


class FigureService:
    """Encoded figures of one workspace. Answers are shared and must not be changed."""

    def __init__(self, workspace: Workspace, views: ViewService, server: Flask) -> None:
        self._workspace, self._views = workspace, views
        self._cache = Cache(
            server,
            config={
                "CACHE_TYPE": "SimpleCache",
                "CACHE_THRESHOLD": REMEMBERED_FIGURES,
                "CACHE_DEFAULT_TIMEOUT": 0,
            },
        )

    def figure(self, question: Question) -> dict[str, Any]:
        """The encoded figure. Raises WorkbenchError where the question cannot be answered."""
        variant = self._workspace[question.variant]
        view = self._views.catalog.get(question.view)
        used = {field: question.selection[field] for field in view.depends if field in question.selection}
        parts = [
            question.view,
            question.variant,
            used,
            sorted(question.params.items()),
            question.theme,
            question.density,
            question.size,
            variant.token(),
            self._views.token(view, variant),
        ]
        key = json.dumps(parts, sort_keys=True)
        known: dict[str, Any] | None = self._cache.get(key)
        if known is not None:
            return known
        drawn: dict[str, Any] = encode(self.bound(question).raw())
        self._cache.set(key, drawn)
        return drawn

    def bound(self, question: Question) -> BoundView:
        """The view with the selection fields that it depends on. Raises WorkbenchError."""
        view = self._views.catalog.get(question.view)
        used = {field: question.selection[field] for field in view.depends if field in question.selection}
        return self._views.open(
            self._workspace[question.variant],
            question.view,
            theme=question.theme,
            density=question.density,
            size=question.size,
            **used,
            **question.params,
        )

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a panel shows: `state` "figure" with the figure, or "missing" or "error" with a message.

        A message has a title, a text and an action: what the panel's button does (analyze, retry).
        """
        try:
            return {"state": "figure", "figure": self.figure(Question.parse(asked))}
        except Exception as error:
            return explained(error, str(asked.get("view")))


def explained(error: Exception, view: str) -> dict[str, Any]:
    """What a panel says in place of its figure: what happened, and what can be done about it."""
    if isinstance(error, MissingArtifact):
        return _missing(error)
    if isinstance(error, WorkbenchError):
        return _message("error", "Cannot be drawn", str(error), "retry")
    log.error("View %s failed", view, exc_info=error)
    text = f"{type(error).__name__}: {error}. The log of the server has the details."
    return _message("error", "This view failed", text, "retry")


def panel_size(asked: Any) -> tuple[int, int] | None:
    """The panel's size in pixels, kept within what a screen can have; None if it was not told."""
    if asked is None:
        return None
    width, height = (min(max(int(pixels), 80), 8000) for pixels in asked)
    return width, height


def _missing(missing: MissingArtifact) -> dict[str, Any]:
    """Which analyzer would make it, and what that costs the person: one click, or a name to type."""
    at = "" if missing.epoch is None else f" at epoch {missing.epoch:,}"
    standard = default_registry().get(missing.analyzer).standard
    command = f"tdw analyze {missing.variant}" + ("" if standard else f" --analyzer {missing.analyzer}")
    slow = "" if standard else " It is slow, so it runs only when it is asked for by name."
    text = (
        f"Drawn from {missing.analyzer}, which has not been computed for {missing.variant}{at}."
        f"{slow} In a terminal: {command}."
    )
    analyzers = [] if standard else [missing.analyzer]
    return {**_message("missing", "Not analysed yet", text, "analyze"), "analyzers": analyzers}


def _message(state: str, title: str, text: str, action: str) -> dict[str, Any]:
    return {"state": state, "title": title, "text": text, "action": action}
