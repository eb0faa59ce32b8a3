"""Learning-rate and weight-decay policies under a name.

What a policy may be is known above this package: `training.named_schedules` opens the store with its check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.database.engine import Database
from data.database.models import ScheduleRow
from data.database.named import NamedStore
from data.files import safe_name


class Schedules(NamedStore):
    """Name -> the policy's JSON. A name stands where a policy could: letters, digits and . _ + = - only.

    check  returns the JSON of a policy, or raises BadParameter
    """

    def __init__(self, database: Database, check: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__(database, ScheduleRow, "schedule", check)

    def _checked_name(self, name: str) -> str:
        return safe_name(name, "schedule")
