"""``[a, b, =] -> a (op) b mod p`` over all p * p pairs, on a one-layer transformer without norm or biases.

Row ``n`` of the data is ``a = n // p``, ``b = n % p``; token ``p`` is ``=``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import VariantRecord
from data.errors import BadParameter, CorruptFile
from training import transformer
from training.acceleration import has_kernels
from training.engine import Intervention, Interventions
from training.families.family import Family
from training.families.modular_settings import DTYPES, MAX_LR, MAX_P, MAX_SEED, SETTINGS, SIZES
from training.families.setting import Setting
from training.fast_step import FastStep
from training.interventions import FrequencyGain, gain_of
from training.schedules import Schedule, schedule_of
from training.starts import INTERVENTION, START_FILE, load_start
from training.transformer import TransformerConfig

if TYPE_CHECKING:
    from data import Variant

NAME = "modular_addition"

IntArray = NDArray[np.int64]

OPERATIONS: dict[str, Callable[[IntArray, IntArray], IntArray]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "x2+xy+y2": lambda a, b: a * a + a * b + b * b,
}
_OPERATION_IN_NAME = {"subtract": "subtract", "multiply": "multiply", "x2+xy+y2": "x2xyy2"}
SPLITS = ("randperm", "shuffle", "unknown")


@dataclass(frozen=True)
class Params:
    """What a variant is asked to learn, and from which data; ``BadParameter`` when that cannot be.

    split: how ``data_seed`` orders the pairs, of which the first ``frac_train`` are trained on: "randperm" by
    torch, "shuffle" by Python's random module; "unknown" for an imported variant whose split is not known
    (``data_seed`` and ``frac_train`` then mean nothing). The default is left out of what is stored.
    """

    p: int
    seed: int
    data_seed: int = 598
    frac_train: float = 0.3
    operation: str = "add"
    split: str = "randperm"

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        _check_int("p", self.p)
        if not 2 <= self.p <= MAX_P:
            raise BadParameter(f"p={self.p} is out of range; choose a prime from 2 to {MAX_P}, such as 113")
        if not _is_prime(self.p):
            raise BadParameter(f"p={self.p} is not prime; the nearest primes are {_nearest_primes(self.p)}")
        for name, seed in (("seed", self.seed), ("data_seed", self.data_seed)):
            _check_int(name, seed)
            if not 0 <= seed <= MAX_SEED:
                raise BadParameter(
                    f"{name}={seed} is out of range; choose a whole number from 0 to {MAX_SEED}"
                )
        _check_number("frac_train", self.frac_train)
        if not 0 < self.frac_train < 1:
            raise BadParameter(
                f"frac_train={self.frac_train} is not a fraction between 0 and 1 (both excluded); take 0.3"
            )
        rows, n_train = self.p * self.p, n_train_rows(self.p, self.frac_train)
        if not 0 < n_train < rows:
            raise BadParameter(
                f"frac_train={self.frac_train} leaves {n_train} of the {rows} pairs of p={self.p} to train; "
                "choose one that leaves at least one pair to train and one to test on"
            )
        if self.split not in SPLITS:
            raise BadParameter(f"split={self.split!r} is not known; choose one of: {', '.join(SPLITS)}")
        if self.operation not in OPERATIONS:
            raise BadParameter(
                f"operation={self.operation!r} is not known; choose one of: {', '.join(OPERATIONS)}"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """Model sizes and AdamW settings. Raises ``BadParameter`` when they cannot be used.

    lr_schedule, wd_schedule: how ``lr`` and ``weight_decay`` change over the run; None: not at all.
    intervention: a frequency gain while training (made by a fork). imported: a digest of the weights of a
    variant that was trained elsewhere. What is None is left out of the stored configuration, so that it does
    not take part in the identity.
    """

    lr: float = 1e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    dtype: str = "float32"
    d_model: int = 128
    n_heads: int = 4
    d_head: int = 32
    d_mlp: int = 512
    lr_schedule: Schedule | None = None
    wd_schedule: Schedule | None = None
    intervention: FrequencyGain | None = None
    imported: str | None = None

    def __post_init__(self) -> None:
        self.validate()

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of the update that follows ``epoch``."""
        return self.lr if self.lr_schedule is None else self.lr_schedule.value(epoch, self.lr)

    def weight_decay_at(self, epoch: int) -> float:
        """The weight decay of the update that follows ``epoch``."""
        return (
            self.weight_decay
            if self.wd_schedule is None
            else self.wd_schedule.value(epoch, self.weight_decay)
        )

    def check_epochs(self, epochs: int) -> None:
        """``BadParameter`` if a schedule goes on after the end of a run of that many epochs."""
        for field, what, schedule in (
            ("lr_schedule", "learning-rate schedule", self.lr_schedule),
            ("wd_schedule", "weight-decay schedule", self.wd_schedule),
        ):
            if schedule is not None:
                schedule.check(epochs, what, field)

    def validate(self) -> None:
        _check_number("lr", self.lr)
        if not 0 < self.lr <= MAX_LR:
            raise BadParameter(
                f"lr={self.lr} is out of range; choose one above 0 and at most 1, such as 0.001"
            )
        _check_number("weight_decay", self.weight_decay)
        if not 0 <= self.weight_decay * self.lr < 1:
            raise BadParameter(
                f"weight_decay={self.weight_decay} is out of range; choose 0 or more, below 1 / lr"
            )
        if len(self.betas) != 2:
            raise BadParameter(f"betas={self.betas} must be two numbers, such as 0.9 and 0.98")
        for beta in self.betas:
            _check_number("betas", beta)
            if not 0 <= beta < 1:
                raise BadParameter(f"betas={self.betas} is out of range; both must be at least 0 and below 1")
        _check_number("eps", self.eps)
        if not 0 < self.eps < 1:
            raise BadParameter(
                f"eps={self.eps} is out of range; choose one above 0 and below 1, such as 1e-8"
            )
        if self.dtype not in DTYPES:
            raise BadParameter(
                f"dtype={self.dtype!r} is not supported for training; choose float32 or float64"
            )
        for name, limit in SIZES.items():
            value = getattr(self, name)
            _check_int(name, value)
            if not 1 <= value <= limit:
                raise BadParameter(f"{name}={value} is out of range; choose a whole number from 1 to {limit}")
        self._validate_schedules()

    def _validate_schedules(self) -> None:
        lr = self.lr if self.lr_schedule is None else self.lr_schedule.largest(self.lr)
        decay = self.weight_decay
        decay = decay if self.wd_schedule is None else self.wd_schedule.largest(decay)
        if lr > MAX_LR:
            raise BadParameter(
                f"the learning-rate schedule '{self.lr_schedule}' reaches {lr:g}; at most 1", "lr_schedule"
            )
        if lr * decay >= 1:
            raise BadParameter(
                f"with these schedules learning rate times weight decay may reach {lr:g} * {decay:g}; keep it"
                " below 1",
                "lr_schedule" if self.lr_schedule else "wd_schedule",
            )


def make_params(values: Mapping[str, Any]) -> Params:
    """Params from a plain mapping (JSON, options); ``BadParameter`` names an unknown or missing field."""
    return _build(Params, values)


def make_config(values: Mapping[str, Any]) -> TrainingConfig:
    """TrainingConfig from a plain mapping; ``BadParameter`` names an unknown field."""
    values = dict(values)
    if isinstance(values.get("betas"), list):
        values["betas"] = tuple(values["betas"])
    for name in ("lr_schedule", "wd_schedule"):
        if name in values:
            values[name] = schedule_of(values[name], name)
    if "intervention" in values:
        values["intervention"] = gain_of(values["intervention"])
    return _build(TrainingConfig, values)


def params_of(variant: Variant) -> Params:
    """The parameters that a stored variant was made with."""
    return make_params(variant.params)


def config_of(variant: Variant) -> TrainingConfig:
    """The training configuration that a stored variant was made with."""
    return make_config(variant.config)


def variant_name(params: Params, config: TrainingConfig | None = None) -> str:
    """Readable name: ``p113-s999-d598`` and one suffix for everything that differs from the defaults."""
    config = config or TrainingConfig()
    default = TrainingConfig()
    known = params.split != "unknown"
    parts = [f"p{params.p}", f"s{params.seed}", *([f"d{params.data_seed}"] if known else [])]
    if known and params.frac_train != 0.3:
        parts.append(f"f{params.frac_train!r}")
    if params.operation != "add":
        parts.append(_OPERATION_IN_NAME[params.operation])
    if params.split != "randperm":
        parts.append(params.split)
    prefixes = {
        "lr": "lr",
        "weight_decay": "wd",
        "eps": "eps",
        "d_model": "dm",
        "n_heads": "h",
        "d_head": "dh",
    }
    prefixes |= {"d_mlp": "mlp", "dtype": ""}
    for field, prefix in prefixes.items():
        if getattr(config, field) != getattr(default, field):
            parts.append(f"{prefix}{getattr(config, field)}")
    if config.betas != default.betas:
        parts.append(f"b{config.betas[0]!r}_{config.betas[1]!r}")
    for prefix, part in (
        ("lr_", config.lr_schedule),
        ("wd_", config.wd_schedule),
        ("", config.intervention),
    ):
        if part is not None:
            parts.append(prefix + part.name)
    if config.imported is not None:
        parts.append(f"i{config.imported[:8]}")
    return "-".join(parts)


def record(params: Params, config: TrainingConfig | None = None) -> VariantRecord:
    """What identifies the variant in a workspace."""
    config = config or TrainingConfig()
    stored_config: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(config)}
    stored_config["betas"] = list(config.betas)
    for name in ("lr_schedule", "wd_schedule", "intervention"):
        part = stored_config.pop(name)
        if part is not None:
            stored_config[name] = part.to_json()
    if config.imported is None:
        del stored_config["imported"]
    stored_params = asdict(params)
    if params.split == "randperm":
        del stored_params["split"]
    if params.split == "unknown":
        del stored_params["data_seed"], stored_params["frac_train"]
    return VariantRecord(
        family=NAME, name=variant_name(params, config), params=stored_params, config=stored_config
    )


def n_train_rows(p: int, frac_train: float) -> int:
    """Size of the training set: the fraction of the p * p pairs, rounded down."""
    return int(frac_train * p * p)


def split(params: Params) -> tuple[IntArray, IntArray]:
    """Rows ``n = a * p + b`` of the training and of the test set, in the order of the seeded permutation.

    Both are empty where the split is not known.
    """
    if params.split == "unknown":
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = ordered_rows(params.p, params.data_seed, params.split)
    n_train = n_train_rows(params.p, params.frac_train)
    return order[:n_train].copy(), order[n_train:].copy()


def ordered_rows(p: int, data_seed: int, split: str = "randperm") -> IntArray:
    """All rows in the order that the seed gives them, by torch ("randperm") or Python ("shuffle")."""
    if split == "shuffle":
        rows = list(range(p**2))
        random.Random(data_seed).shuffle(rows)
        return np.array(rows, dtype=np.int64)
    return torch.randperm(p**2, generator=torch.Generator().manual_seed(data_seed)).numpy()


def labels(params: Params) -> IntArray:
    """The right answer of every row, [p * p], in 0 .. p - 1."""
    rows = np.arange(params.p**2, dtype=np.int64)
    return OPERATIONS[params.operation](rows // params.p, rows % params.p) % params.p


def transformer_config(params: Params, config: TrainingConfig | None = None) -> TransformerConfig:
    """The three-token transformer that a variant is."""
    config = config or TrainingConfig()
    return TransformerConfig(
        n_layers=1,
        n_heads=config.n_heads,
        d_model=config.d_model,
        d_head=config.d_head,
        d_mlp=config.d_mlp,
        d_vocab=params.p + 1,
        d_vocab_out=params.p,
        n_ctx=3,
        seed=params.seed,
    )


def init_weights(params: Params, config: TrainingConfig | None = None) -> dict[str, Tensor]:
    """Reference initialisation: independent N(0, (0.8 / sqrt(d_model))^2), bit-equal for equal seeds."""
    config = config or TrainingConfig()
    return transformer.init_weights(transformer_config(params, config), getattr(torch, config.dtype))


def tokens(params: Params) -> IntArray:
    """Input ``[a, b, =]`` of every row, [p * p, 3]."""
    rows = np.arange(params.p**2, dtype=np.int64)
    return np.stack([rows // params.p, rows % params.p, np.full_like(rows, params.p)], axis=1)


def shape(params: Params, config: TrainingConfig) -> tuple[Any, ...]:
    """What variants must have in common to train in one batch."""
    sizes = (config.d_model, config.n_heads, config.d_head, config.d_mlp)
    n_train = n_train_rows(params.p, params.frac_train)
    return params.p, params.operation, n_train, *sizes, config.dtype, config.betas, config.eps


def make_step(
    params: Sequence[Params],
    weights: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
    interventions: Interventions | None = None,
) -> FastStep:
    """Losses and gradients of variants of one shape; by Triton kernels on CUDA when they can be used."""
    for one in params:
        if one.split == "unknown":
            raise BadParameter(
                "the train/test split of this variant is not known, so it cannot be trained; import it again"
                " with the split's seed and fraction if you know them"
            )
    kind = FastStep
    if has_kernels(weights["unembed.W_U"].device):
        from training.fused_step import FusedStep

        kind = FusedStep
    train_rows = torch.from_numpy(np.stack([split(one)[0] for one in params]))
    return kind(weights, grads, torch.from_numpy(labels(params[0])), train_rows, interventions)


def interventions(variant: Variant) -> tuple[Intervention, ...]:
    """What acts on the model while a stored variant trains, with the matrix that its fork measured."""
    gain = config_of(variant).intervention
    if gain is None:
        return ()
    kept = load_start(variant) or {}
    if INTERVENTION not in kept:
        raise CorruptFile(
            f"{variant.name} trains with an intervention, but {variant.path / START_FILE}, which holds its"
            " directions, is missing; restore it, or delete the variant and fork it again"
        )
    return (Intervention(gain.site, kept[INTERVENTION], gain.strength),)


T = TypeVar("T", Params, TrainingConfig)


def _build(kind: type[T], values: Mapping[str, Any]) -> T:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadParameter(f"{NAME} has no setting {unknown[0]!r}; there is: {', '.join(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise BadParameter(f"{NAME} needs more settings ({error}); at least p and seed", "p") from error


def _settings() -> tuple[Setting, ...]:
    """The settings with the defaults that the value objects above have."""
    defaults = {field.name: field.default for kind in (Params, TrainingConfig) for field in fields(kind)}
    given = (defaults[one.name] for one in SETTINGS)
    return tuple(
        one if default is MISSING or default is None else one.with_default(default)
        for one, default in zip(SETTINGS, given, strict=True)
    )


def _check_int(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadParameter(f"{name}={value!r} is not a whole number; give it as one, such as {name}=1")


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadParameter(f"{name}={value!r} is not a finite number; give a plain decimal such as 0.5")


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def _nearest_primes(n: int) -> str:
    below = next((m for m in range(n - 1, 1, -1) if _is_prime(m)), None)
    above = next(m for m in range(n + 1, 2 * n + 3) if _is_prime(m))
    return " and ".join(str(m) for m in (below, above) if m is not None and m <= MAX_P)


FAMILY = Family(
    name=NAME,
    title="Modular arithmetic",
    make_params=make_params,
    make_config=make_config,
    record=record,
    init_weights=init_weights,
    shape=shape,
    make_step=make_step,
    kernel_path="fast_path-2",
    default_epochs=25_000,
    interventions=interventions,
    settings=_settings(),
)
