"""Replicates: copies of a variant from minutely different initial weights, to separate what the seed fixes
from what chaos decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data import Variant, VariantRecord, Workspace
from data.errors import BadParameter
from training.engine import initial_state
from training.families import get_family
from training.forks import perturbed
from training.run import Job, Keep, OnNote, OnProgress, Start, checkpoints_of, train_group
from training.trainer import Outcome

DEFAULT_PERTURBATION = 1e-6
MAX_COPIES = 999
MAX_PERTURBATION = 0.1


def replicate_records(root: VariantRecord, copies: int, relative: float) -> list[VariantRecord]:
    """The records of the copies: parent, epoch 0 and the change are part of their identity.

    Names are ``<root>-r01-1e-06`` and so on. Raises ``BadParameter`` for a perturbation of zero (all copies
    would be the same run), one too large to be called a replicate, or a number of copies that makes no sense.
    """
    if isinstance(copies, bool) or not isinstance(copies, int) or not 1 <= copies <= MAX_COPIES:
        raise BadParameter(f"replicates={copies!r} is out of range; choose a number from 1 to {MAX_COPIES}")
    if not 0 < relative <= MAX_PERTURBATION:
        raise BadParameter(
            f"perturb={relative!r} is out of range: 0 would train the same run again; choose a number above 0"
            f" and at most {MAX_PERTURBATION}, such as {DEFAULT_PERTURBATION:g}"
        )
    if root.parent is not None:
        raise BadParameter(f"{root.name} is not a root variant; make replicates of the one it comes from")
    return [
        replace(
            root,
            name=f"{root.name}-r{number:02d}-{relative:g}",
            parent={
                "name": root.name,
                "identity": root.identity,
                "epoch": 0,
                "change": {"perturb": float(relative), "perturb_seed": number},
            },
            provenance={},
        )
        for number in range(1, copies + 1)
    ]


def replicate_start(record: VariantRecord) -> Start:
    """The perturbed initial weights of a record of ``replicate_records``."""
    assert record.parent is not None
    family, change = get_family(record.family), record.parent["change"]
    weights = family.init_weights(family.make_params(record.params), family.make_config(record.config))
    return Start(0, initial_state(perturbed(weights, change["perturb"], change["perturb_seed"])))


def train_replicates(
    workspace: Workspace,
    root: VariantRecord,
    copies: int,
    relative: float = DEFAULT_PERTURBATION,
    epochs: int | None = None,
    checkpoints: str | Sequence[int] = (),
    device: str = "auto",
    tf32: bool = False,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> list[Outcome]:
    """Train the copies in one batch. Unless asked for, only the first and the last checkpoint are kept beside
    the histories. The root itself need not be stored. See ``train_group`` for resume and errors."""
    epochs = get_family(root.family).default_epochs if epochs is None else epochs
    keep = Keep(epochs, tuple(checkpoints_of(checkpoints, epochs)))

    def job(record: VariantRecord) -> Job:
        return Job(record, keep, lambda: replicate_start(record))

    jobs = [job(record) for record in replicate_records(root, copies, relative)]
    return train_group(workspace, jobs, device, tf32, resume, on_progress, on_note)


def replicates_of(root: Variant) -> list[Variant]:
    """The stored replicates of a variant, by name."""
    return [
        fork
        for fork in root.forks
        if fork.parent
        and fork.parent.get("epoch") == 0
        and set(fork.parent["change"]) == {"perturb", "perturb_seed"}
    ]
