"""What no longer fits: results that are out of date, and an index that says something else than the disk.

Neither is damage (that is `data.doctor`): results are computed again on request, the index is made again
from the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.database.jobs import JobStore
from data.errors import WorkbenchError, WorkspaceError
from data.services import service

if TYPE_CHECKING:
    from data.workspace import Workspace


def outdated(workspace: Workspace) -> list[str]:
    """One sentence for each variant with results that no longer fit its checkpoints or the instruments.

    Such results are never mixed with current ones; views say so, and analysing replaces them.
    """
    found = []
    for variant in workspace.variants():
        try:
            stale = [state for state in service("analyzers").status(variant) if state.stale_reason]
        except WorkbenchError:
            continue  # what cannot be read is a finding of `examine`
        if stale:
            count = "One result is" if len(stale) == 1 else f"{len(stale)} results are"
            found.append(
                f"{variant.name}: {count} out of date, such as {stale[0].analyzer} ({stale[0].stale_reason})."
                f" `tdw analyze {variant.name}` computes them again."
            )
    return found


@dataclass(frozen=True)
class Drift:
    """What somebody who looks at the workspace should know at once; all empty where nothing is.

    text      what is wrong, with the value; remedy: what to do
    rebuild   whether making the index again mends it
    """

    text: str = ""
    remedy: str = ""
    rebuild: bool = False


def drift(workspace: Workspace) -> Drift:
    """Whether the index and the disk agree, from the states of files alone: cheap enough to be asked often.

    Variants that a job is writing just now are left out: it brings the index up to date when it ends. An
    index without any variant has yet to be made, and is none that differs.
    """
    try:
        if workspace.catalog.is_empty():
            return Drift()
        writing = {name for job in JobStore(workspace.database).active() for name in job.variants}
        differing = workspace.catalog.differing()
    except WorkspaceError as error:
        return Drift(str(error), "`tdw doctor` says more.", workspace.database.is_sqlite)
    found = [text for name, text in sorted(differing.items()) if name not in writing]
    if not found:
        return Drift()
    others = len(found) - 1
    more = f" {others} more variant{'s differ' if others > 1 else ' differs'} too." if others else ""
    return Drift(
        f"The index differs from the files of this workspace: {found[0]}{more}",
        "Making the index again reads the files and changes none.",
        True,
    )
