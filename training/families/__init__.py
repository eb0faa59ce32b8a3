"""The task families, by name."""

from __future__ import annotations

from data.errors import BadParameter
from training.families import modular_addition
from training.families.family import Family

_FAMILIES: dict[str, Family] = {family.name: family for family in (modular_addition.FAMILY,)}

__all__ = ["Family", "families", "get_family"]


def families() -> list[Family]:
    """All families, in the order in which they are listed to a person."""
    return list(_FAMILIES.values())


def get_family(name: str) -> Family:
    """The family of that name; ``BadParameter`` lists what there is."""
    try:
        return _FAMILIES[name]
    except KeyError:
        raise BadParameter(f"unknown family {name!r}; there is: {', '.join(_FAMILIES)}") from None
