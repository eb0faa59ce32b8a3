"""Storage: workspaces, variants, checkpoints, artifacts and the catalog that indexes them."""

from data.variant import Checkpoint, Variant, VariantRecord
from data.workspace import Workspace

__all__ = ["Checkpoint", "Variant", "VariantRecord", "Workspace"]
