"""The variants that a comparison reads (`Cohort`) and what it is drawn for (`CohortScene`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from data.errors import BadParameter
from renderers.comparison.colours import BY_VARIANT, is_scale, labels_of, variant_colours
from renderers.comparison.reading import RunReader
from renderers.selection import Selection
from renderers.service import BoundView, ViewService
from renderers.source import Density
from renderers.theme import LIGHT, Theme

if TYPE_CHECKING:
    from data import Variant
    from data.catalog import Catalog

LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Cohort:
    """Several variants, in the order of their selection. What it returns is shared: do not change it.

    selection   of the page: its variant is the current one, which need not be of the cohort
    align       how time is aligned: a name of analyzers.comparison.alignment
    colour_by   "variant", or the parameter whose values make groups
    runs        what was read of single runs before
    """

    variants: tuple[Variant, ...]
    selection: Selection
    views: ViewService
    catalog: Catalog
    params: Mapping[str, str] = field(default_factory=dict)
    align: str = "epoch"
    colour_by: str = BY_VARIANT
    runs: RunReader = field(default_factory=RunReader, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variants."""
        return tuple(variant.name for variant in self.variants)

    def get(self, name: str) -> Variant:
        """The variant of that name; BadParameter if it is not of the cohort."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise BadParameter(f"{name!r} is not selected. Selected: {', '.join(self.names)}.")

    def metrics(self, names: Iterable[str] | None = None) -> pd.DataFrame:
        """Summary metrics: one row per variant, one column per metric; NaN where a run has none."""
        wanted = None if names is None else list(names)
        return self.catalog.frame(wanted, self.names).reindex(self.names)

    def bounds(self, metric: str) -> pd.DataFrame:
        """Columns lower, upper, value of one metric; an event lies in (lower, upper]."""
        rows = {one.variant: one for one in self.catalog.metrics([metric], self.names)}
        columns = {
            column: [getattr(rows[name], column) if name in rows else None for name in self.names]
            for column in ("lower", "upper", "value")
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="variant"), dtype=float)

    @cached_property
    def _parameters(self) -> pd.DataFrame:
        return self.catalog.parameters(self.names).reindex(self.names)

    def parameters(self) -> pd.DataFrame:
        """One row per variant: parameters, config values, parent, kind (root, fork, replicate), epochs."""
        return self._parameters

    def turn(self, variant: Variant) -> dict[str, Any]:
        """Verdict and events of a run (`AnalyzerService.turn`): event -> [lower, upper], None without one."""
        found: dict[str, Any] = self.views.reader.turn(variant)
        return found

    def view(self, variant: Variant, name: str, **given: Any) -> BoundView:
        """A view of one of the variants, as on Explore; `given`: selection fields and parameters."""
        return self.views.open(variant, name, **given)

    def artifact(self, variant: Variant, analyzer: str) -> xr.Dataset:
        """All stored epochs of an analyzer's result; MissingArtifact if there are none."""
        return self.views.reader.read(variant, analyzer)

    @cached_property
    def groups(self) -> dict[str, str]:
        """Variant -> label of its group by `colour_by`."""
        return labels_of(self.parameters(), self.colour_by)

    def with_params(self, params: Mapping[str, str]) -> Cohort:
        """The same cohort with other choices."""
        return replace(self, params=dict(params))


def leave_out(dataset: xr.Dataset, left: Sequence[tuple[str, str]]) -> xr.Dataset:
    """The dataset with the variants that could not take part, each with the reason."""
    return dataset.assign_attrs({LEFT_OUT: json.dumps([list(one) for one in left])})


def left_out(dataset: xr.Dataset) -> list[tuple[str, str]]:
    """What `leave_out` wrote; [] if nothing."""
    return [(name, reason) for name, reason in json.loads(dataset.attrs.get(LEFT_OUT, "[]"))]


@dataclass(frozen=True)
class CohortScene:
    """Everything but the data that a drawing depends on. `size`: width and height of the panel in pixels.

    groups    variant -> label of its group; with colour_by "variant" its own name
    """

    groups: Mapping[str, str]
    selection: Selection
    theme: Theme = LIGHT
    density: Density = "full"
    size: tuple[int, int] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    align: str = "epoch"
    colour_by: str = BY_VARIANT

    @property
    def compact(self) -> bool:
        """True for small multiples."""
        return self.density == "compact"

    @cached_property
    def colours(self) -> dict[str, str]:
        """Variant -> its colour, the same wherever these variants are compared."""
        return variant_colours(list(self.groups), self.groups, self.theme, is_scale(self.groups))
