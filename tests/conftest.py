"""Fixtures that several packages' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import SHIPPED, plant

from analyzers.pipeline import analyze
from data import Workspace

QUICK = (
    "attention_frequencies",
    "embedding_fourier",
    "key_frequencies",
    "logits_summary",
    "neuron_clusters",
    "neuron_frequencies",
    "parameter_pca",
    "singular_values",
    "turn",
)


@pytest.fixture(scope="session")
def shipped_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped samples as a first start has them, one of the runs analysed by the quick instruments."""
    workspace = Workspace(tmp_path_factory.mktemp("shipped") / "workspace", create=True)
    workspace.add_samples()
    assert analyze(workspace[SHIPPED], QUICK).failures == []
    return workspace.path


@pytest.fixture(scope="session")
def samples_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three variants: the first two analysed, the third not. Tests may analyse the third."""
    workspace = plant(tmp_path_factory.mktemp("workspace") / "planted")
    for variant in workspace.variants()[:2]:
        assert analyze(variant).failures == []
    return workspace.path
