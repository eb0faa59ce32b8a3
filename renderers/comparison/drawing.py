"""What drawings of cohorts share."""

from __future__ import annotations

from collections.abc import Sequence

from renderers.comparison.cohort import CohortScene
from renderers.source import Scene


def as_scene(scene: CohortScene) -> Scene:
    """The scene as the building blocks of figures want it; it has no p of its own."""
    return Scene(
        p=0,
        selection=scene.selection,
        theme=scene.theme,
        density=scene.density,
        size=scene.size,
        params=scene.params,
    )


def left_out_text(left: Sequence[tuple[str, str]]) -> str:
    """ " · 3 left out", or "" if nobody was."""
    count = len({name for name, _ in left})
    return f" · {count} left out" if count else ""
