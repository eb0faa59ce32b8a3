"""The examples of CONTRIBUTING.md work as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from analyzers import pipeline
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Workspace
from renderers.catalog import Catalog, catalog
from renderers.service import ViewService
from training.families.modular_addition import Params, TrainingConfig, init_weights, record

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"


def test_the_example_instrument_and_view_work(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    params, config = Params(p=11, seed=0), TrainingConfig(d_mlp=16)
    variant = Workspace(tmp_path, create=True).create_variant(record(params, config))
    variant.save_checkpoint(0, init_weights(params, config))
    variant.save_checkpoint(5, {name: w * 2 for name, w in init_weights(params, config).items()})

    registry = default_registry().extended(names["neuron_entropy"])
    report = pipeline.analyze(variant, ["neuron_entropy"], registry=registry)
    assert not report.failures
    views = ViewService(AnalyzerService(registry), Catalog([*catalog(), names["NEURON_ENTROPY"]]))
    bound = views.open(variant, "neuron_entropy")

    entropy = bound.data()["entropy"].values
    frequencies = AnalyzerService(registry).read(variant, "neuron_frequencies")
    share = frequencies["variance"].values[0].astype(float)
    share /= share.sum()
    assert entropy[0] == np.float32(-np.sum(share[share > 0] * np.log(share[share > 0])))
    assert isinstance(bound.figure(), go.Figure)
    assert len(PAGE.read_text().splitlines()) < 120, "CONTRIBUTING.md is one page"
