"""A minus B: of curves in aligned time, of heatmaps under one naming of the tokens."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from comparison_runs import LAST, NAMES, SAVED, STEP, UNIT, P, make_runs
from synthetic import SyntheticReader, SyntheticVariant

from analyzers.comparison.alignment import ALIGNMENTS, Alignment, align
from data import Workspace
from data.errors import BadParameter, MissingArtifact
from renderers.comparison.curves import plain_figure
from renderers.comparison.map_differences import renamed, subtract
from renderers.comparison.maps import Map, MapAxis, maps_of
from renderers.comparison.service import BoundComparison, ComparisonService
from renderers.encode import encode
from renderers.payload import payload
from renderers.service import ViewService

MAPS = ("embedding_history", "attention_frequencies", "attention_maps", "input_grid", "logit_waves")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_runs(tmp_path_factory.mktemp("subtracted") / "workspace")


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> ComparisonService:
    return ComparisonService(workspace)


def opened(
    service: ComparisonService, name: str, names: tuple[str, ...] = ("a", "b"), **given: Any
) -> BoundComparison:
    asked = {key: given.pop(key) for key in ("selection", "align") if key in given}
    asked.setdefault("selection", {"variant": names[0], "epoch": LAST, "neuron": 3})
    return service.open(name, service.cohort(names, **asked), **given)


def difference(service: ComparisonService, *names: str, **given: Any) -> BoundComparison:
    return opened(service, "difference", names or ("a", "b"), **given)


def maps(service: ComparisonService, *names: str, **given: Any) -> BoundComparison:
    return opened(service, "map_difference", names or ("a", "b"), **given)


def size(data: xr.Dataset) -> float:
    return float(np.nanmax(np.abs(data["difference"].values)))


# --- curves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALIGNMENTS)
@pytest.mark.parametrize("view", ["loss_curves", "accuracy", "excluded_history", "learning_rate"])
def test_a_run_less_itself_is_exactly_zero(service: ComparisonService, name: str, view: str) -> None:
    data = difference(service, view=view, a="a", b="a", align=name).data()
    assert data.sizes["time"] >= 5
    assert set(data["difference"].values) == {0.0}


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_what_is_subtracted_is_interpolated_in_aligned_time(
    service: ComparisonService, workspace: Workspace, name: str
) -> None:
    one = difference(service, align=name)
    data, other = one.data(), difference(service, "b", "a", align=name).data()
    np.testing.assert_allclose(data["difference"].values, -other["difference"].values, atol=1e-12)
    logs, ends = [], []
    for variant in ("a", "b"):
        run = align(name, one.cohort.runs.landmarks(workspace[variant], one.cohort.views.reader))
        assert isinstance(run, Alignment)
        history = workspace[variant].history
        places = run.place(history["epoch"].values)
        ends.append((places[0], places[-1]))
        logs.append(
            [_between(places, np.log10(history["test_loss"].values), at) for at in data["time"].values]
        )
    np.testing.assert_allclose(data["difference"].values, np.subtract(*logs), atol=1e-9)
    assert data["time"].values[0] == max(first for first, _ in ends)
    assert data["time"].values[-1] == min(last for _, last in ends)
    assert len(data["time"]) > 200


def _between(places: np.ndarray, values: np.ndarray, at: float) -> float:
    after = int(np.argmax(places >= at))
    if places[after] == at:
        return float(values[after])
    share = (at - places[after - 1]) / (places[after] - places[after - 1])
    return float(values[after - 1] + share * (values[after] - values[after - 1]))


def test_logarithms_are_offered_where_the_view_has_them(service: ComparisonService) -> None:
    assert difference(service).offered["measure"] == ["logarithms", "values"]
    assert difference(service, view="accuracy").offered["measure"] == ["values"]
    decades, values = (difference(service, measure=one).data() for one in ("logarithms", "values"))
    ratio = np.log10(decades["value"].values[0] / decades["value"].values[1])
    np.testing.assert_allclose(decades["difference"].values, ratio, atol=1e-9)
    np.testing.assert_allclose(values["difference"].values, np.subtract(*values["value"].values))


def test_a_and_b_are_the_current_variant_and_another_one(service: ComparisonService) -> None:
    one = difference(service, "a", "b", "fork", selection={"variant": "fork"})
    assert (one.cohort.params["a"], one.cohort.params["b"]) == ("fork", "a")
    assert difference(service, "a", "b", "fork", a="b").cohort.params["b"] == "a"
    other = maps(service, "other", "a", "b", selection={"variant": "a"}).cohort.params
    assert (other["a"], other["b"]) == ("a", "b"), "the first of the same p"


def test_only_what_both_have_is_offered(service: ComparisonService) -> None:
    assert "accuracy" in difference(service).offered["view"]
    assert difference(service, "a", "never").offered["view"] == ["loss_curves", "learning_rate"]
    assert set(difference(service, view="excluded_history").offered["curve"]) >= {"train", "k 1"}


def test_runs_that_cannot_be_compared_say_why(service: ComparisonService) -> None:
    with pytest.raises(BadParameter, match="needs 2 variants or more"):
        difference(service, "a")
    with pytest.raises(BadParameter, match=r"never: it has not turned.*Align by epoch"):
        difference(service, "a", "never", align="turn_scaled").data()
    with pytest.raises(BadParameter, match=r"young: it has not turned: .*evaluated 6 times"):
        difference(service, "a", "young", align="phases").data()
    short = difference(service, "a", "young").data()
    assert short["time"].values[-1] == 5 * STEP, "still training: as far as it has come"


def test_marks_lead_to_the_epochs_of_either_run(service: ComparisonService) -> None:
    figure = difference(service, align="turn_scaled").raw()
    times = figure["layout"]["meta"]["times"]
    seen = set()
    for trace in figure["data"]:
        for index in range(1, len(trace["x"]), 17):
            point = {key: trace[key][index] for key in ("x", "y", "customdata")}
            found = payload(trace, point)
            table = times[str(found["variant"])]
            at = np.interp(found["epoch"], table["epoch"], table["x"])
            assert at == pytest.approx(point["x"], abs=1e-3), "to the whole epoch"
            seen.add(found["variant"])
    assert seen == {"a", "b"}


# --- what maps are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "counts"),
    [
        ("embedding_history", ("epoch", "frequency")),
        ("attention_frequencies", ("frequency", "head")),
        ("attention_maps", ("residue", "residue")),
        ("residue_classes", ("epoch", "residue")),
        ("neuron_clusters", ("neuron", "frequency")),
        ("neuron_map", ("residue", "residue")),
        ("neuron_block", ("plain", "plain")),
        ("neuron_frequency_history", None),  # colours are categories
        ("frequency_lives", None),  # rows in an order of the run's own
        ("path_recurrence", None),
        ("input_grid", None),
        ("loss_curves", None),
    ],
)
def test_axes_are_known_by_what_they_count(view: str, counts: tuple[str, str] | None) -> None:
    found = maps_of(plain_figure(_synthetic(view)), 13)
    assert {(one.x.counts, one.y.counts) for one in found} == ({counts} if counts else set())
    for one in found:
        assert one.z.shape == (len(one.y.values), len(one.x.values))
        assert one.unit
        assert one.x.title
        assert one.y.title


def _synthetic(view: str, **given: Any) -> Any:
    selection = {"epoch": 2000, "neuron": 17, "head": 3, "frequency": 5, "pair": 54}
    return ViewService(SyntheticReader()).open(SyntheticVariant(), view, **selection, **given)


@pytest.mark.parametrize("order", ["cluster", "index"])
def test_neurons_are_put_back_in_their_order(order: str) -> None:
    bound = _synthetic("neuron_clusters", order=order)
    (found,) = maps_of(plain_figure(bound), 13)
    truth = bound.source.at_epoch("neuron_frequencies")["fraction"].transpose("freq", "neuron").values
    np.testing.assert_array_equal(found.z, truth)


def test_what_is_at_k_and_x_moves_with_the_names() -> None:
    rng = np.random.default_rng(0)
    frequencies, residues = MapAxis("frequency", np.arange(1, 7), "k"), MapAxis("residue", np.arange(13), "a")
    one = Map("", residues, frequencies, rng.normal(size=(6, 13)), "")
    for unit in range(1, 13):
        moved = renamed(one, unit, 13)
        for k, x in itertools.product(range(1, 7), range(13)):
            image = min(unit * k % 13, -unit * k % 13)
            assert moved.z[image - 1, x] == one.z[k - 1, unit * x % 13]


def test_maps_of_other_shapes_are_refused() -> None:
    first = Map(
        "", MapAxis("plain", np.arange(3), "x"), MapAxis("plain", np.arange(2), "y"), np.zeros((2, 3)), ""
    )
    wide = Map(
        "", MapAxis("plain", np.arange(4), "x"), MapAxis("plain", np.arange(2), "y"), np.zeros((2, 4)), ""
    )
    with pytest.raises(BadParameter, match=r"'x' has 3 entries in A, 4 in B"):
        subtract([first], [wide])
    with pytest.raises(BadParameter, match="A shows 1 maps and B 2"):
        subtract([first], [first, first])
    head = Map("", MapAxis("head", np.arange(3), "head"), first.y, np.zeros((2, 3)), "")
    with pytest.raises(BadParameter, match="counts plain in A and head in B"):
        subtract([first], [head])


# --- maps subtracted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("match", ["same k", "matched"])
@pytest.mark.parametrize("view", ["embedding_history", "attention_maps", "attention_frequencies"])
def test_a_map_less_itself_is_exactly_zero(service: ComparisonService, view: str, match: str) -> None:
    for name in ALIGNMENTS:
        data = maps(service, view=view, a="a", b="a", match=match, align=name).data()
        assert size(data) == 0.0


@pytest.mark.parametrize(
    ("view", "setting"),
    [
        ("embedding_history", "as it is"),
        ("attention_frequencies", "as it is"),
        ("attention_maps", "as it is"),
        ("input_grid", "Show: margin"),
    ],
)
def test_a_renamed_copy_less_its_original_is_nothing_once_matched(
    service: ComparisonService, view: str, setting: str
) -> None:
    given = {
        "view": view,
        "setting": setting,
        "align": "phases",
        "selection": {"variant": "a", "epoch": LAST},
    }
    matched = maps(service, match="matched", **given)
    assert matched.cohort.params["view"] == view
    scale = float(np.nanmax(np.abs(matched.data()["a"].values)))
    at_checkpoints = matched.data()
    if "epoch" in at_checkpoints:
        own = [int(epoch) in SAVED["a"] for epoch in at_checkpoints["epoch"].values[0].round()]
        at_checkpoints = at_checkpoints.isel(x=[index for index, there in enumerate(own) if there][-1:])
    assert size(at_checkpoints) <= 1e-6 * scale
    assert size(maps(service, match="same k", **given).data()) > 0.1 * scale


def test_the_renaming_is_told_with_how_well_it_fits(service: ComparisonService) -> None:
    one = maps(service, view="attention_maps", match="matched")
    unit, fit, chance = one.data().attrs["matched"]
    assert unit in (f"B's tokens renamed a → {u} a" for u in (pow(UNIT, -1, P), P - pow(UNIT, -1, P)))
    assert fit == "3 of 3 key frequencies coincide"
    assert "random sets" in chance
    assert fit in one.raw()["layout"]["annotations"][-1]["text"].replace("<br>", " · ")
    assert maps(service, view="attention_maps").data().attrs["matched"] == []


def test_time_of_maps_is_aligned_and_interpolated(service: ComparisonService, workspace: Workspace) -> None:
    data = maps(service, view="embedding_history", align="turn_scaled").data()
    grid, norms = data["x"].values, {}
    for variant in ("a", "b"):
        onset = service.views.reader.turn(workspace[variant])["onset"][1]
        stored = workspace[variant].artifact("embedding_fourier")["W_E_norm"].astype("float64")
        places = stored["epoch"].values / onset
        norms[variant] = np.stack(
            [np.interp(grid, places, stored.values[:, column]) for column in range((P - 1) // 2)]
        )
        assert set(np.round(places[places <= grid[-1]], 9)) <= set(np.round(grid, 9))
    np.testing.assert_allclose(data["difference"].values[0], norms["a"] - norms["b"], atol=1e-6)


def test_maps_at_an_epoch_are_those_nearest_in_aligned_time(service: ComparisonService) -> None:
    given = {"view": "attention_maps", "selection": {"variant": "a", "epoch": 2_000}}
    assert maps(service, **given).data().attrs["epochs"] == [2_000, 2_000]
    assert maps(service, align="turn_relative", **given).data().attrs["epochs"] == [2_000, 3_000]
    of_b = {**given, "selection": {"variant": "b", "epoch": 3_600}}
    data = maps(service, align="turn_relative", a="a", b="b", **of_b).data()
    assert data.attrs["epochs"] == [2_400, 3_600]


def test_maps_by_neuron_are_offered_within_a_lineage_only(service: ComparisonService) -> None:
    by_neuron = {"neuron_clusters", "neuron_map", "neuron_history", "neuron_block"}
    assert not by_neuron & set(maps(service, "a", "b").offered["view"])
    related = maps(service, "a", "fork")
    assert by_neuron - {"neuron_block"} <= set(related.offered["view"])
    data = maps(service, "a", "fork", view="neuron_clusters").data()
    assert data.sizes["x"] == 24
    assert size(data) > 0
    notes = [
        maps(service, *pair, view="attention_maps").raw()["layout"]["annotations"][-1]["text"]
        for pair in (("a", "b"), ("a", "fork"))
    ]
    assert ["no common order" in text for text in notes] == [True, False]


def test_maps_of_different_p_are_refused_by_name(service: ComparisonService) -> None:
    with pytest.raises(BadParameter, match=r"a \(p = 23\) and other \(p = 19\)"):
        maps(service, "a", "other", view="embedding_history").data()


def test_runs_without_maps_or_key_frequencies_say_what_is_missing(
    service: ComparisonService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadParameter, match="a and never have no map in common"):
        maps(service, "a", "never").data()
    with pytest.raises(BadParameter, match=r"needs 2 variants"):
        maps(service, "a")
    read = type(service.views.reader).read

    def without(self: Any, variant: Any, name: str, *rest: Any, **more: Any) -> xr.Dataset:
        if name == "key_frequencies":
            raise MissingArtifact(variant.name, name)
        return read(self, variant, name, *rest, **more)

    monkeypatch.setattr(type(service.views.reader), "read", without)
    with pytest.raises(MissingArtifact, match="key_frequencies"):
        maps(service, view="embedding_history", match="matched").data()


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_draws_in_every_look(service: ComparisonService, name: str) -> None:
    for theme, density in itertools.product(("light", "dark"), ("compact", "full")):
        given = {"align": name, "theme": theme, "density": density, "size": (540, 360)}
        drawn = [difference(service, **given), difference(service, view="accuracy", **given)]
        drawn += [maps(service, view=view, match="matched", **given) for view in MAPS[:4]]
        drawn.append(maps(service, "a", "fork", view="neuron_clusters", **given))
        for one in drawn:
            figure = one.raw()
            go.Figure(figure)
            assert len(json.dumps(encode(figure), allow_nan=False)) < 2_000_000
            for letter in "xy":
                axes = [axis for key, axis in figure["layout"].items() if key.startswith(f"{letter}axis")]
                assert any(axis["title"]["text"] for axis in axes), "small multiples name the outer ones"
            bar = figure["layout"].get("coloraxis")
            assert bar is None or bar["cmin"] == -bar["cmax"] < 0


def test_names_of_those_selected_beside_the_two_are_no_exclusions(service: ComparisonService) -> None:
    assert difference(service, *NAMES[:4]).left_out() == []
