"""The catalog of comparisons: one list that the Compare page, notebooks and reports share."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from data.errors import BadParameter
from renderers.catalog import Figure, Shape

if TYPE_CHECKING:
    import xarray as xr

    from renderers.comparison.cohort import Cohort, CohortScene

SECTIONS: dict[str, str] = {
    "overlay": "Overlay",
    "difference": "Difference",
    "statistics": "Statistics",
    "geometry": "Geometry",
    "anomalies": "What stands out",
}
WHOLE = ("statistics", "anomalies")  # these take all variants that the table shows where none is selected


@dataclass(frozen=True)
class Choice:
    """One choice that a person can make about a comparison.

    choices   what there is to choose, or a function that tells it for a cohort
    default   "" stands for the first choice
    """

    label: str
    choices: tuple[str, ...] | Callable[[Cohort], tuple[str, ...]]
    default: str = ""

    def offered(self, cohort: Cohort) -> tuple[str, ...]:
        """What can be chosen for this cohort."""
        return self.choices(cohort) if callable(self.choices) else self.choices


@dataclass(frozen=True)
class Comparison:
    """A named way of setting variants side by side.

    `depends`: the selection fields that it reads beside the variants, and no others ("variant" is the page's
    current one). `aligned`: whether the alignment in time enters. `marks`: the fields that a click on a mark
    sets, all at once. `least` and `most`: how many variants it takes. Variants that cannot take part stand in
    the dataset's attribute `left_out`, a JSON list of [name, reason].
    """

    name: str
    title: str
    section: str
    order: int
    blurb: str
    data: Callable[[Cohort], xr.Dataset]
    draw: Callable[[xr.Dataset, CohortScene], Figure]
    parameters: Mapping[str, Choice] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    aligned: bool = False
    marks: tuple[str, ...] = ("variant",)
    shape: Shape = "wide"
    least: int = 1
    most: int | None = None
    formula: str = ""
    source: str = ""
    caveats: str = ""

    def settle(self, given: Mapping[str, Any], cohort: Cohort) -> tuple[dict[str, str], dict[str, list[str]]]:
        """(the value of every parameter, what each offers). `cohort.params` holds the values settled before.

        Raises BadParameter for an unknown parameter; a value that the cohort does not offer (any more) gives
        way to the default, as another selection of variants offers other values.
        """
        for name in given:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise BadParameter(
                    f"Comparison {self.name!r} has no parameter {name!r}; its parameters: {known}."
                )
        values: dict[str, str] = {}
        offered: dict[str, list[str]] = {}
        for name, choice in self.parameters.items():
            choices = choice.offered(cohort.with_params(values))
            offered[name] = list(choices)
            wanted = str(given.get(name, choice.default))
            fallback = choice.default if choice.default in choices else next(iter(choices), "")
            values[name] = wanted if wanted in choices else fallback
        return values, offered

    def check(self, cohort: Cohort) -> None:
        """BadParameter if it takes more or fewer variants."""
        count = len(cohort.variants)
        if count < self.least:
            raise BadParameter(
                f"{self.title} needs {self.least} variants or more and has {count}. Select rows of the table."
            )
        if self.most is not None and count > self.most:
            raise BadParameter(
                f"{self.title} takes {self.most} variants at most; {count} are selected. Select fewer rows."
            )


class ComparisonCatalog:
    """Comparisons in display order: by section, then by `order` within it."""

    def __init__(self, comparisons: Iterable[Comparison]) -> None:
        ranks = list(SECTIONS)
        ordered = sorted(comparisons, key=lambda one: (ranks.index(one.section), one.order))
        self._known = {one.name: one for one in ordered}
        if len(self._known) != len(ordered):
            raise ValueError("Two comparisons of the catalog have the same name.")

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self._known.values())

    def sections(self) -> dict[str, list[Comparison]]:
        """Section id -> its comparisons, both in display order."""
        found: dict[str, list[Comparison]] = {}
        for one in self:
            found.setdefault(one.section, []).append(one)
        return found

    def get(self, name: str) -> Comparison:
        """The comparison called `name`; BadParameter lists what there is."""
        if name not in self._known:
            raise BadParameter(f"There is no comparison {name!r}. Comparisons: {', '.join(self._known)}.")
        return self._known[name]


@cache
def comparisons() -> ComparisonCatalog:
    """Every comparison of the workbench."""
    package = importlib.import_module("renderers.comparison.views")
    modules = sorted(found.name for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    return ComparisonCatalog(one for name in modules for one in importlib.import_module(name).COMPARISONS)
