"""What can be ordered: a model per kind of job, checked when it is read, stored as JSON in its row.

Here only names and types are checked; values are checked by what does the work, before it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from data.errors import BadParameter

Name = Annotated[str, Field(min_length=1, max_length=120)]
Checkpoints = str | list[int] | None


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """What is stored; `parse` is the inverse."""
        return self.model_dump(mode="json")


class _Making(_Order):
    """What all orders of new root variants have in common."""

    family: Name = "modular_addition"
    epochs: int | None = None
    checkpoints: Checkpoints = None
    device: str = "auto"
    tf32: bool = False
    go_on: bool = False


class TrainOrder(_Making):
    """Train one variant; `go_on` with one that is there already instead of refusing."""

    kind: Literal["train"] = "train"
    params: dict[str, Any]
    config: dict[str, Any] = {}
    checkpoint_dtype: str = "float32"
    state_every: int = 1000


class ReplicatesOrder(_Making):
    """Train copies of a variant from minutely different initial weights."""

    kind: Literal["replicates"] = "replicates"
    params: dict[str, Any]
    config: dict[str, Any] = {}
    copies: int
    perturb: float = 1e-6


class SweepOrder(_Making):
    """Train every variant of a list, or of a grid (name -> values); what is complete is left alone.

    workers  processes that share the batches; 1: the job's own process, which shows losses while it trains;
             None: one per core on a CPU, 1 on a GPU
    """

    kind: Literal["sweep"] = "sweep"
    variants: list[dict[str, Any]] = []
    grid: dict[str, Any] = {}
    checkpoint_dtype: str = "float32"
    state_every: int = 1000
    workers: Annotated[int, Field(ge=1)] | None = 1
    max_batch: int | None = None
    dask: str | None = None


class ForkOrder(_Order):
    """Train another run from an epoch of a stored one; `change` has the fields of `training.forks.Change`."""

    kind: Literal["fork"] = "fork"
    variant: Name
    at: int
    change: dict[str, Any] = {}
    epochs: int | None = None
    checkpoints: Checkpoints = None
    checkpoint_dtype: str | None = None
    state_every: int = 1000
    device: str = "auto"


class ResumeOrder(_Order):
    """Go on with a run that was stopped, or train it for longer."""

    kind: Literal["resume"] = "resume"
    variant: Name
    epochs: int | None = None
    device: str = "auto"


class DensifyOrder(_Order):
    """Add checkpoints at epochs that were not saved, by a replay that is checked."""

    kind: Literal["densify"] = "densify"
    variant: Name
    epochs: str | list[int]
    device: str = "auto"
    force: bool = False


class AnalyzeOrder(_Order):
    """Compute what the variants lack of the analyzers (None or empty: the standard ones).

    first  epochs that somebody looks at, which are done before the others
    """

    kind: Literal["analyze"] = "analyze"
    variants: Annotated[list[Name], Field(min_length=1)]
    analyzers: list[str] | None = None
    workers: Annotated[int, Field(ge=1)] = 1
    first: list[int] = []


Order = TrainOrder | ReplicatesOrder | SweepOrder | ForkOrder | ResumeOrder | DensifyOrder | AnalyzeOrder
TITLES: dict[str, str] = {
    "train": "Train",
    "replicates": "Train replicates of",
    "sweep": "Sweep",
    "fork": "Fork",
    "resume": "Go on with",
    "densify": "Add checkpoints to",
    "analyze": "Analyse",
}
WRITERS = tuple(kind for kind in TITLES if kind != "analyze")  # no two of these may write one variant
_ADAPTER: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])


def parse(plain: Mapping[str, Any]) -> Order:
    """The order of plain JSON; BadParameter says which field is wrong, with its value."""
    try:
        return _ADAPTER.validate_python(dict(plain))
    except ValidationError as error:
        raise BadParameter(_sentence(plain, error)) from None


def _sentence(plain: Mapping[str, Any], error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in TITLES]
    if not place:
        return f"The kind of job {plain.get('kind')!r} is not known; choose one of: {', '.join(TITLES)}."
    shown = "" if first["type"] == "missing" else f"={first['input']!r}"
    wrong = {"missing": "is missing", "extra_forbidden": f"is not a setting of {plain.get('kind')}"}
    return f"{'.'.join(place)}{shown}: {wrong.get(first['type'], first['msg'])}."
