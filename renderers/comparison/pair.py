"""Two of the selected variants, A and B: which they are, what both have, whether they share a lineage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from data.errors import BadParameter, WorkbenchError
from renderers.comparison.reading import Kind
from renderers.comparison.timeviews import views_of_kind

if TYPE_CHECKING:
    from data import Variant
    from renderers.comparison.cohort import Cohort


def first_names(cohort: Cohort) -> tuple[str, ...]:
    """What A can be: the page's current variant first, if it is selected."""
    current = cohort.selection.variant
    return tuple(sorted(cohort.names, key=lambda name: name != current))


def second_names(cohort: Cohort) -> tuple[str, ...]:
    """What B can be: the others first."""
    first = cohort.params["a"]
    return tuple(sorted(cohort.names, key=lambda name: name == first))


def pair_of(cohort: Cohort) -> tuple[Variant, Variant]:
    """A and B."""
    return cohort.get(cohort.params["a"]), cohort.get(cohort.params["b"])


def of_both(cohort: Cohort) -> Cohort:
    """The same questions asked of A and B alone."""
    return replace(cohort, variants=pair_of(cohort))


def common_views(cohort: Cohort, *kinds: Kind) -> tuple[str, ...]:
    """The views that draw one of these kinds of A and of B, in the order of the catalog."""
    first, second = (
        {name for kind in kinds for name in views_of_kind(replace(cohort, variants=(one,)), kind)}
        for one in pair_of(cohort)
    )
    return tuple(view.name for view in cohort.views.catalog if view.name in first & second)


def nothing_common(cohort: Cohort, what: str) -> BadParameter:
    """What to say where no view shows both."""
    first, second = pair_of(cohort)
    return BadParameter(
        f"{first.name} and {second.name} have no {what} in common. Analyse both (`tdw analyze`), or choose"
        " others."
    )


def related(first: Variant, second: Variant) -> bool:
    """Whether both descend from one run, so that neuron n and head h of one are those of the other."""
    return not set(_line(first)).isdisjoint(_line(second))


def _line(variant: Variant) -> list[str]:
    """The variant and those that it descends from, as far as they are known."""
    line = [variant.name]
    while variant.parent is not None and variant.parent.get("name") not in line:
        line.append(str(variant.parent["name"]))
        try:
            variant = variant.workspace[line[-1]]
        except WorkbenchError:
            break
    return line
