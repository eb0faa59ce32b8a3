"""Which views several runs can be compared by, and their curves on one axis of aligned time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analyzers.comparison.alignment import Alignment, Landmarks, Refusal, align
from analyzers.registry import default_registry
from data.errors import WorkbenchError
from renderers.catalog import View
from renderers.comparison.curves import Curve, main_curve
from renderers.comparison.reading import Kind, may_have_curves
from renderers.service import BoundView

if TYPE_CHECKING:
    from data import Variant
    from renderers.comparison.cohort import Cohort

AS_IT_IS = "as it is"
OWN_FIRST = "first of each variant"
_BY_EPOCH = ("epoch", "log_epoch")


@dataclass(frozen=True)
class Placed:
    """One curve of one variant with the aligned times of its points."""

    variant: Variant
    curve: Curve
    x: np.ndarray
    alignment: Alignment


def view_of(cohort: Cohort) -> View | None:
    """The view that is chosen, None where there was none to choose."""
    name = cohort.params.get("view", "")
    return cohort.views.catalog.get(name) if name else None


def views_of_kind(cohort: Cohort, kind: Kind) -> tuple[str, ...]:
    """The views that draw that (see `RunReader.kind`) and of which at least one variant has results."""
    stored = [cohort.runs.stored(variant) for variant in cohort.variants]
    return tuple(
        view.name for view in cohort.views.catalog if any(_settings_with(cohort, view, kind, stored))
    )


def settings_with(cohort: Cohort, view: View, kind: Kind) -> tuple[str, ...]:
    """The settings in which the view draws that, () if none does or no variant has what it takes to tell."""
    stored = [cohort.runs.stored(variant) for variant in cohort.variants]
    return tuple(_settings_with(cohort, view, kind, stored))


def _settings_with(cohort: Cohort, view: View, kind: Kind, stored: Sequence[frozenset[str]]) -> Iterator[str]:
    """`settings_with`, one after the other, from what is `stored` of each variant."""
    if view.component or (kind == "curves" and not may_have_curves(view)):
        return
    registry = default_registry()
    needs = {name for name in view.needs if registry.get(name).stored}
    for variant, has in zip(cohort.variants, stored, strict=True):
        first = _kind(cohort, variant, view, AS_IT_IS) if needs <= has else None
        if first is None:
            continue
        if first in (kind, "categories"):
            yield from (one for one in settings(view) if _kind(cohort, variant, view, one) == kind)
        return


def settings(view: View) -> dict[str, dict[str, str]]:
    """What a view can be set to: label -> its parameters. Each differs from the defaults in one of them."""
    changed = {
        f"{parameter.label}: {choice}": {name: choice}
        for name, parameter in view.parameters.items()
        for choice in parameter.choices
        if choice != parameter.default
    }
    return {AS_IT_IS: {}, **changed}


def open_view(cohort: Cohort, variant: Variant, view: View, setting: str, **given: Any) -> BoundView:
    """That view of a variant with the page's selection, other than the epoch unless it is given."""
    fields = {
        name: getattr(cohort.selection, name) for name in view.depends if name not in ("variant", "epoch")
    }
    return cohort.view(variant, view.name, **fields, **settings(view).get(setting, {}), **given)


def curve_names(cohort: Cohort, view: View, setting: str, common: bool = False) -> tuple[str, ...]:
    """The curves that any variant has of that view (with `common`, that all have), the main one first.

    Where variants differ in what comes first (their strongest frequency), each one's own is offered first.
    """
    found = [curves for _, curves in _readable(cohort, view, setting, lambda *_: None)]
    mains = list(dict.fromkeys(main_curve(curves).name for curves in found))
    names = dict.fromkeys([*mains, *(curve.name for curves in found for curve in curves)])
    own = [{curve.name for curve in curves} for curves in found]
    kept = [name for name in names if not common or all(name in each for each in own)]
    return tuple([OWN_FIRST, *kept] if len(mains) > 1 else kept)


def is_logarithmic(cohort: Cohort, view: View, setting: str) -> bool:
    """Whether the view draws its curves on a logarithmic axis."""
    readable = _readable(cohort, view, setting, lambda *_: None)
    return any(curve.log for _, curves in readable for curve in curves[:1])


def placed_curves(
    cohort: Cohort, view: View, setting: str, name: str
) -> tuple[list[Placed], list[tuple[str, str]]]:
    """(the curve called `name` of every variant that has it and can be placed, the others with reasons)."""
    left: dict[str, str] = {}
    found = []
    for variant, curves in _readable(cohort, view, setting, left.__setitem__):
        chosen = [main_curve(curves)] if name == OWN_FIRST else [one for one in curves if one.name == name]
        if not chosen:
            left[variant.name] = f"it has no curve {name!r} in {view.title}"
            continue
        alignment = alignment_of(cohort, variant, chosen[0])
        if isinstance(alignment, Refusal):
            left[variant.name] = alignment.reason
            continue
        found.append(Placed(variant, chosen[0], alignment.place(chosen[0].epochs), alignment))
    return found, [(name, left[name]) for name in cohort.names if name in left]


def alignment_of(cohort: Cohort, variant: Variant, curve: Curve | None = None) -> Alignment | Refusal:
    """How time of that variant is aligned; the turn is looked up only where it matters."""
    if cohort.align in _BY_EPOCH and curve is not None:
        ends = [*variant.epochs[:1], *variant.epochs[-1:], *curve.epochs[[0, -1]].tolist()]
        return align(cohort.align, Landmarks(float(min(ends)), float(max(ends))))
    return align(cohort.align, cohort.runs.landmarks(variant, cohort.views.reader))


def time_tables(found: Sequence[Placed]) -> xr.Dataset:
    """Per variant a table epoch -> aligned time (`entries` of each, end to end) that linear interpolation
    makes exact at every saved epoch: what a linked cursor needs."""
    names = [one.variant.name for one in found]
    epochs = [_table_epochs(one) for one in found]
    places = [one.alignment.place(own) for one, own in zip(found, epochs, strict=True)]
    return xr.Dataset(
        {
            "table_of": ("entry", repeated(names, epochs)),
            "table_epoch": ("entry", joined(epochs)),
            "table_x": ("entry", joined(places)),
            "entries": ("variant", np.array([len(own) for own in epochs], dtype=np.int64)),
        },
        coords={"variant": np.array(names, dtype=str)},
    )


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays end to end; of no length if there are none."""
    return np.concatenate([np.zeros(0), *parts])


def repeated(names: Sequence[str], parts: Sequence[np.ndarray]) -> np.ndarray:
    """Each name as often as its part has entries."""
    return np.repeat(np.array(names, dtype=object), [len(part) for part in parts])


def _table_epochs(one: Placed) -> np.ndarray:
    knots = np.array(one.alignment.knots)
    return np.union1d(knots, one.variant.epochs) if one.alignment.logarithmic else knots


def _readable(
    cohort: Cohort, view: View, setting: str, refuse: Callable[[str, str], Any]
) -> Iterator[tuple[Variant, tuple[Curve, ...]]]:
    """Every variant with the curves it has of the view; `refuse(name, reason)` is told of the others."""
    for variant in cohort.variants:
        try:
            curves = cohort.runs.curves(open_view(cohort, variant, view, setting))
        except WorkbenchError as error:
            refuse(variant.name, str(error))
            continue
        if curves:
            yield variant, curves
        else:
            refuse(variant.name, f"it has no values in {view.title} yet")


def _kind(cohort: Cohort, variant: Variant, view: View, setting: str) -> Kind | None:
    """What the view draws of this variant; None if that cannot be told from it."""
    epochs = variant.epochs if "epoch" in view.depends else []
    given = {"epoch": epochs[-1]} if epochs else {}
    try:
        return cohort.runs.kind(open_view(cohort, variant, view, setting, **given))
    except WorkbenchError:
        return None
