"""Sweeps: from a grid or a file to trained variants, over a process pool and over a Dask cluster."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest

from data import Workspace
from data.errors import BadParameter
from training import run as run_module
from training.families import modular_addition as family
from training.run import train_variant
from training.sweeps import batches_of, dask_executor, expand_grid, read_sweep, run_sweep, sweep_jobs

SMALL = {"d_model": 8, "n_heads": 1, "d_head": 4, "d_mlp": 8}


class Here(Executor):
    """Runs everything at once, in this process."""

    def submit(self, call, /, *arguments, **options):
        future = Future()
        try:
            future.set_result(call(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


def jobs(epochs=6, **grid):
    return sweep_jobs(family.NAME, expand_grid({**SMALL, "p": [7], **grid}), epochs)


def test_a_grid_is_all_combinations():
    grid = expand_grid({"p": [7, 11], "seed": range(2), "lr": 1e-3})
    assert grid == [{"p": p, "seed": s, "lr": 1e-3} for p in (7, 11) for s in (0, 1)]
    with pytest.raises(BadParameter, match="no value for seed"):
        expand_grid({"p": [7], "seed": []})
    with pytest.raises(BadParameter, match="1000000 variants"):
        expand_grid({"a": range(1000), "b": range(1000)})


def test_a_file(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "epochs: 50\ncommon: {lr: 0.002}\ngrid: {p: [7, 11], seed: [0, 1]}\n"
        "variants: [{p: 13, seed: 5, lr: 0.1}]"
    )
    variants, options = read_sweep(path)
    assert options == {"epochs": 50}
    assert len(variants) == 5
    assert variants[0] == {"lr": 0.002, "p": 7, "seed": 0}
    assert variants[-1] == {"lr": 0.1, "p": 13, "seed": 5}
    for text in ("[1, 2]", "epochs: 3", "grid: [1]", "variants: [3]", "a: [", "variants: 7"):
        path.write_text(text)
        with pytest.raises(BadParameter, match=r"sweep\.yaml"):
            read_sweep(path)
    with pytest.raises(BadParameter, match="cannot be read"):
        read_sweep(tmp_path / "missing.yaml")


def test_the_same_variant_twice_and_no_variant():
    with pytest.raises(BadParameter, match=r"names the variant p7-s1-.* twice"):
        jobs(seed=[0, 1, 1])
    with pytest.raises(BadParameter, match=r"names the variant .* twice"):
        jobs(seed=[0], lr=[1e-3, 0.001])
    with pytest.raises(BadParameter, match="no variants"):
        sweep_jobs(family.NAME, [])
    with pytest.raises(BadParameter, match="p=12 is not prime"):
        jobs(p=[7, 12], seed=[0])


def test_batches_have_one_shape_and_a_limit():
    batches = batches_of(jobs(p=[7, 11], seed=range(5), frac_train=[0.3, 0.5]), max_batch=3)
    assert sorted(len(batch) for batch in batches) == [2, 2, 2, 2, 3, 3, 3, 3]
    for batch in batches:
        assert len({(job.record.params["p"], job.record.params["frac_train"]) for job in batch}) == 1


def test_a_sweep_over_processes_does_what_is_missing(workspace):
    first = train_variant(workspace, family.NAME, {"p": 7, "seed": 0}, SMALL, 6, device="cpu")
    train_variant(workspace, family.NAME, {"p": 7, "seed": 1}, SMALL, 3, device="cpu")  # partial
    token, calls = first.token(), []
    wanted = jobs(p=[7, 11], seed=[0, 1])
    report = run_sweep(workspace, wanted, device="cpu", workers=2, on_batch=lambda *a: calls.append(a))
    assert report.failed == {}
    assert report.complete == (first.name,)
    assert len(report.trained) == 3
    assert [count for count, _, _ in calls] == list(range(1, len(calls) + 1))
    assert all(variant.history.sizes["epoch"] == 7 for variant in workspace.variants())
    assert workspace[first.name].token() == token
    again = run_sweep(workspace, wanted, device="cpu", executor=Here())
    assert again.trained == ()
    assert len(again.complete) == 4


def test_failures_are_listed_with_their_causes(workspace, monkeypatch):
    original = run_module.make_engine

    def broken(found, many, *rest):
        if many[0][0].p == 11:
            raise ZeroDivisionError("no luck")
        return original(found, many, *rest)

    monkeypatch.setattr(run_module, "make_engine", broken)
    wanted = jobs(p=[7, 11, 13], seed=[0, 1])
    report = run_sweep(workspace, wanted, device="cpu", executor=Here())
    assert len(report.trained) == 4
    assert sorted(report.failed) == sorted(j.record.name for j in wanted if j.record.params["p"] == 11)
    assert set(report.failed.values()) == {"ZeroDivisionError: no luck"}
    monkeypatch.undo()
    again = run_sweep(workspace, wanted, device="cpu", executor=Here())
    assert len(again.trained) == 2
    assert len(again.complete) == 4


def test_a_name_that_is_taken_by_another_variant(workspace):
    (job,) = jobs(seed=[0])
    workspace.create_variant(replace(job.record, config={**job.record.config, "eps": 1e-3}))
    with pytest.raises(BadParameter, match="with other settings"):
        run_sweep(workspace, [job], device="cpu", executor=Here())


def test_a_sweep_over_a_dask_cluster(workspace):
    """A real scheduler and two worker processes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        dask_executor(cluster.scheduler_address) as executor,
    ):
        report = run_sweep(workspace, jobs(p=[7, 11], seed=[0, 1]), executor=executor, device="cpu")
    assert report.failed == {}
    assert len(report.trained) == 4
    assert all(variant.history.sizes["epoch"] == 7 for variant in workspace.variants())


def test_a_dask_address_where_nobody_answers():
    pytest.importorskip("distributed")
    nobody = dask_executor("tcp://127.0.0.1:9", timeout=1)
    with pytest.raises(BadParameter, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"), nobody:
        pass
