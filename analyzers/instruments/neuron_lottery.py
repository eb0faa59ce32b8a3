"""Was each neuron's frequency already favoured at the start?"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.lottery import CANDIDATES, RULES, predict, rank_of_final, scores
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from analyzers.waves import amplitude_phase, at_frequency, wrapped
from data.errors import WorkbenchError

_TABLE = ("rule", "candidates")


@analyzer(
    name="neuron_lottery",
    version=1,
    scope="trajectory",
    kind="activations",
    title="Lottery of the neurons",
    outputs={
        "predicted": Output(
            ("rule", "candidates", "neuron"), "int16", "Frequency predicted from the first checkpoint", "k"
        ),
        "final_frequency": Output(
            ("neuron",), "int16", "Frequency held at the last checkpoint (0: none)", "k"
        ),
        "accuracy": Output(_TABLE, "float64", "Share of the neurons predicted right", "1"),
        "chance": Output(_TABLE, "float64", "Mean accuracy of permuted predictions", "1"),
        "chance_upper": Output(_TABLE, "float64", "95 % quantile of that accuracy", "1"),
        "p_value": Output(_TABLE, "float64", "Share of permutations at least as good", "1"),
        "rank": Output(
            ("rule", "neuron"), "float32", "Share of frequencies that scored below the final one", "1"
        ),
        "initial_misalignment": Output(
            ("neuron",), "float32", "Misalignment at the final frequency at the start", "rad"
        ),
        "initial_size": Output(
            ("neuron",), "float32", "Input times output amplitude at the final frequency over the mean", "1"
        ),
        "neurons": Output((), "int32", "Neurons that hold a frequency at the end", "neurons"),
        "start_epoch": Output((), "int64", "Checkpoint that the prediction is made from", "epoch"),
    },
    needs=("neuron_commitment",),
    formula="per frequency k at the first checkpoint: size = sqrt(A_a A_b) B, D = phase_a + phase_b -"
    " phase_out; predicted k = argmax of size cos D (alignment), of -|D| (misalignment), of size (amplitude)",
    source="He et al. 2026, arXiv:2602.16849: the winner starts with the least misalignment and the largest"
    " magnitude",
    protocol="waves as in neuron_phases at the first checkpoint; truth: final_frequency of"
    " neuron_commitment; candidates: all K frequencies, or only those that some neuron holds at the end;"
    " chance: 2,000 permutations of the predictions among the neurons",
    caveats="The published result is for a two-layer network with its embedding fixed; here the embedding"
    " and the attention are learned too, and all neurons share them. Neurons of one run are not independent,"
    " so the p-value says whether neurons differ in what they were given, not whether the run repeats it.",
)
def neuron_lottery(run: Run) -> dict[str, Any]:
    """Prediction of the final frequency of each neuron from the first checkpoint, against chance.

    Formula: with the waves of `neuron_phases` at every k of the first checkpoint, size_k = sqrt(A_a A_b) B
    and D_k = phase_a + phase_b - phase_out. Rules: alignment predicts argmax_k size_k cos D_k (misalignment
    weighted by magnitude; what a gradient step on the right answer increases first), misalignment argmin_k
    |D_k|, amplitude argmax_k size_k. Accuracy is over the neurons that hold a frequency at the last
    checkpoint; chance, its 95 % quantile and the one-sided p-value come from permuting the predictions among
    them. rank is the share of the other frequencies with a lower score than the final one (0.5 by chance).

    Shapes: predicted [rule, candidates, d_mlp]; accuracy, chance, chance_upper, p_value [rule, candidates];
    rank [rule, d_mlp]; initial_misalignment, initial_size [d_mlp], the latter relative to the neuron's mean
    over k. Units: k (1-based, 0 for none), shares in [0, 1], rad. NaN where a neuron has no final frequency.

    Source: He et al. 2026, arXiv:2602.16849.

    Limits: the first checkpoint must be the initialisation for this to be about a lottery; start_epoch says
    which one it is. With "all" candidates a neuron can be predicted to take a frequency that nobody took.
    Raises WorkbenchError if no checkpoint can be read.
    """
    import torch

    committed = run.artifact("neuron_commitment")
    final = committed["final_frequency"].values
    first = next(run.checkpoints(), None)
    if first is None:
        raise WorkbenchError("No checkpoint can be read, so that there is no start to predict from.")
    epoch, weights = first
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    features = Features(tensors, run.family, run.params)
    of_a, of_b = (amplitude_phase(spectrum, features.p) for spectrum in features.neuron_inputs)
    output = amplitude_phase(transform(features.neuron_logit_map, axis=1), features.p)
    size_in = np.sqrt(of_a[0] * of_b[0])
    misalignment = wrapped(of_a[1] + of_b[1] - output[1])
    scored = scores(size_in, output[0], misalignment)
    learned = np.isin(np.arange(1, len(size_in) + 1), final)
    allowed = {"all": np.ones(len(size_in), dtype=bool), "learned": learned}
    table = [[predict(score, final, allowed[name]) for name in CANDIDATES] for score in scored]
    size = scored[RULES.index("amplitude")]
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = at_frequency(size, final) / size.mean(axis=0)
    return {
        "rule": list(RULES),
        "candidates": list(CANDIDATES),
        "neuron": committed["neuron"].values,
        "predicted": [[found.predicted for found in row] for row in table],
        "final_frequency": final,
        **{
            name: [[getattr(found, name) for found in row] for row in table]
            for name in ("accuracy", "chance", "chance_upper", "p_value")
        },
        "rank": [rank_of_final(score, final) for score in scored],
        "initial_misalignment": at_frequency(misalignment, final),
        "initial_size": relative,
        "neurons": (final > 0).sum(),
        "start_epoch": epoch,
    }
