"""Curvature of the training loss, and whether the optimizer can stand it."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer

OUTPUTS = {
    "largest": Output((), "float64", "Largest eigenvalue of the Hessian", "nat / weight^2"),
    "largest_error": Output((), "float64", "Residual of the largest eigenvalue", "nat / weight^2"),
    "lowest": Output((), "float64", "Lowest eigenvalue that was met", "nat / weight^2"),
    "trace": Output((), "float64", "Trace of the Hessian", "nat / weight^2"),
    "trace_low": Output((), "float64", "Lower end of the trace's 95 % interval", "nat / weight^2"),
    "trace_high": Output((), "float64", "Upper end of the trace's 95 % interval", "nat / weight^2"),
    "preconditioned": Output((), "float64", "Largest eigenvalue, preconditioned as the update is", "1 / lr"),
    "threshold": Output((), "float64", "Stability threshold of the preconditioned eigenvalue", "1 / lr"),
    "products": Output((), "int16", "Hessian-vector products for the largest eigenvalue", "1"),
}


@analyzer(
    name="sharpness",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Sharpness",
    outputs=OUTPUTS,
    parameters={"probes": 8, "seed": 0},
    standard=False,
    at_most=50,
    formula="H = d^2 (mean train cross-entropy) / d w^2; largest and lowest eigenvalue by Lanczos; trace"
    " = mean"
    " z . H z over random signs z; preconditioned: P^-1/2 H P^-1/2 with P = sqrt(v / (1 - beta2^t)) + eps;"
    " threshold (2 + 2 beta1) / ((1 - beta1) lr)",
    source="Cohen et al. 2021, arXiv:2103.00065 (edge of stability); Cohen et al. 2022, arXiv:2207.14484 (the"
    " threshold of adaptive gradient methods)",
    protocol="all weights, the variant's own training inputs at once, no weight decay; exact Hessian-vector"
    " products in float64; Lanczos with full reorthogonalisation until the residual is below 0.1 % (at"
    " most 60"
    " products)",
    caveats="Only the preconditioned eigenvalue can be held against the threshold. It needs the optimizer's"
    " second moments, which are kept at the last few saved states only: elsewhere it is NaN. Weight"
    " decay adds"
    " its own pull, which the threshold leaves out. Weights stored as float16 are not exactly where the"
    " optimizer was.",
)
def sharpness(features: Features, probes: int = 8, seed: int = 0) -> dict[str, Any]:
    """Top and bottom of the Hessian's spectrum and its trace, and the curvature that AdamW feels.

    Formula: H is the Hessian of the mean cross-entropy of the training inputs with respect to all weights.
    largest and lowest: Ritz values of a Lanczos run from a seeded random start; largest_error is the norm of
    the residual, within which an eigenvalue lies; lowest is an upper bound of the true lowest eigenvalue.
    trace: mean of z . H z over `probes` random sign vectors with a Student 95 % interval. With v AdamW's
    second moment after t updates and P = sqrt(v / (1 - beta2^t)) + eps, preconditioned is the largest
    eigenvalue of P^-1/2 H P^-1/2; gradient descent with momentum beta1 in that metric diverges on a quadratic
    beyond threshold = (2 + 2 beta1) / ((1 - beta1) lr).

    Shapes: scalars. Units: nats per squared weight; preconditioned and threshold share the unit 1 / learning
    rate. Source: Cohen et al. 2021 and 2022.

    Limits: the ReLU's kinks have no curvature, so the Hessian misses what crossing them costs. Where the
    optimizer's state was not kept preconditioned is NaN; without a split, or with weights that are not
    finite, everything that depends on it is. Raises BadParameter for fewer than 2 probes.
    """
    import torch

    from analyzers.lanczos import NOT_A_NUMBER, extremes, trace
    from analyzers.landscape import Landscape, preconditioner
    from analyzers.statistics import mean_interval
    from data.errors import BadParameter

    if probes < 2:
        raise BadParameter(f"probes={probes} gives no interval for the trace; take 2 or more, 8 is usual.")
    optimizer, task = features.optimizer, features.task
    result: dict[str, Any] = dict.fromkeys(OUTPUTS, np.nan) | {
        "threshold": np.nan if optimizer is None else optimizer.threshold,
        "products": 0,
    }
    if not task.train.any():
        return result
    landscape = Landscape(features.tensors, task)
    hessian = landscape.hessian_product(torch.from_numpy(np.flatnonzero(task.train)))
    generator = torch.Generator().manual_seed(seed)
    found = extremes(hessian, landscape.n_weights, generator)
    if found is not NOT_A_NUMBER:
        result["trace"], result["trace_low"], result["trace_high"] = mean_interval(
            trace(hessian, landscape.n_weights, generator, probes)
        )
    moments = None if optimizer is None else optimizer.read_second_moment()
    if optimizer is not None and moments is not None:
        scale = preconditioner(landscape, moments, optimizer).rsqrt()
        felt = extremes(lambda vector: scale * hessian(scale * vector), landscape.n_weights, generator)
        result["preconditioned"] = felt.largest
    return result | {
        "largest": found.largest,
        "largest_error": found.largest_error,
        "lowest": found.lowest,
        "products": found.products,
    }
