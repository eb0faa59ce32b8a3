"""Declarations: order, keys, errors; every shipped instrument says what it is and returns what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzers import pipeline
from analyzers.registry import Analyzer, Output, Registry, analyzer, default_registry
from analyzers.service import AnalyzerService
from data import Variant
from data.errors import BadParameter, WorkbenchError

NAMES = [found.name for found in default_registry()]


def instrument(name: str, **declared: Any) -> Analyzer:
    declared = {
        "version": 1,
        "scope": "checkpoint",
        "kind": "weights",
        "title": name,
        "outputs": {"value": Output((), "float64", "Value", "1")},
        "formula": "0",
        "source": "none",
        "protocol": "none",
        **declared,
    }
    return analyzer(name=name, **declared)(lambda features: {"value": 0.0})


def test_each_comes_after_what_it_needs() -> None:
    registry = Registry([instrument("c", needs=("b",)), instrument("a"), instrument("b", needs=("a",))])
    assert [found.name for found in registry.ordered()] == ["a", "b", "c"]
    assert [found.name for found in registry.ordered(["b"])] == ["a", "b"]


def test_circles_unknown_needs_and_doubles_are_refused() -> None:
    with pytest.raises(WorkbenchError, match="a -> b -> a"):
        Registry([instrument("a", needs=("b",)), instrument("b", needs=("a",))])
    with pytest.raises(WorkbenchError, match="a needs 'x'"):
        Registry([instrument("a", needs=("x",))])
    with pytest.raises(WorkbenchError, match="Two analyzers are called 'a'"):
        Registry([instrument("a"), instrument("a")])


def test_an_unknown_name_or_parameter_is_answered_with_what_there_is() -> None:
    registry = default_registry()
    with pytest.raises(BadParameter, match=r"'neurons'; there is: attention_frequencies"):
        registry.get("neurons")
    with pytest.raises(BadParameter, match="no parameter 'level'; it has: threshold"):
        registry.key("neuron_clusters", parameters={"level": 1})
    with pytest.raises(BadParameter, match=r"neuron='x' is not a whole number"):
        registry.key("neuron_map", parameters={"neuron": "x"})
    with pytest.raises(BadParameter, match=r"neuron=1\.5 is not a whole number"):
        registry.key("neuron_map", parameters={"neuron": 1.5})


def test_a_key_changes_with_all_that_may_change_the_numbers() -> None:
    base = instrument("base")
    user = instrument("user", needs=("base",), parameters={"level": 0.5})
    registry = Registry([base, user])
    keys = {
        registry.key("user"),
        registry.key("base"),
        registry.key("user", "other"),
        registry.key("user", parameters={"level": 0.6}),
        Registry([base, replace(user, version=2)]).key("user"),
        Registry([replace(base, version=2), user]).key("user"),
    }
    assert len(keys) == 6
    assert registry.key("user") == registry.key("user", parameters={"level": np.float64(0.5)})
    assert registry.key("user") == Registry([user, base]).key("user")


def test_keys_are_the_same_on_every_machine() -> None:
    """Stored artifacts are found by these keys: a change here makes all of them stale."""
    assert default_registry().key("neuron_map", parameters={"neuron": 3}) == "9abb4a717fbd9a4c"


@pytest.mark.parametrize("name", NAMES)
def test_every_instrument_is_documented(name: str) -> None:
    found = default_registry().get(name)
    for text in (found.title, found.formula, found.source, found.protocol):
        assert len(text) > 5
    for section in ("Formula:", "Units:", "Source:", "Limits:"):
        assert section in found.doc, section
    assert "Shape" in found.doc
    for output in found.outputs.values():
        assert output.long_name
        assert output.units


P, NEURONS, HEADS, CHECKPOINTS = 13, 24, 2, 4
_DIMENSIONS = (  # (length, the dimensions of all instruments that have it on a variant of that size)
    (P, "a b class error residue token row column"),
    (P * (P + 1) // 2, "token_pair"),
    (P // 2, "freq"),
    (P // 2 + 1, "freq_a freq_b"),
    (NEURONS, "neuron"),
    (HEADS, "head"),
    (CHECKPOINTS, "epoch other_epoch"),
    (4 + 4 * HEADS, "matrix"),
    (1, "mode"),
    (2, "ablation candidates centring convention edge gradient harmonics logit member owner passage per"),
    (2, "position reference target terms"),
    (3, "band level null plane precision protocol rule share source split stage step_size wave_a wave_b"),
    (4, "boundary chain event moment part predictor site"),
    (5, "lag radius"),
    (6, "statistic"),
    (7, "quantile spectrum"),
    (9, "tensor"),
    (10, "signal"),
    (13, "crossing group"),
    (16, "component"),
    (19, "measure"),
    (50, "draw"),
    (60, "replicate"),
)
LENGTHS = {name: length for length, names in _DIMENSIONS for name in names.split()}
OWN_LENGTHS = {
    ("parameter_pca", "component"): 10,
    ("representations", "component"): 4,
    ("neuron_structure", "component"): 3,
    ("ellipticity", "matrix"): 3,
    ("gauge_invariants", "matrix"): 4,
    ("gini", "matrix"): 2,
    ("graduation", "split"): 2,
    ("head_specialisation", "event"): 2,
    ("multi_scale_null", "level"): 5,
    ("multi_scale_null", "metric"): 4,
    ("representations", "site"): 5,
    ("run_summary", "metric"): 178,
}
NAMED = {("neuron_structure", "component"): ["linear", "sum", "difference"]}


def test_every_instrument_returns_what_it_declares(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant(p=P)
    stored = [found.name for found in default_registry() if found.stored]  # the slow ones too
    assert pipeline.analyze(variant, stored).failures == []
    service = AnalyzerService()
    for found in default_registry():
        if found.stored:
            dataset = service.read(variant, found.name)
        else:
            dataset = service.on_demand(variant, 10, found.name)
        assert set(dataset.data_vars) == set(found.outputs)
        epoch = ("epoch",) if found.stored and found.scope == "checkpoint" else ()
        for name, output in found.outputs.items():
            values = dataset[name]
            assert values.dims == epoch + output.dims, name
            assert values.dtype == output.dtype, name
            assert values.attrs == {"long_name": output.long_name, "units": output.units}
            for dim in values.dims:
                expected = OWN_LENGTHS.get((found.name, str(dim))) or LENGTHS[str(dim)]
                assert values.sizes[dim] == expected, (found.name, name, dim)
                assert dim in dataset.coords
        for dim, first in {"freq": 1, "component": 1, "neuron": 0, "head": 0, "a": 0, "b": 0}.items():
            if (found.name, dim) in NAMED:
                assert dataset[dim].values.tolist() == NAMED[found.name, dim]
            elif dim in dataset.coords:
                assert dataset[dim].values[0] == first
                assert dataset[dim].dtype == np.int64
        if "source" in dataset.coords:
            assert dataset["source"].values.tolist() == ["a", "b", "="]
        for key in ("formula", "source", "protocol", "analyzer", "version", "key"):
            assert dataset.attrs[key]
