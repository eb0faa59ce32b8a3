"""Where a model lies between the clock and the pizza."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.clock_pizza import distance_irrelevance, gradient_cosines, mean_by_distance, wave_fits
from analyzers.features import Features
from analyzers.logit_variance import CENTRINGS, share
from analyzers.registry import Output, analyzer
from analyzers.sum_waves import answer_sign

LOGITS = ("right", "best_wrong")


@analyzer(
    name="clock_pizza",
    version=2,
    scope="checkpoint",
    kind="outputs",
    title="Clock and pizza coordinates",
    outputs={
        "symmetricity": Output((), "float32", "Mean cosine of the gradients by both tokens", "1"),
        "symmetricity_spread": Output((), "float32", "Standard deviation of that cosine over the draws", "1"),
        "irrelevance": Output(("logit",), "float32", "Distance irrelevance of that logit", "1"),
        "fve_clock": Output(("centring",), "float32", "Variance of the logits explained as a clock", "1"),
        "fve_pizza": Output(("centring",), "float32", "Variance of the logits explained as a pizza", "1"),
    },
    parameters={"draws": 100},
    formula="s = mean of cos(dQ_abc / dE_a, dQ_abc / dE_b) over random (a, b, c); q = mean_d std_i(M[i,"
    " i+d]) / std(M), M the logit of the right class; Q_clock = sum_k alpha_k cos w_k(a+b-c), Q_pizza ="
    " sum_k alpha_k |cos(w_k(a-b)/2)| cos w_k(a+b-c); FVE over all k with the best alpha_k",
    source="Zhong et al. 2023, arXiv:2306.17844 (symmetricity, distance irrelevance, both fits); the"
    " released code also logs q of the best wrong class",
    protocol="100 random (a, b, c) with a fixed seed, gradients through the whole model; q and the fits on"
    " all p x p inputs, population standard deviations, float64. Double-centred: mean of every input and"
    " class removed",
    caveats="Coordinates, not classes: models lie anywhere between, and later work finds both to be one"
    " family. The published numbers are of p = 59 without a = token. An untrained model can have any s.",
)
def clock_pizza(features: Features, draws: int = 100) -> dict[str, Any]:
    """Gradient symmetricity, distance irrelevance, and how well a clock and a pizza fit the logits.

    Formula: Q_abc is the logit of class c. symmetricity = mean over `draws` random (a, b, c) of the cosine
    between its derivatives by the residual stream of the first and of the second token. irrelevance, right
    = mean over the distance d = a - b of the standard deviation over the inputs with that d of M(a, b),
    over the standard deviation of M on the grid, M the logit of the right class; best_wrong = the same of
    the largest other logit. fve_* = share of the variance of all logits that the fitted sum over all k
    explains.

    Shapes: symmetricity, symmetricity_spread scalar; irrelevance [2 (right, best_wrong)]; fve_clock,
    fve_pizza [2 (raw, double_centred)]. Units: none. A pizza has symmetricity near 1 and irrelevance near
    0 (its logits depend on the distance only), a clock a lower symmetricity and irrelevance near 1.

    Source: Zhong et al. 2023, arXiv:2306.17844. Published, p = 59: its pizza model A 0.994 and 0.172,
    explained 75 % as a clock and 98 % as a pizza; its clock model B symmetricity 0.334. Means over its
    1,044 models by attention rate: 0 to 0.1 (0.994, 0.224), 0.5 to 0.7 (0.886, 0.527), 0.9 to 1 (0.446,
    0.828).

    Limits: coordinates, never classes. If the answer is a - b, b is read as -b; for other operations "a +
    b" is not the answer. Not finite or constant logits have NaN.
    """
    task = features.task
    sign = answer_sign(task)
    triples = np.random.default_rng(0).integers(0, task.p, (max(draws, 1), 3))
    cosines = gradient_cosines(features.tensors, features.grid, triples)
    right = features.logits[np.arange(task.p**2), task.labels]
    best_wrong = right - features.loss_and_margin[1]
    maps = (right.reshape(task.p, task.p), best_wrong.reshape(task.p, task.p))
    clock, pizza = wave_fits(mean_by_distance(features.logits, sign))
    wholes = features.logit_variances
    return {
        "logit": list(LOGITS),
        "centring": list(CENTRINGS),
        "symmetricity": cosines.mean(),
        "symmetricity_spread": cosines.std(),
        "irrelevance": [distance_irrelevance(values, sign) for values in maps],
        "fve_clock": [share(clock.sum(), variance) for variance in wholes],
        "fve_pizza": [share(pizza.sum(), variance) for variance in wholes],
    }
