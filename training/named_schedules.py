"""Schedules that a workspace keeps under a name: `--lr-schedule warm` instead of the whole policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data import Workspace
from data.database.schedules import Schedules
from data.errors import BadParameter
from training.schedules import POLICIES, Schedule


class NamedSchedules(Schedules):
    """The schedules of one workspace, as JSON that `Schedule.of_json` reads."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.database, _checked)

    def find(self, given: str) -> Schedule:
        """The schedule of a text: a saved name, or a policy such as `cosine:until=25000`.

        BadParameter for a text that is neither says what there is of both.
        """
        if given.partition(":")[0].strip() in POLICIES:
            return Schedule.parse(given)
        saved = {one.name: one.value for one in self.list()}
        if given in saved:
            return Schedule.of_json(saved[given])
        names = f"a saved one ({', '.join(saved)})" if saved else "a saved one (there are none yet)"
        raise BadParameter(
            f"schedule {given!r} is not known; choose one of: {', '.join(POLICIES)}, or {names}"
        )

    def _checked_name(self, name: str) -> str:
        if name in POLICIES:
            raise BadParameter(f"{name!r} is a policy of its own; give the schedule another name.")
        return super()._checked_name(name)


def _checked(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        given = Schedule.parse(given)
    elif isinstance(given, Mapping):
        given = Schedule.of_json(given)
    if not isinstance(given, Schedule):
        raise BadParameter(f"{given!r} is not a schedule; write it like cosine:until=25000,floor=1e-5")
    return given.to_json()
