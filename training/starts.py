"""What a fork keeps of its beginning, in one file of its folder, so that it does not depend on its parent.

The training state at the fork epoch (``weights``, ``exp_avg``, ``exp_avg_sq``) and, if it has one, the matrix
of its intervention. Optimizer states come and go while training; this file stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from data.errors import CorruptFile
from data.files import replacing

if TYPE_CHECKING:
    from data import Variant

START_FILE = "start.safetensors"
INTERVENTION = "intervention"


def save_start(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the file into the variant's folder, atomically."""
    from safetensors.torch import save

    with replacing(folder / START_FILE) as temporary:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def load_start(variant: Variant) -> dict[str, Tensor] | None:
    """The tensors of ``save_start``; None if the file is not there."""
    path = variant.path / START_FILE
    return stored_tensors(path) if path.exists() else None


def stored_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, in the precision in which they are stored; ``CorruptFile`` if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptFile(
            f"{path} is damaged or truncated ({error}). Delete it; other epochs are not affected."
        ) from error
