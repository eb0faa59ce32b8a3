"""Comparisons for people who write code: open one, look at it, take its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import xarray as xr

from data.errors import BadParameter
from renderers.catalog import Figure
from renderers.comparison.catalog import Comparison, ComparisonCatalog, comparisons
from renderers.comparison.cohort import Cohort, CohortScene, left_out
from renderers.comparison.colours import BY_VARIANT
from renderers.comparison.reading import RunReader
from renderers.selection import Selection
from renderers.service import ViewService
from renderers.source import Density
from renderers.theme import theme as theme_named

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from data import Variant, Workspace


@dataclass(frozen=True)
class BoundComparison:
    """A comparison of a cohort with its parameters settled. `offered`: what each parameter could be."""

    comparison: Comparison
    cohort: Cohort
    offered: Mapping[str, list[str]] = field(default_factory=dict)
    theme: str = "light"
    density: Density = "full"
    size: tuple[int, int] | None = None

    @cached_property
    def _data(self) -> xr.Dataset:
        return self.comparison.data(self.cohort)

    def data(self) -> xr.Dataset:
        """The numbers behind the figure, labelled. Shared: copy before changing them."""
        return self._data

    def left_out(self) -> list[tuple[str, str]]:
        """Variants that could not take part, each with the reason."""
        return left_out(self.data())

    def raw(self) -> Figure:
        """The figure as a plain dict with numpy arrays."""
        scene = CohortScene(
            groups=self.cohort.groups,
            selection=self.cohort.selection,
            theme=theme_named(self.theme),
            density=self.density,
            size=self.size,
            params=self.cohort.params,
            align=self.cohort.align,
            colour_by=self.cohort.colour_by,
        )
        figure = self.comparison.draw(self.data(), scene)
        settings = ":".join(self.cohort.params.values())
        figure["layout"]["uirevision"] = f"{self.comparison.name}:{self.cohort.align}:{settings}"
        return figure

    def figure(self) -> go.Figure:
        """The figure as a plotly object, to be changed at will."""
        import plotly.graph_objects as go

        return go.Figure(self.raw())


class ComparisonService:
    """The catalog of comparisons over one workspace."""

    def __init__(
        self, workspace: Workspace, views: ViewService | None = None, catalog: ComparisonCatalog | None = None
    ) -> None:
        self._workspace = workspace
        self.views, self.catalog = views or ViewService(), catalog or comparisons()
        self._runs = RunReader()
        self._seen: dict[str, str] = {}

    def cohort(
        self,
        names: Sequence[str],
        selection: Mapping[str, Any] | None = None,
        align: str = "epoch",
        colour_by: str = BY_VARIANT,
    ) -> Cohort:
        """The variants called `names` (each once, in this order), read through this workspace's catalog.

        Raises BadParameter if none is named or an alignment or parameter is unknown, UnknownVariant.
        """
        from analyzers.comparison.alignment import ALIGNMENTS

        if align not in ALIGNMENTS:
            raise BadParameter(f"align={align!r} is unknown; choose one of: {', '.join(ALIGNMENTS)}.")
        variants = tuple(self._workspace[name] for name in dict.fromkeys(names))
        if not variants:
            raise BadParameter("No variants are selected. Select rows of the table.")
        self._bring_up_to_date(variants)
        given = {key: value for key, value in (selection or {}).items() if value is not None}
        current = str(given.pop("variant", variants[0].name))
        epoch = int(given.pop("epoch", 0))
        chosen = Selection(current, epoch, **{key: int(value) for key, value in given.items()})
        cohort = Cohort(
            variants, chosen, self.views, self._workspace.catalog, {}, align, colour_by, self._runs
        )
        if colour_by != BY_VARIANT and colour_by not in cohort.parameters():
            known = ", ".join(map(str, cohort.parameters().columns))
            raise BadParameter(f"color={colour_by!r} is no parameter of these variants; there are: {known}.")
        return cohort

    def open(
        self,
        name: str,
        cohort: Cohort,
        *,
        theme: str = "light",
        density: Density = "full",
        size: tuple[int, int] | None = None,
        **given: Any,
    ) -> BoundComparison:
        """Bind the comparison `name` to a cohort. Raises BadParameter for anything that does not fit."""
        comparison = self.catalog.get(name)
        comparison.check(cohort)
        params, offered = comparison.settle(given, cohort)
        return BoundComparison(comparison, cohort.with_params(params), offered, theme, density, size)

    def token(self, name: str, cohort: Cohort) -> str:
        """A text that changes whenever something that the comparison may read does."""
        return ";".join(f"{one.name}={_state(one)}" for one in cohort.variants)

    def _bring_up_to_date(self, variants: Sequence[Variant]) -> None:
        """Refresh the catalog if one of the variants has changed since it was last read here."""
        states = {one.name: _state(one) for one in variants}
        if any(self._seen.get(name) != state for name, state in states.items()):
            self._workspace.catalog.refresh()
            self._seen.update(states)


def _state(variant: Variant) -> str:
    return f"{variant.token()}={variant.artifacts.state()}"
