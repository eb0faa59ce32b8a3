"""Statistics over variants as drawn: every run can be clicked, nobody is dropped silently, findings are
said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from analyzers.comparison.correlation import spearman
from analyzers.pipeline import analyze
from data import Workspace
from data.errors import BadParameter
from data.variant import VariantRecord
from renderers.catalog import Figure
from renderers.comparison.catalog import ComparisonCatalog
from renderers.comparison.oddities import _values
from renderers.comparison.sample import Metric
from renderers.comparison.service import BoundComparison, ComparisonService
from renderers.comparison.views import (
    anomalies,
    distributions,
    effects,
    families,
    scatter,
    survival,
    variance,
)
from renderers.payload import payload

MODULES = (survival, distributions, scatter, effects, variance, families, anomalies)
CATALOG = ComparisonCatalog(one for module in MODULES for one in module.COMPARISONS)
NAMES = [one.name for one in CATALOG]
CONFIG = {"lr": 1e-3, "weight_decay": 1.0}
LAST, TURNS = 10_000, {97: 6000, 103: 5000, 109: 4000, 127: 3000}
ODD, NEVER, YOUNG, BARE = "p109-s2-d598", "p97-s3-d598", "p127-s4-d598", "p103-s4-d598"
TWINS, FORK = [f"p97-s0-d598-r{number}" for number in (1, 2, 3)], "p97-s0-d598-fork"


def history(
    rng: np.random.Generator, turn: float, last: int = LAST, floor: float = 1e-6
) -> dict[str, np.ndarray]:
    """Memorised at once, and the test loss falls from 20 to the floor around the turn (inf: it never
    does).
    """
    epoch = np.arange(0, last + 1, 20)
    noise = 10 ** rng.normal(0, 0.01, (2, len(epoch)))
    fallen = 1 / (1 + np.exp(-np.clip((epoch - turn) / 120, -50, 50)))
    test = 20 * (floor / 20) ** fallen * noise[0]
    return {
        "epoch": epoch,
        "train_loss": np.maximum(5 * np.exp(-epoch / 40), 1e-6) * noise[1],
        "test_loss": test,
    }


def plant(workspace: Workspace) -> None:
    """Five seeds of each of four primes: one odd, one that never turns, one unfinished, one not analysed;
    three replicates and a fork of the first."""
    rng = np.random.default_rng(0)

    def add(
        name: str, p: int, seed: int, turn: float, change: dict[str, Any] | None = None, **more: Any
    ) -> None:
        params = {"p": p, "seed": seed, "data_seed": 598, "frac_train": 0.3, "operation": "add"}
        parent = None
        if change is not None:
            parent = {"name": "p97-s0-d598", "identity": "0" * 64, "epoch": 0, "change": change}
        plan = {"plan": {"epochs": LAST}}
        variant = workspace.create_variant(
            VariantRecord("modular_addition", name, params, CONFIG, parent, plan)
        )
        variant.save_history(history(rng, turn, **more))
        if name != BARE:
            analyze(variant, ("turn", "run_summary"))

    for p, turn in TURNS.items():
        for seed in range(5):
            name = f"p{p}-s{seed}-d598"
            more: dict[str, Any] = {"floor": 0.02} if name == ODD else {"last": 2400} if name == YOUNG else {}
            at = {ODD: 8000.0, NEVER: np.inf}.get(name, turn + rng.normal(0, 300))
            add(name, p, seed, at, **more)
    for number, name in enumerate(TWINS):
        add(name, 97, 0, 6000 + 100 * number, {"perturb": 1e-6, "perturb_seed": number})
    add(FORK, 97, 0, 9000.0, {"lr": 3e-4})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> ComparisonService:
    workspace = Workspace(tmp_path_factory.mktemp("statistics") / "workspace", create=True)
    plant(workspace)
    workspace.catalog.refresh()
    return ComparisonService(workspace, catalog=CATALOG)


def bound(
    service: ComparisonService, name: str, only: list[str] | None = None, **given: Any
) -> BoundComparison:
    setting = {key: given.pop(key) for key in ("theme", "density", "size") if key in given}
    names = only or service._workspace.names()
    selection = {"variant": given.pop("select", "p97-s0-d598")}
    cohort = service.cohort(names, selection, colour_by=given.pop("colour_by", "variant"))
    return service.open(name, cohort, **setting, **given)


def clicked(figure: Figure) -> Iterator[dict[str, Any]]:
    """What a click on every mark of a run sets."""
    for trace in figure["data"]:
        custom = trace.get("customdata")
        if custom is None or not (trace.get("meta") or {}).get("payload"):
            continue
        for row in custom if trace["type"] != "heatmap" else [cell for line in custom for cell in line]:
            yield payload(trace, {"customdata": row})


def texts(figure: Figure) -> list[str]:
    return [note["text"] for note in figure["layout"]["annotations"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_drawing_is_a_figure_whose_marks_are_runs(name: str, service: ComparisonService) -> None:
    known = set(service._workspace.names())
    sizes: list[tuple[Any, tuple[int, int]]] = [("full", (1100, 420)), ("compact", (540, 360))]
    for density, size in sizes:
        for theme in ("light", "dark"):
            figure = bound(service, name, density=density, size=size, theme=theme, colour_by="p").raw()
            go.Figure(figure)
            marks = list(clicked(figure))
            assert all(mark["variant"] in known for mark in marks)
            assert len({mark["variant"] for mark in marks}) > 8 or CATALOG.get(name).marks == ()
            assert all(
                axis["title"]["text"] or not axis.get("showgrid", True) or name == "variance_shares"
                for axis in (figure["layout"]["xaxis"], figure["layout"]["yaxis"])
            )


@pytest.mark.parametrize("name", NAMES)
def test_who_cannot_take_part_is_named_with_the_reason(name: str, service: ComparisonService) -> None:
    found = bound(service, name)
    left = dict(found.left_out())
    assert BARE in left
    assert left[BARE]
    assert any(" left out" in text for text in texts(found.raw()))


@pytest.mark.parametrize("name", ["distributions", "scatter", "level_effects", "variance_shares", "families"])
def test_an_axis_says_what_the_metric_is(name: str, service: ComparisonService) -> None:
    signs = [note for note in bound(service, name).raw()["layout"]["annotations"] if note["text"] == "?"]
    assert any("fallen" in sign["hovertext"] for sign in signs)  # of "turn, completion"


# --- survival --------------------------------------------------------------------------------------------


def test_runs_that_never_turned_or_still_train_are_censored(service: ComparisonService) -> None:
    found = bound(service, "survival", by="p")
    data = found.data()
    runs = data.to_dataframe().reset_index().drop_duplicates("variant").set_index("variant")
    assert np.isnan(runs.upper[NEVER])
    assert runs["last"][NEVER] == LAST
    assert np.isnan(runs.upper[YOUNG])
    assert runs["last"][YOUNG] == 2400
    assert data["events"].sel(group="97").item() == 4
    assert data["runs"].sel(group="97").item() == 5
    assert data["waiting"].sel(group="97").values[-1] == pytest.approx(0.2)
    assert data["median"].values[0] > data["median"].values[2]
    assert data.attrs["p_permutation"] < 0.05
    left = dict(found.left_out())
    assert "replicate of p97-s0-d598" in left[TWINS[0]]
    assert "fork" in left[FORK]


def test_all_runs_can_be_counted(service: ComparisonService) -> None:
    data = bound(service, "survival", by="all runs", runs="all").data()
    assert data["runs"].item() == 23
    assert "chi2" not in data.attrs
    assert bound(service, "survival", by="kind", runs="all").data()["group"].values.tolist() == [
        "fork",
        "replicate",
        "root",
    ]


def test_a_level_of_the_test_loss_is_an_event(service: ComparisonService) -> None:
    data = bound(service, "survival", event="test loss of 0.01 nats or less", by="all runs").data()
    upper = dict(zip(data["variant"].values.tolist(), data["upper"].values, strict=True))
    assert BARE in upper  # the losses say it, no analysis is needed
    assert np.isnan(upper[ODD])  # it ends at 0.02
    losses = service._workspace["p97-s0-d598"].history
    below = losses["epoch"].values[losses["test_loss"].values <= 0.01]
    assert upper["p97-s0-d598"] == below[0]


def test_a_run_lies_on_the_curve_of_its_group_where_it_was_last_waiting(service: ComparisonService) -> None:
    found = bound(service, "survival", by="p")
    trace = next(
        one
        for one in found.raw()["data"]
        if one["name"] == "runs" and any(row[0] == NEVER for row in one["customdata"])
    )
    place = [row[0] for row in trace["customdata"]].index(NEVER)
    assert (trace["x"][place], trace["y"][place]) == (LAST, pytest.approx(20))
    assert trace["marker"]["symbol"][place] == "line-ns-open"
    assert "had not happened by 10,000" in trace["customdata"][place][1]


# --- distributions and scatter ---------------------------------------------------------------------------


def test_quartiles_are_drawn_where_there_are_enough_runs(service: ComparisonService) -> None:
    found = bound(service, "distributions", metric="turn, completion", by="p")
    data = found.data()
    assert dict(zip(data["group"].values.tolist(), data["runs"].values.tolist(), strict=True)) == {
        "97": 4,
        "103": 4,
        "109": 5,
        "127": 4,
    }
    assert data["without"].values.tolist() == [1, 1, 0, 1]
    drawn = [trace["name"] for trace in found.raw()["data"]]
    assert drawn.count("middle half") == 1
    assert drawn.count("runs") == 4
    assert (
        bound(service, "distributions", metric="turn, completion", runs="all").data().sizes["variant"] == 21
    )


def test_the_scatter_states_both_correlations(service: ComparisonService) -> None:
    found = bound(service, "scatter", x="turn, completion", y="turn, onset", within="p", runs="roots")
    data = found.data()
    assert data.attrs["pooled_rho"] == pytest.approx(spearman(data["x"].values, data["y"].values).rho)
    assert data.attrs["within_groups"] == 4
    assert data.attrs["pooled_runs"] == 17
    left = dict(found.left_out())
    assert left[NEVER] == "has no turn, completion and no turn, onset"
    said = " ".join(texts(found.raw()))
    assert "Spearman ρ" in said
    assert "within p" in said


# --- effects, shares, families ---------------------------------------------------------------------------


def test_primes_differ_and_seeds_do_not(service: ComparisonService) -> None:
    only = [name for name in service._workspace.names() if name not in (ODD, *TWINS, FORK)]
    primes = bound(service, "level_effects", only, metric="turn, completion", factor="p").data()
    assert primes["level"].values.tolist() == ["97", "103", "109", "127"]
    assert primes["adjusted_p"].sel(level="97").item() < 0.05
    assert primes["difference"].values[0] > 1000
    seeds = bound(service, "level_effects", only, metric="turn, completion", factor="seed").data()
    assert seeds.attrs["p"] > 0.05
    shares = bound(service, "variance_shares", only, metric="turn, completion").data()
    assert shares["source"].values.tolist()[-1] == "rest"
    assert float(shares["share"].sum()) == pytest.approx(1)
    assert shares["share"].sel(source="p").item() > 0.7


def test_replicates_are_set_beside_seeds_and_a_fork_beside_replicates(service: ComparisonService) -> None:
    found = bound(service, "families", metric="turn, completion")
    data = found.data()
    own = data["group"].values == "of p97-s0-d598"
    assert sorted(data["variant"].values[own]) == sorted(["p97-s0-d598", *TWINS, FORK])
    assert data.attrs["df_replicates"] == 3
    assert data.attrs["df_seeds"] == 3 + 3 + 4 + 3
    assert data.attrs["ratio_lower"] < data.attrs["ratio"] < data.attrs["ratio_upper"]
    fork = data.isel(row=int(np.flatnonzero(data["kind"].values == "fork")[0]))
    assert float(fork["p"]) < 0.01
    assert fork["change"].item() == "lr:0.0003"
    assert "outside what replicates give" in json.dumps(
        [trace.get("customdata") for trace in found.raw()["data"] if trace["name"] == "runs"]
    )


# --- anomalies -------------------------------------------------------------------------------------------


def test_the_odd_run_comes_first_with_reasons_in_words(service: ComparisonService) -> None:
    found = bound(service, "anomalies")
    data = found.data()
    order = data["variant"].values.tolist()
    assert set(order[:2]) == {ODD, NEVER}
    assert (np.diff(data["score"].values) <= 1e-9).all()
    why = json.loads(data.attrs["long"])[ODD]
    assert any("others" in one and "z = " in one and "from the top" in one for one in why)
    never = json.loads(data.attrs["long"])[NEVER]
    assert any(one.startswith(f"turn, onset: after epoch {LAST:,} (others ") for one in never)
    assert data["flagged"].values.tolist() == [True, True] + [False] * (len(order) - 2)
    left = dict(found.left_out())
    assert left[YOUNG] == "has been trained for 2,400 of 10,000 epochs"
    assert "analyse" in left[BARE]
    assert FORK not in order
    everyone = bound(service, "anomalies", which="all").data()["variant"].values.tolist()
    assert FORK in everyone


def test_an_event_that_did_not_happen_counts_as_later(service: ComparisonService) -> None:
    data = bound(service, "anomalies").data()
    events = data.sel(metric=["turn, onset", "turn, completion"], variant=NEVER)
    assert (events["value"] == LAST).all()
    assert (events["z"] > 0).all()


def test_what_lies_at_the_end_of_the_training_is_no_time() -> None:
    """Converged at the last epoch: that says how long a run was trained, and would make longer runs odd."""
    name = "Gini of W_E, converged"
    frame = pd.DataFrame({name: [900.0, 1000.0, 2000.0, 1000.0]}, index=list("abcd"))
    trained = pd.DataFrame({"trained_epochs": [1000, 1000, 2000, 2000]}, index=frame.index)
    cohort: Any = SimpleNamespace(parameters=lambda: trained)
    values, later = _values(cohort, frame, list("abcd"), {name: Metric(name, "epoch")})
    assert values[name] == pytest.approx([900, np.nan, np.nan, 1000], nan_ok=True)
    assert not later[name].any()


def test_the_map_shows_where(service: ComparisonService) -> None:
    figure = bound(service, "anomaly_map", size=(1100, 420)).raw()
    (trace,) = figure["data"]
    assert trace["z"].shape == (len(trace["y"]), len(trace["x"]))
    assert {trace["customdata"][row][0][0] for row in (0, 1)} == {ODD, NEVER}
    assert np.nanmax(np.abs(trace["z"][0])) > np.nanmax(np.abs(trace["z"][-1]))


# --- what cannot be drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "only", "says"),
    [
        ("anomalies", ["p97-s0-d598", "p97-s1-d598"], "needs 8 variants"),
        ("anomalies", [*TWINS, FORK, *(f"p97-s{seed}-d598" for seed in range(4))], "4 of the .* from 8 on"),
        ("distributions", [BARE], "No metric differs between the 1 selected"),
        ("scatter", [BARE, NEVER], "No metric differs between the 2 selected"),
        ("level_effects", [*TWINS, FORK], "0 of the selected runs are roots"),
        ("variance_shares", [*TWINS, "p97-s0-d598"], "1 of the selected runs are roots"),
    ],
)
def test_a_wrong_cohort_is_refused_in_words(
    name: str, only: list[str], says: str, service: ComparisonService
) -> None:
    with pytest.raises(BadParameter, match=says):
        bound(service, name, only).raw()


def test_a_factor_of_one_value_gives_way_to_one_that_varies(service: ComparisonService) -> None:
    same_p = [f"p97-s{seed}-d598" for seed in (0, 1, 2, 4)]
    found = bound(service, "level_effects", same_p, factor="p")
    assert found.cohort.params["factor"] == "seed"
    assert "no run is left to judge by" in " ".join(texts(found.raw()))
