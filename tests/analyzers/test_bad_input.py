"""Every instrument of the registry, present and future, on input that is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_model import CONFIG, random_weights

from analyzers.pipeline import Failure, analyze
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Variant, VariantRecord, Workspace
from data.errors import BadParameter
from training.families import modular_addition

REGISTRY = default_registry()
STORED = [found.name for found in REGISTRY if found.stored and found.standard]
PER_EPOCH = [name for name in STORED if REGISTRY.get(name).scope == "checkpoint"]
WHOLE_RUN = [name for name in STORED if REGISTRY.get(name).scope == "trajectory"]
FOURIER = [found.name for found in REGISTRY if "modular_arithmetic" in found.requires]


@dataclass(frozen=True)
class Analysed:
    variant: Variant
    failures: list[Failure]

    def of(self, name: str) -> list[str]:
        return [str(failure) for failure in self.failures if failure.analyzer == name]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Variant]:
    def made(epochs: int = 3, p: int = 11, **params: object) -> Variant:
        workspace = Workspace(tmp_path_factory.mktemp("bad") / "workspace", create=True)
        record = modular_addition.record(modular_addition.Params(p=p, seed=1, **params), CONFIG)  # type: ignore[arg-type]
        variant = workspace.create_variant(record)
        for index in range(epochs):
            variant.save_checkpoint(50 * index, random_weights(p, seed=index))
        t = np.arange(0, 201, 10)
        losses = {"train_loss": 2.0 - t / 200, "test_loss": 2.5 - t / 200}
        variant.save_history({"epoch": t, **losses})
        return variant

    return made


def broken(variant: Variant, epoch: int, weight: str) -> None:
    """Put one NaN into a weight of a checkpoint."""
    weights = variant.at(epoch).weights
    weights[weight].view(-1)[3] = float("nan")
    variant.save_checkpoint(epoch, weights)


@pytest.fixture(scope="module")
def sound(make: Callable[..., Variant]) -> Analysed:
    variant = make(frac_train=0.4)
    return Analysed(variant, analyze(variant).failures)


@pytest.fixture(scope="module", params=["embed.W_E", "blocks.0.attn.W_K", "unembed.W_U"])
def with_nan(request: pytest.FixtureRequest, make: Callable[..., Variant]) -> Analysed:
    """The sound variant, with a NaN in the checkpoint in the middle."""
    variant = make(frac_train=0.4)
    broken(variant, 50, request.param)
    return Analysed(variant, analyze(variant).failures)


@pytest.fixture(scope="module")
def ends_in_nan(make: Callable[..., Variant]) -> Analysed:
    """The last checkpoint, which decides the key frequencies, is not a number anywhere."""
    variant = make(frac_train=0.4)
    variant.save_checkpoint(100, {name: tensor * float("nan") for name, tensor in random_weights(11).items()})
    return Analysed(variant, analyze(variant).failures)


@pytest.fixture(scope="module")
def without_split(make: Callable[..., Variant]) -> Analysed:
    variant = make(split="unknown")
    return Analysed(variant, analyze(variant).failures)


@pytest.fixture(scope="module")
def of_two(make: Callable[..., Variant]) -> Analysed:
    variant = make(p=2, frac_train=0.5)
    return Analysed(variant, analyze(variant).failures)


@pytest.mark.parametrize("name", STORED)
def test_a_sound_run_has_no_failures(sound: Analysed, name: str) -> None:
    assert sound.of(name) == []


@pytest.mark.parametrize("name", PER_EPOCH)
def test_a_nan_stays_in_its_own_epoch(sound: Analysed, with_nan: Analysed, name: str) -> None:
    assert with_nan.of(name) == []
    service = AnalyzerService()
    found = service.read(with_nan.variant, name)
    assert found["epoch"].values.tolist() == service.read(sound.variant, name)["epoch"].values.tolist()
    for epoch in (0, 100):
        expected = service.read(sound.variant, name).sel(epoch=epoch)
        for output in found.data_vars:
            np.testing.assert_array_equal(
                found[output].sel(epoch=epoch), expected[output], err_msg=str(output)
            )


def test_a_nan_is_seen_in_what_depends_on_it(with_nan: Analysed) -> None:
    middle = AnalyzerService().read(with_nan.variant, "logits_summary").sel(epoch=50)
    assert np.isnan(middle["loss"]).any()


@pytest.mark.parametrize("name", WHOLE_RUN)
def test_whole_runs_go_on_with_a_nan(with_nan: Analysed, name: str) -> None:
    assert with_nan.of(name) == []
    assert AnalyzerService().read(with_nan.variant, name).attrs["stale"] == ""


@pytest.mark.parametrize("name", STORED)
def test_a_run_that_ends_in_nan_is_analysed_all_the_same(ends_in_nan: Analysed, name: str) -> None:
    assert ends_in_nan.of(name) == []
    found = AnalyzerService().read(ends_in_nan.variant, name)
    if name in PER_EPOCH:
        last = found.sel(epoch=100)
        real = [values for values in last.data_vars.values() if values.dtype.kind == "f"]
        assert not real or any(not np.isfinite(values).all() for values in real) or name == "key_frequencies"


@pytest.mark.parametrize("name", STORED)
def test_without_a_split_what_depends_on_it_is_nan(without_split: Analysed, name: str) -> None:
    assert without_split.of(name) == []
    found = AnalyzerService().read(without_split.variant, name)
    for output, values in found.data_vars.items():
        if "split" in values.dims and values.dtype.kind == "f":
            assert np.isnan(values.sel(split=["train", "test"])).all(), output


@pytest.mark.parametrize("share", [0, 1])
def test_trained_on_everything_has_no_test_set(make: Callable[..., Variant], share: int) -> None:
    workspace = make().workspace
    record = modular_addition.record(modular_addition.Params(p=11, seed=2), CONFIG)
    params = {**record.params, "frac_train": share}
    variant = workspace.create_variant(VariantRecord(record.family, "whole", params, record.config))
    variant.save_checkpoint(0, random_weights(11))
    assert analyze(variant, ["logits_summary"]).failures == []
    loss = AnalyzerService().read(variant, "logits_summary")["loss"].sel(epoch=0)
    there, absent = ("train", "test") if share else ("test", "train")
    assert loss.sel(split=there) == loss.sel(split="all")
    assert np.isnan(loss.sel(split=absent))


@pytest.mark.parametrize("name", STORED)
def test_two_tokens_have_no_frequencies(of_two: Analysed, name: str) -> None:
    """Fourier measures say so; what needs no frequencies goes on."""
    for failure in of_two.of(name):
        assert "p=2 has no basis" in failure or "which failed" in failure or "is missing" in failure, failure


def test_two_tokens_are_analysed_as_far_as_they_go(of_two: Analysed) -> None:
    failed = {failure.analyzer for failure in of_two.failures}
    assert {"embedding_fourier", "neuron_frequencies", "key_frequencies"} <= failed
    for name in ("logits_summary", "singular_values", "parameter_pca", "turn"):
        assert of_two.of(name) == []
    for name in ("embedding_fourier", "neuron_frequencies"):
        with pytest.raises(BadParameter, match="p=2 has no basis"):
            AnalyzerService().on_demand(of_two.variant, 0, name)


@pytest.fixture
def of_another_family(tmp_path: Path) -> Variant:
    workspace = Workspace(tmp_path / "workspace", create=True)
    variant = workspace.create_variant(VariantRecord("copying", "copying-s1", {"seed": 1}, {}))
    for epoch in (0, 10, 20):
        variant.save_checkpoint(epoch, random_weights(11, seed=epoch))
    return variant


@pytest.mark.parametrize("name", FOURIER)
def test_a_family_without_a_fourier_basis_is_told_so(of_another_family: Variant, name: str) -> None:
    with pytest.raises(BadParameter, match=r"does not apply to the family 'copying'|is computed whenever"):
        analyze(of_another_family, [name])
    if REGISTRY.get(name).scope == "checkpoint":
        with pytest.raises(BadParameter, match="does not apply to the family 'copying'"):
            AnalyzerService().on_demand(of_another_family, 0, name)


def test_another_family_has_what_applies_to_it(of_another_family: Variant) -> None:
    report = analyze(of_another_family)
    assert report.failures == []
    assert {"parameter_pca", "turn"} <= set(report.computed)
    assert not set(report.computed) & set(FOURIER)
