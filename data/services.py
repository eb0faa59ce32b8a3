"""How the storage layer reaches the layers above it without importing them.

The packages above declare what they offer as entry points of one group (see pyproject.toml): notebooks
reach views and analyzers through a variant, and other projects can add theirs.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

from data.errors import WorkbenchError

GROUP = "training_dynamics_workbench.services"


@cache
def service(name: str) -> Any:
    """The service of that name (`views`, `analyzers`), made once."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise WorkbenchError(f"No service {name!r} is installed. Install the project itself: `make setup`.")
    return found[0].load()()
