"""Errors that a person can cause. `str(error)` says what was wrong, with the value, and what to do."""

from __future__ import annotations

import re


class WorkbenchError(Exception):
    """Base of every error that is shown to a person as it stands."""


class BadParameter(WorkbenchError):
    """A parameter of a family, an analyzer, a view or a command has an impossible value.

    field: the name of the parameter, for forms; left out, the name with which the sentence begins, as in
    ``p=9 is not prime``; "" if there is none.
    """

    def __init__(self, message: str = "", field: str = "") -> None:
        named = re.match(r"(\w+)=", message)
        self.field = field or (named[1] if named else "")
        super().__init__(message)


class WorkspaceError(WorkbenchError):
    """The workspace folder is missing, not a workspace, or cannot be written."""


class UnknownVariant(WorkbenchError):
    """No variant has that name or those parameters."""


class VariantExists(WorkbenchError):
    """A variant of that name is already there."""


class UnknownEpoch(WorkbenchError):
    """No checkpoint was saved at that epoch."""


class CorruptFile(WorkbenchError):
    """A stored file is truncated or unreadable."""


class MissingArtifact(WorkbenchError):
    """An artifact (or one epoch of it) has not been computed for this variant."""

    def __init__(self, variant: str, analyzer: str, epoch: int | None = None, detail: str = "") -> None:
        self.variant, self.analyzer, self.epoch = variant, analyzer, epoch
        at = "" if epoch is None else f" at epoch {epoch}"
        reason = f" ({detail})" if detail else ""
        super().__init__(
            f"{analyzer} has not been computed for {variant}{at}{reason}. Run `tdw analyze {variant}"
            f" --analyzer {analyzer}` (without that name: everything standard), or press Analyze in the"
            " dashboard."
        )
