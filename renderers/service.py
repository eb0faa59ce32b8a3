"""Views for people who write code: open one, look at it, take its numbers, export it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from data.errors import BadParameter, MissingArtifact
from renderers.catalog import GROUPS, Catalog, Figure, View, catalog
from renderers.export import export
from renderers.fitting import fit
from renderers.selection import FIELDS, Selection
from renderers.source import Density, Reader, Scene, Source, events_of
from renderers.theme import theme as theme_named

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class BoundView:
    """A view of one variant with its selection and parameters settled."""

    view: View
    source: Source
    theme: str = "light"
    density: Density = "full"
    size: tuple[int, int] | None = None

    @cached_property
    def _data(self) -> xr.Dataset:
        return self.view.data(self.source)

    def data(self) -> xr.Dataset:
        """The numbers behind the figure, labelled. Shared: copy before changing them."""
        return self._data

    def scene(self) -> Scene:
        """What the figure is drawn for."""
        return Scene(
            p=self.source.p,
            selection=self.source.selection,
            theme=theme_named(self.theme),
            density=self.density,
            size=self.size,
            params=self.source.params,
            events=self._events(),
        )

    def raw(self) -> Figure:
        """The figure as a plain dict with numpy arrays (`renderers.encode.encode` makes it JSON)."""
        scene = self.scene()
        figure = fit(scene, self.view.draw(self.data(), scene))
        settings = ":".join(self.source.params.values())
        figure["layout"]["uirevision"] = f"{self.view.name}:{self.source.selection.variant}:{settings}"
        return figure

    def figure(self) -> go.Figure:
        """The figure as a plotly object, to be changed at will."""
        import plotly.graph_objects as go

        return go.Figure(self.raw())

    def show(self) -> None:
        """Show the figure in the notebook or browser."""
        self.figure().show()

    def export(self, path: str | Path) -> Path:
        """Write .html (offline, plotly.js inside), .svg, .png, .csv or .json; the ending decides."""
        return export(self, Path(path))

    def _events(self) -> tuple[Any, ...]:
        if "turn" not in self.view.optional:
            return ()
        try:
            return events_of(self.source.artifact("turn"))
        except MissingArtifact:
            return ()


class ViewService:
    """The catalog of views, bound to where artifacts are read from."""

    def __init__(self, reader: Reader | None = None, views: Catalog | None = None) -> None:
        self._given, self.catalog = reader, views or catalog()

    @cached_property
    def reader(self) -> Reader:
        """Where artifacts are read from."""
        if self._given is not None:
            return self._given
        from analyzers.service import AnalyzerService

        return AnalyzerService()

    def list(self) -> list[dict[str, Any]]:
        """One dict per view: name, title, group, blurb, parameters, needs, marks, formula, source."""
        from analyzers.registry import default_registry

        known = default_registry()
        return [
            {
                "name": view.name,
                "title": view.title,
                "group": GROUPS[view.group],
                "blurb": view.blurb,
                "parameters": {name: list(parameter.choices) for name, parameter in view.parameters.items()},
                "needs": list(view.needs),
                "depends": list(view.depends),
                "marks": list(view.marks),
                "formula": view.formula or "; ".join(known.get(name).formula for name in view.needs),
                "source": view.source or "; ".join(known.get(name).source for name in view.needs),
            }
            for view in self.catalog
        ]

    def open(
        self,
        variant: Any,
        name: str,
        *,
        theme: str = "light",
        density: Density = "full",
        size: tuple[int, int] | None = None,
        **given: Any,
    ) -> BoundView:
        """Bind the view `name` to `variant`, to be drawn for a panel of that `size` in pixels.

        `given` holds selection fields (epoch, neuron, head, frequency) and parameters of the view. Without an
        epoch it is the last checkpoint. Raises BadParameter for anything unknown and UnknownEpoch for an
        epoch that was not saved.
        """
        view = self.catalog.get(name)
        fields = {field: value for field, value in given.items() if field in FIELDS and field != "variant"}
        selection = self._selection(variant, view, fields)
        params = view.settle({key: value for key, value in given.items() if key not in fields})
        return BoundView(view, Source(variant, selection, params, self.reader), theme, density, size)

    def token(self, view: str | View, variant: Any) -> str:
        """A text that changes whenever something behind that view of `variant` does: artifacts, or
        the variant itself for a view that needs none."""
        view = self.catalog.get(view) if isinstance(view, str) else view
        tokens = [f"{name}={self.reader.token(variant, name)}" for name in (*view.needs, *view.optional)]
        if not view.needs:
            tokens.append(variant.token())
        return ";".join(tokens)

    def _selection(self, variant: Any, view: View, fields: dict[str, Any]) -> Selection:
        for field, value in fields.items():
            least = 1 if field == "frequency" else 0
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise BadParameter(
                    f"{field}={value!r} is not possible: give a whole number of {least} or more."
                )
        epochs = variant.epochs
        selection = Selection(variant.name, epochs[-1] if epochs else 0)
        changes: dict[str, Any] = {field: int(value) for field, value in fields.items()}
        selection = replace(selection, **changes)
        if "epoch" in view.depends:
            variant.at(selection.epoch)
        return selection
