"""Imports point one way, and the layers below the dashboard stay free of plotly and dash."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["data", "training", "analyzers", "renderers", "dashboard", "app", "cli"]
FORBIDDEN = {
    "data": {"plotly", "dash"},
    "training": {"plotly", "dash"},
    "analyzers": {"plotly", "dash"},
    "renderers": {"dash"},
}


def imported_modules(path: Path) -> set[str]:
    """Top-level names of every import statement in the file, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def files_of(layer: str) -> list[Path]:
    single = ROOT / f"{layer}.py"
    return [single] if single.exists() else sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_layers_below(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    assert files_of(layer)
    for path in files_of(layer):
        wrong = imported_modules(path) & (above | FORBIDDEN.get(layer, set()))
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}, which lies above {layer}"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("data", {"torch", "plotly", "dash"}),
        ("training.trainer", {"xarray", "zarr", "pandas", "plotly", "dash"}),
        ("analyzers.pipeline", {"plotly", "dash"}),
        ("renderers", {"dash"}),
        ("dashboard.work.launch", {"torch", "plotly", "dash"}),
        ("dashboard.work.perform", {"torch", "plotly", "dash"}),
    ],
)
def test_importing_a_layer_does_not_load_what_it_should_not(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*{heavy!r} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.split() == []
