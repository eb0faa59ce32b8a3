"""What an import tells the person who asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Imported:
    """What was made of it: the variant, one sentence per step, the contradictions, and the split in words."""

    variant: str
    epochs: list[int]
    split: str
    split_sure: bool
    notes: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
