"""Storage: workspaces, variants, checkpoints, artifacts and the catalog that indexes them.

The names below are loaded when they are first used, so that code which needs only `data.errors` (the training
loop on a bare machine, say) does not load xarray and Zarr.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.variant import Checkpoint, Variant, VariantRecord
    from data.workspace import Workspace

__all__ = ["Checkpoint", "Variant", "VariantRecord", "Workspace"]

_HOMES = {
    "Checkpoint": "data.variant",
    "Variant": "data.variant",
    "VariantRecord": "data.variant",
    "Workspace": "data.workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
