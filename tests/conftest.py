"""Fixtures that several packages' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import plant

from analyzers.pipeline import analyze


@pytest.fixture(scope="session")
def samples_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three variants: the first two analysed, the third not. Tests may analyse the third."""
    workspace = plant(tmp_path_factory.mktemp("workspace") / "planted")
    for variant in workspace.variants()[:2]:
        assert analyze(variant).failures == []
    return workspace.path
