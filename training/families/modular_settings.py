"""The settings of ``modular_addition``: their limits, and what a person reads about them."""

from __future__ import annotations

from training.families.setting import Setting

MAX_P = 1009
MAX_SEED = 2**63 - 1
MAX_LR = 1.0
SIZES = {"d_model": 4096, "n_heads": 64, "d_head": 1024, "d_mlp": 16384}
DTYPES = ("float32", "float64")
OPERATION_NAMES = ("add", "subtract", "multiply", "x2+xy+y2")
COMMON_P, COMMON_SEED = 113, 0


def _size(name: str, label: str, help: str) -> Setting:
    return Setting(name, "config", "whole", "model", label, help, 1, SIZES[name])


SETTINGS = (
    Setting(
        "p",
        "params",
        "whole",
        "task",
        "Prime p",
        "Numbers run from 0 to p - 1; there are p x p pairs. A prime.",
        2,
        MAX_P,
        required=True,
        default=COMMON_P,
    ),
    Setting(
        "seed",
        "params",
        "whole",
        "task",
        "Seed",
        "Of the initial weights.",
        0,
        MAX_SEED,
        required=True,
        default=COMMON_SEED,
    ),
    Setting(
        "data_seed",
        "params",
        "whole",
        "task",
        "Data seed",
        "Which pairs are trained on.",
        0,
        MAX_SEED,
    ),
    Setting(
        "frac_train",
        "params",
        "number",
        "task",
        "Training fraction",
        "Share of the pairs to train on, above 0 and below 1; the others test.",
    ),
    Setting(
        "operation",
        "params",
        "choice",
        "task",
        "Operation",
        "What is computed modulo p.",
        choices=OPERATION_NAMES,
    ),
    Setting(
        "lr", "config", "number", "optimizer", "Learning rate", "Of AdamW; above 0, at most 1.", 0, MAX_LR
    ),
    Setting(
        "weight_decay",
        "config",
        "number",
        "optimizer",
        "Weight decay",
        "Decoupled; 0 or more, below 1 / learning rate.",
        0,
    ),
    Setting(
        "lr_schedule",
        "config",
        "schedule",
        "optimizer",
        "Learning-rate schedule",
        "How the learning rate changes over the run.",
    ),
    Setting(
        "wd_schedule",
        "config",
        "schedule",
        "optimizer",
        "Weight-decay schedule",
        "How the weight decay changes over the run.",
    ),
    Setting(
        "betas",
        "config",
        "pair",
        "optimizer",
        "Betas",
        "AdamW's two averaging factors, each at least 0 and below 1.",
        rare=True,
    ),
    Setting(
        "eps",
        "config",
        "number",
        "optimizer",
        "Epsilon",
        "Added to AdamW's denominator; above 0 and below 1.",
        rare=True,
    ),
    Setting(
        "dtype",
        "config",
        "choice",
        "optimizer",
        "Training precision",
        "Of the weights while they are trained; float64 is slower.",
        choices=DTYPES,
        rare=True,
    ),
    _size("d_model", "Residual width", "d_model, the width of the residual stream."),
    _size("n_heads", "Heads", "Attention heads."),
    _size("d_head", "Head width", "d_head, the width of keys, queries and values."),
    _size("d_mlp", "Neurons", "d_mlp, the number of neurons of the MLP."),
)
