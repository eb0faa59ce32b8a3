"""The catalog of views: one list that dashboard, notebook, reports and export share."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from data.errors import BadParameter

if TYPE_CHECKING:
    import xarray as xr

    from renderers.source import Scene, Source

Figure = dict[str, Any]
Shape = Literal["wide", "square", "tall", "banner", "strip"]
Component = Literal["", "tiles"]
Role = Literal["", "navigator", "companion"]

GROUPS: dict[str, str] = {
    "run": "The run",
    "neurons": "Neurons",
    "attention": "Attention",
    "embeddings": "Embedding and unembedding",
    "progress": "Progress measures",
    "trajectory": "Trajectory",
    "dimensionality": "Dimensionality",
    "landscape": "Landscape",
    "inputs": "Inputs",
}


@dataclass(frozen=True)
class Parameter:
    """One choice that a person can make about a view."""

    default: str
    choices: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class View:
    """A named way of drawing artifacts.

    `needs`: analyzers without which there is nothing to draw; `optional`: analyzers that add something when
    they are there ("turn" adds event markers). Formula, source and protocol of a view are those of the
    analyzers in `needs`; `formula` and `source` are for a view that is drawn from the history and needs none.
    `component`: what the dashboard draws in the figure's place ("tiles": a canvas, see renderers.tiles).
    `shape` "banner" and the low "strip" take a whole row. `role`: the navigator of a group is clicked in, its
    companion follows; they stay side by side. `depends`: the selection fields that the figure reads, and no
    others. `marks`: the selection fields that a click on a mark sets, the primary one first.
    """

    name: str
    title: str
    group: str
    order: int
    blurb: str
    data: Callable[[Source], xr.Dataset]
    draw: Callable[[xr.Dataset, Scene], Figure]
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    depends: tuple[str, ...] = ("variant",)
    marks: tuple[str, ...] = ()
    shape: Shape = "wide"
    role: Role = ""
    component: Component = ""
    formula: str = ""
    source: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def settle(self, given: Mapping[str, Any]) -> dict[str, str]:
        """All parameters of this view: those given, checked, over the defaults.

        Raises BadParameter for a parameter that the view does not have or a value that it does not offer.
        """
        for name, value in given.items():
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise BadParameter(f"View {self.name!r} has no parameter {name!r}; its parameters: {known}.")
            choices = self.parameters[name].choices
            if str(value) not in choices:
                offered = ", ".join(choices)
                raise BadParameter(
                    f"{name}={value!r} is not offered by view {self.name!r}; choose one of: {offered}."
                )
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return {**defaults, **{name: str(value) for name, value in given.items()}}


class Catalog:
    """Views in display order: by group, then by `order` within the group."""

    def __init__(self, views: Iterable[View]) -> None:
        ranks = list(GROUPS)
        ordered = sorted(views, key=lambda view: (ranks.index(view.group), view.order))
        self._views = {view.name: view for view in ordered}
        if len(self._views) != len(ordered):
            raise ValueError("Two views of the catalog have the same name.")

    def __iter__(self) -> Iterator[View]:
        return iter(self._views.values())

    def __len__(self) -> int:
        return len(self._views)

    @property
    def names(self) -> list[str]:
        """Names of all views, in display order."""
        return list(self._views)

    def groups(self) -> dict[str, list[View]]:
        """Group id -> its views, both in display order. `GROUPS[id]` is the group's title."""
        found: dict[str, list[View]] = {}
        for view in self:
            found.setdefault(view.group, []).append(view)
        return found

    def get(self, name: str) -> View:
        """The view called `name`; BadParameter lists what there is."""
        if name not in self._views:
            raise BadParameter(f"There is no view {name!r}. Views: {', '.join(self._views)}.")
        return self._views[name]


@cache
def catalog() -> Catalog:
    """Every view of the workbench: the `VIEWS` of every module of `renderers.views`."""
    package = importlib.import_module("renderers.views")
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__, "renderers.views."))
    return Catalog(view for name in modules for view in importlib.import_module(name).VIEWS)
