"""A minus B: the same heatmap of two variants of one p, in aligned time, under one naming of the tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyzers.comparison.alignment import ALIGNMENTS, Alignment, Refusal
from analyzers.comparison.frequency_matching import Match, best_unit
from analyzers.key_frequencies import FALLBACK, RULES, chosen
from data import Variant
from data.errors import BadParameter
from renderers.catalog import View
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort
from renderers.comparison.curves import plain_figure
from renderers.comparison.map_differences import subtract
from renderers.comparison.map_figures import draw_map_difference
from renderers.comparison.maps import Map, maps_of
from renderers.comparison.pair import (
    common_views,
    first_names,
    nothing_common,
    of_both,
    pair_of,
    related,
    second_names,
)
from renderers.comparison.reading import Kind
from renderers.comparison.timeviews import alignment_of, open_view, settings_with, view_of

_SAME, _MATCHED = "same k", "matched"
_NAMED = ("frequency", "residue")


def _others(cohort: Cohort) -> tuple[str, ...]:
    """What B can be: other variants first, those of the p of A before them."""
    first = cohort.params["a"]
    p = cohort.get(first).params["p"]
    return tuple(
        sorted(second_names(cohort), key=lambda name: (name == first, cohort.get(name).params["p"] != p))
    )


def _kinds(cohort: Cohort) -> tuple[Kind, ...]:
    """Neuron n of one run is neuron n of the other only if both descend from one run."""
    return ("maps", "neuron maps") if related(*pair_of(cohort)) else ("maps",)


def _views(cohort: Cohort) -> tuple[str, ...]:
    return common_views(cohort, *_kinds(cohort))


def _settings(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    if view is None:
        return ()
    return tuple(one for kind in _kinds(cohort) for one in settings_with(of_both(cohort), view, kind))


def _data(cohort: Cohort) -> xr.Dataset:
    first, second = pair_of(cohort)
    p = _common_p(first, second)
    view = view_of(cohort)
    if view is None:
        raise nothing_common(cohort, "map")
    alignments = _alignments(cohort, first, second)
    epochs = _epochs(cohort, first, second, alignments) if "epoch" in view.depends else None
    setting = cohort.params["setting"]
    both = [
        _maps(cohort, variant, view, setting, None if epochs is None else epochs[index])
        for index, variant in enumerate((first, second))
    ]
    counted = {axis.counts for one in both[0] for axis in (one.x, one.y)}
    match = None
    if cohort.params["match"] == _MATCHED and counted & set(_NAMED):
        match = _match(cohort, first, second, p)
    dataset, unit = _subtracted(both, alignments, match, p)
    x, y = both[0][0].x, both[0][0].y
    if x.counts == "epoch":
        epochs_there = np.stack([one.epoch(dataset["x"].values) for one in alignments])
        dataset = dataset.assign(epoch=(("side", "x"), epochs_there))
    dataset.attrs = {
        "view": view.title,
        "unit": both[0][0].unit,
        "align": cohort.align,
        "variants": [first.name, second.name],
        "counts": [x.counts, y.counts],
        "titles": [x.title, y.title],
        "descends": [int(x.descends), int(y.descends)],
        "ticks": [dict(x.ticks), dict(y.ticks)],
        "epochs": list(epochs) if epochs is not None else [],
        "matched": [] if match is None else _says(match, unit),
        "heads": int("head" in counted or any(one.name.startswith("head") for one in both[0])),
        "related": int(related(first, second)),
    }
    return dataset


def _common_p(first: Variant, second: Variant) -> int:
    ps = [int(variant.params["p"]) for variant in (first, second)]
    if ps[0] != ps[1]:
        raise BadParameter(
            f"Maps of {first.name} (p = {ps[0]}) and {second.name} (p = {ps[1]}) have other axes: only"
            " variants of one p can be subtracted. Choose B among those, or subtract curves."
        )
    return ps[0]


def _alignments(cohort: Cohort, first: Variant, second: Variant) -> tuple[Alignment, Alignment]:
    found = []
    for variant in (first, second):
        one = alignment_of(cohort, variant)
        if isinstance(one, Refusal):
            raise BadParameter(
                f"{variant.name} cannot be aligned by {ALIGNMENTS[cohort.align]}: {one.reason}. Align by"
                " epoch, or choose another variant."
            )
        found.append(one)
    return found[0], found[1]


def _epochs(
    cohort: Cohort, first: Variant, second: Variant, alignments: tuple[Alignment, Alignment]
) -> tuple[int, int]:
    """The saved epoch of each that is nearest to the page's selected epoch, in aligned time."""
    own = int(cohort.selection.variant == second.name != first.name)
    run = alignments[own]
    at = float(run.place(np.clip(cohort.selection.epoch, run.knots[0], run.knots[-1])))
    return alignments[0].nearest(first.epochs, at), alignments[1].nearest(second.epochs, at)


def _maps(cohort: Cohort, variant: Variant, view: View, setting: str, epoch: int | None) -> tuple[Map, ...]:
    given = {} if epoch is None else {"epoch": epoch}
    bound = open_view(cohort, variant, view, setting, **given)
    found = maps_of(plain_figure(bound), bound.source.p)
    if not found:
        raise BadParameter(f"{view.title} shows nothing of {variant.name} yet. Choose another view or epoch.")
    return found


def _match(cohort: Cohort, first: Variant, second: Variant, p: int) -> Match:
    """From the key frequencies and the spectra of W_E at the last checkpoint of each."""
    found = [cohort.artifact(variant, "key_frequencies").isel(epoch=-1) for variant in (first, second)]
    keys = [chosen(one["is_key"].values).tolist() for one in found]
    spectra = [np.nan_to_num(one["strength"].values[RULES.index(FALLBACK)]) for one in found]
    return best_unit(p, keys[0], keys[1], (spectra[0], spectra[1]))


def _subtracted(
    both: Sequence[tuple[Map, ...]], alignments: tuple[Alignment, Alignment], match: Match | None, p: int
) -> tuple[xr.Dataset, int]:
    """The difference and the unit that was used: u or -u, which frequencies do not tell apart but inputs do,
    whichever leaves less."""
    if match is None:
        return subtract(both[0], both[1], alignments), 1
    tried = [(subtract(both[0], both[1], alignments, unit, p), unit) for unit in (match.unit, p - match.unit)]
    return min(tried, key=lambda one: float(np.nansum(one[0]["difference"].values ** 2)))


def _says(match: Match, unit: int) -> list[str]:
    first, second = match.of
    of = f"{first}" if first == second else f"{first} and {second}"
    return [
        f"B's tokens renamed a → {unit} a",
        f"{match.matched} of {of} key frequencies coincide",
        f"as many in {match.chance:.0%} of random sets",
    ]


COMPARISONS = (
    Comparison(
        name="map_difference",
        title="Difference of maps",
        section="difference",
        order=2,
        blurb="A heatmap of A less that of B, cell by cell. Orange: more in A, blue: more in B. Runs learn"
        " other frequencies for no reason but chance; matched renames B's tokens so that as many key"
        " frequencies as possible coincide.",
        data=_data,
        draw=draw_map_difference,
        parameters={
            "a": Choice("A", first_names),
            "b": Choice("B", _others),
            "view": Choice("View", _views),
            "setting": Choice("Setting", _settings),
            "match": Choice("Frequencies", (_SAME, _MATCHED)),
        },
        depends=("variant", "epoch", "neuron", "head", "frequency", "pair"),
        aligned=True,
        marks=("variant", "epoch"),
        least=2,
        formula="A - B per cell, interpolated in aligned time; matched: B'(a, b) = B(u a, u b), k -> +-u k",
        source="the view that is chosen; renaming: x -> u x is an automorphism of addition mod p",
        caveats="Neurons and heads are numbered in no common order unless the runs share a lineage; maps by"
        " neuron are offered only then. How many key frequencies coincide says little unless random sets"
        " rarely do as well.",
    ),
)
