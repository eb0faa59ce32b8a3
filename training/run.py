"""Train variants into a workspace, one or a batch, or go on with them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import Variant, VariantRecord, Workspace
from data.errors import BadParameter, CorruptFile, WorkbenchError
from data.files import digest
from training.acceleration import has_kernels
from training.checkpoint_schedule import complete, default_checkpoints, parse_checkpoints
from training.engine import RATES, RECORDED, Engine, Intervention, initial_state
from training.families import Family, get_family
from training.trainer import History, Outcome, Plan, Progress, Run, train_batch

OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Keep:
    """How long to train and what to store, as it is kept in the provenance of a variant."""

    epochs: int
    checkpoints: tuple[int, ...]
    checkpoint_dtype: str = "float32"
    state_every: int = 1000

    def __post_init__(self) -> None:
        if self.checkpoint_dtype not in ("float32", "float16"):
            raise BadParameter(
                f"checkpoint dtype {self.checkpoint_dtype!r} is not known; choose float32 or float16"
            )
        if self.state_every < 1:
            raise BadParameter(
                f"state_every={self.state_every} is too small; save the state every 1 epoch or more"
            )

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "checkpoints": list(self.checkpoints)}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Keep:
        return cls(**{**stored, "checkpoints": tuple(stored["checkpoints"])})


@dataclass(frozen=True)
class Start:
    """Where a run begins: a training state (see ``Engine.state``) and the history of the epochs before it
    (and perhaps of more; those are dropped)."""

    epoch: int
    state: Mapping[str, Tensor]
    history: History | None = None


@dataclass(frozen=True)
class Job:
    """A variant to be trained. start: where it begins when nothing of it is stored; None: the family's
    initial weights at epoch 0."""

    record: VariantRecord
    keep: Keep
    start: Callable[[], Start] | None = None

    def prepare(self, variant: Variant) -> None:
        """Store where the variant begins, so that ``start`` is not needed again."""
        if self.start is None:
            return
        start = self.start()
        if start.epoch and start.history is not None:
            variant.save_history({name: values[: start.epoch] for name, values in start.history.items()})
        variant.save_optimizer(start.epoch, start.state)


def train_variant(
    workspace: Workspace,
    family: str,
    params: Any,
    config: Any = None,
    epochs: int | None = None,
    checkpoints: str | Sequence[int] | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    *,
    resume: bool = False,
    checkpoint_dtype: str = "float32",
    state_every: int = 1000,
    tf32: bool = False,
) -> Variant:
    """Train one variant and return it.

    params, config: the family's value objects, or plain mappings of them (config may be left out).
    checkpoints: epochs, or a text such as ``0,100:1000:50``; left out: powers of two, every 250, and the
    last.
    device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:1``.
    resume: go on when the variant is there already (from its last training state), instead of refusing.

    Raises ``BadParameter`` for values that cannot be used, ``VariantExists``, ``Diverged``,
    ``WorkspaceError``.
    """
    job = make_job(family, params, config, epochs, checkpoints, checkpoint_dtype, state_every)
    return _only(workspace, train_group(workspace, [job], device, tf32, resume, on_progress))


def resume_variant(
    variant: Variant,
    epochs: int | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Variant:
    """Go on with a variant whose training was stopped, or train it for more epochs; bit-exact on the same
    device.

    Continues from the last training state that can be read (from the initialisation if there is none yet),
    with the plan that the variant was started with. A variant that is complete is returned as it is.
    """
    stored = variant.provenance.get("plan")
    if not stored:
        raise WorkbenchError(
            f"{variant.name} has no training plan in its record, so it cannot go on; train it anew"
        )
    keep = Keep.of_json(stored)
    if epochs is not None and epochs != keep.epochs:
        later = [epoch for epoch in default_checkpoints(epochs) if epoch > keep.epochs]
        kept = [epoch for epoch in keep.checkpoints if epoch <= epochs]
        keep = replace(keep, epochs=epochs, checkpoints=tuple(complete([*kept, *later], epochs)))
    tf32 = bool(variant.provenance.get("tf32", False))
    job = Job(variant.record, keep)
    return _only(variant.workspace, train_group(variant.workspace, [job], device, tf32, True, on_progress))


def make_job(
    family: str,
    params: Any,
    config: Any = None,
    epochs: int | None = None,
    checkpoints: str | Sequence[int] | None = None,
    checkpoint_dtype: str = "float32",
    state_every: int = 1000,
) -> Job:
    """The job of a root variant; arguments as in ``train_variant``."""
    found = get_family(family)
    params = found.make_params(params) if isinstance(params, Mapping) else params
    config = found.make_config(config or {}) if config is None or isinstance(config, Mapping) else config
    epochs = found.default_epochs if epochs is None else epochs
    keep = Keep(epochs, tuple(checkpoints_of(checkpoints, epochs)), checkpoint_dtype, state_every)
    return Job(found.record(params, config), keep)


def train_group(
    workspace: Workspace,
    jobs: Sequence[Job],
    device: str = "auto",
    tf32: bool = False,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> list[Outcome]:
    """Train variants of one shape in one batch; one outcome per job, in order.

    A variant that diverges is stopped (its outcome has the error) and the others go on. When the batch does
    not fit in the memory of the device, its halves are trained one after the other, and ``on_note`` is told.
    resume: variants that are there already go on (complete ones are left alone); otherwise ``VariantExists``
    before anything is trained.

    What is promised about bits: a group that was stopped at any moment and is resumed with the same jobs ends
    as if it had not been, on the same device and build, provided that all members were stopped at the same
    state. A kill between the writes of two members leaves them at different states; these then go on from
    their own epochs in one batch, and a variant ends with the same bits as long as the number of variants in
    its batch is the same at every epoch. One that others have left, or that is resumed alone, is computed
    with matrix products of another shape: the same run to rounding, but not bit for bit. ``provenance`` has
    ``batch`` (variants, seat, digest of the members) and, when a batch was made smaller, ``batch_changes``.

    Raises ``BadParameter`` for variants of several shapes or the same one twice, ``WorkspaceError`` when the
    workspace cannot be written (all variants keep their last state).
    """
    chosen = choose_device(device)
    _check_group(jobs)
    for job in jobs:
        config = _values(job.record)[2]
        config.check_epochs(job.keep.epochs)
        if job.record.name in workspace:
            there = workspace[job.record.name]
            if not resume or there.identity != job.record.identity:
                workspace.create_variant(job.record)  # raises, saying what is there
            if recorded_epochs(there) - 1 > job.keep.epochs:
                done = recorded_epochs(there) - 1
                raise BadParameter(
                    f"{there.name} is trained for {done} epochs already; choose epochs={done} or more"
                )
    members = [_Member(_opened(workspace, job), job) for job in jobs]
    waiting = [member for member in members if not member.complete]
    outcomes = {member.variant.name: member.stored_outcome() for member in members if member.complete}
    batches = [waiting] if waiting else []
    while batches:
        batch = batches.pop(0)
        try:
            ended = _train_together(batch, chosen, tf32, on_progress)
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0] if str(error) else "out of memory"
        else:
            outcomes |= {outcome.name: outcome for outcome in ended}
            continue
        if chosen.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) == 1:
            name = batch[0].variant.name
            failure = WorkbenchError(
                f"{name} does not fit in the memory of {chosen} ({reason}); free some, or train with"
                " --device cpu"
            )
            outcomes[name] = Outcome(name, {}, failure)
            continue
        half = (len(batch) + 1) // 2
        batches = [batch[:half], batch[half:], *batches]
        if on_note:
            on_note(
                f"{len(batch)} variants together do not fit in the memory of {chosen} ({reason}); going on"
                f" with {half} at a time"
            )
    return [outcomes[job.record.name] for job in jobs]


def choose_device(name: str) -> torch.device:
    """The device of that name; ``BadParameter`` if this machine or this build of torch does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise BadParameter(f"device {name!r} is not known; choose auto, cpu, cuda or cuda:1")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BadParameter(
                f"device {name!r} is not there: this machine has {count} CUDA device(s) that torch "
                f"{torch.__version__} can use; choose --device cpu"
            )
    return device


def environment(device: torch.device, dtype: str, tf32: bool, kernel_path: str) -> dict[str, Any]:
    """Everything about the machine and the build that can change the last bits of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "dtype": dtype,
        "tf32": tf32,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "kernel_path": kernel_path,
        "triton": has_kernels(device),
        "python": platform.python_version(),
    }


def checkpoints_of(checkpoints: str | Sequence[int] | None, epochs: int) -> list[int]:
    """The epochs to keep, from a text, a list or nothing (the default); ``BadParameter`` if one cannot be."""
    if epochs < 1:
        raise BadParameter(f"epochs={epochs} is too few; train for at least 1")
    if checkpoints is None:
        return default_checkpoints(epochs)
    if isinstance(checkpoints, str):
        return parse_checkpoints(checkpoints, epochs)
    return complete(list(checkpoints), epochs)


def make_engine(
    family: Family,
    many: Sequence[tuple[Any, Any]],
    device: torch.device,
    tf32: bool = False,
    interventions: Sequence[Sequence[Intervention]] | None = None,
) -> Engine:
    """An engine of variants (params, config) of one shape at epoch 0; ``load_state`` puts them elsewhere."""
    config = many[0][1]
    return Engine(
        [family.init_weights(params, config) for params, config in many],
        lambda *views: family.make_step([params for params, _ in many], *views),
        device,
        betas=config.betas,
        eps=config.eps,
        tf32=tf32,
        interventions=interventions,
    )


def make_plan(config: Any, keep: Keep, interventions: Sequence[Intervention] = ()) -> Plan:
    """The plan of a variant: what to store, with the rates of its configuration."""
    return Plan(
        epochs=keep.epochs,
        checkpoints=keep.checkpoints,
        learning_rate=config.learning_rate_at,
        weight_decay=config.weight_decay_at,
        checkpoint_dtype=keep.checkpoint_dtype,
        state_every=keep.state_every,
        interventions=tuple(interventions),
    )


def stored_start(variant: Variant, at: int | None = None) -> Start | None:
    """The last readable training state (at or before epoch ``at``) and its history; None if there is none."""
    recorded = recorded_epochs(variant)
    for epoch in reversed(variant.optimizer_epochs):
        if epoch > recorded or (at is not None and epoch > at):
            continue
        try:
            state = variant.load_optimizer(epoch)
        except CorruptFile:
            continue  # damaged: the one before it does
        return Start(epoch, state, stored_history(variant))
    return None


def stored_history(variant: Variant) -> History:
    """The history of a variant as plain arrays (empty ones before the first save)."""
    names = [name for name in ("epoch", *RATES, *RECORDED) if name in variant.history.variables]
    return {name: np.array(variant.history[name].values) for name in names}


def recorded_epochs(variant: Variant) -> int:
    """One more than the epochs trained: the length of the history, unless it was thinned."""
    epochs = variant.history["epoch"].values
    return int(epochs[-1]) + 1 if len(epochs) else 0


def is_complete(variant: Variant, keep: Keep) -> bool:
    """Whether nothing is left to do: the variant went further, or the history is whole and the last state
    (written after it) is there, unless all states were removed from a variant that is too long to have had
    none."""
    recorded, states = recorded_epochs(variant), variant.optimizer_epochs
    if recorded != keep.epochs + 1:
        return recorded > keep.epochs + 1
    return states[-1] == keep.epochs if states else recorded > keep.state_every + 1


class _Member:
    """A variant of a batch with its job."""

    def __init__(self, variant: Variant, job: Job) -> None:
        self.variant, self.job = variant, job
        self.family, self.params, self.config = _values(variant.record)

    @property
    def complete(self) -> bool:
        return is_complete(self.variant, self.job.keep)

    def stored_outcome(self) -> Outcome:
        return Outcome(self.variant.name, stored_history(self.variant))

    def start(self) -> Start:
        """Where to go on."""
        variant, recorded = self.variant, recorded_epochs(self.variant)
        found = stored_start(variant)
        if found is not None:
            return found
        if recorded > self.job.keep.state_every + 1:
            raise WorkbenchError(
                f"{variant.name} has {recorded - 1} epochs of history but no training state that can be"
                " read, so it cannot go on; delete it and train it again"
            )
        if variant.parent is not None:
            raise WorkbenchError(
                f"{variant.name} has lost the state that it starts from; delete it and make it again"
            )
        return Start(0, initial_state(self.family.init_weights(self.params, self.config)))

    def begin(self, session: Mapping[str, Any]) -> None:
        """Write down the machine, the build, the batch and the plan of this session, and clear what a killed
        one left."""
        made, variant = dict(self.variant.provenance), self.variant
        variant.clear_leftovers()
        if recorded_epochs(variant) and "device" in made:
            made["resumed"] = [*made.get("resumed", []), dict(session)]
        else:
            made |= session
        made["plan"] = self.job.keep.to_json()
        self._write(made)

    def note_batch(self, batch: Mapping[str, Any]) -> None:
        """Write down that from some epoch on the variant trains in a smaller batch, others having ended."""
        made = dict(self.variant.provenance)
        self._write({**made, "batch_changes": [*made.get("batch_changes", []), dict(batch)]})

    def _write(self, provenance: Mapping[str, Any]) -> None:
        self.variant.record = replace(self.variant.record, provenance=provenance)
        self.variant.write_record()


def _batch_of(batch: Sequence[_Member], seat: int) -> dict[str, Any]:
    """How a variant shares an engine: with how many, where it sits, and a digest of all names in order.

    Equal batches compute equal bits; another size may choose other kernels for the matrix products."""
    members = digest([member.variant.name for member in batch])[:16]
    return {"variants": len(batch), "seat": seat, "members": members}


def _train_together(
    batch: Sequence[_Member], device: torch.device, tf32: bool, on_progress: OnProgress | None
) -> list[Outcome]:
    family = batch[0].family
    session = environment(device, batch[0].config.dtype, tf32, family.kernel_path)
    for seat, member in enumerate(batch):
        member.begin({**session, "batch": _batch_of(batch, seat)})
    starts = [member.start() for member in batch]
    interventions = [family.interventions(member.variant) for member in batch]
    runs = [
        Run(member.variant, make_plan(member.config, member.job.keep, own), start.history)
        for member, own, start in zip(batch, interventions, starts, strict=True)
    ]

    def build(members: Sequence[int], epochs: Sequence[int] | None = None) -> Engine:
        many = [(batch[i].params, batch[i].config) for i in members]
        engine = make_engine(family, many, device, tf32, [interventions[i] for i in members])
        left = [batch[i] for i in members]
        for seat, i in enumerate(members):
            engine.load_state(seat, starts[i].epoch, starts[i].state)
            if epochs is not None:
                batch[i].note_batch({"from_epoch": epochs[seat], **_batch_of(left, seat)})
        return engine

    return train_batch(runs, build, on_progress)


def _check_group(jobs: Sequence[Job]) -> None:
    names = [job.record.name for job in jobs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise BadParameter(f"{twice} is named twice; name every variant once")
    shapes = {shape_of(job.record) for job in jobs}
    if len(shapes) != 1:
        raise BadParameter(
            f"{len(jobs)} variants of {len(shapes)} shapes cannot train in one batch; group them by shape"
        )


def shape_of(record: VariantRecord) -> tuple[Any, ...]:
    """Variants with equal shapes can train in one batch."""
    family, params, config = _values(record)
    return (record.family, family.shape(params, config))


def _values(record: VariantRecord) -> tuple[Family, Any, Any]:
    family = get_family(record.family)
    return family, family.make_params(record.params), family.make_config(record.config)


def _opened(workspace: Workspace, job: Job) -> Variant:
    if job.record.name in workspace:
        return workspace[job.record.name]
    provenance = {**job.record.provenance, "plan": job.keep.to_json()}
    return workspace.create_variant(replace(job.record, provenance=provenance), job.prepare)


def _only(workspace: Workspace, outcomes: Sequence[Outcome]) -> Variant:
    (outcome,) = outcomes
    if outcome.error:
        raise outcome.error
    return workspace[outcome.name]
