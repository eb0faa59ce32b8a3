"""When each neuron settled on its frequency, and which frequencies were tried and lost."""

from __future__ import annotations

from typing import Any

from analyzers.commitment import MAJORITY, MEMBERS, commitment, order_of_groups
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from data.errors import BadParameter


@analyzer(
    name="neuron_commitment",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Commitment of neurons",
    outputs={
        "switch_count": Output(("neuron",), "int16", "Changes of the frequency held", "switches"),
        "commitment_lower": Output(
            ("neuron",), "float64", "Last checkpoint before the neuron settled", "epoch"
        ),
        "commitment_epoch": Output(
            ("neuron",), "float64", "First checkpoint of the final stretch on one frequency", "epoch"
        ),
        "final_frequency": Output(
            ("neuron",), "int16", "Frequency held at the last checkpoint (0: none)", "k"
        ),
        "last_frequency": Output(("neuron",), "int16", "Last frequency ever held (0: none)", "k"),
        "homeless": Output(("neuron",), "int8", "Holds none, and the last one held has died", "1"),
        "peak_count": Output(("freq",), "int32", "Most neurons that ever held k", "neurons"),
        "peak_epoch": Output(("freq",), "float64", "Checkpoint with the most", "epoch"),
        "final_count": Output(("freq",), "int32", "Neurons that hold k at the last checkpoint", "neurons"),
        "transient": Output(("freq",), "int8", "Held for a time and lost", "1"),
        "n_transient": Output((), "int32", "Transient frequencies", "frequencies"),
        "n_homeless": Output((), "int32", "Homeless neurons", "neurons"),
        "rho": Output((), "float64", "Rank correlation of k with the commitment epoch of its neurons", "1"),
        "rho_p_value": Output((), "float64", "Two-sided p-value of rho, labels of groups permuted", "1"),
        "rho_groups": Output((), "int32", "Frequencies that enter into rho", "frequencies"),
    },
    needs=("neuron_frequencies",),
    parameters={"threshold": MAJORITY, "members": MEMBERS},
    formula="held = dominant frequency if its fraction >= threshold, else none; commitment = the first"
    " checkpoint from which held never changes up to the last, in (commitment_lower, commitment_epoch];"
    " transient: peak >= least, final < least and final <= peak / 2, least = members of all neurons",
    source="Definition of this workbench, on the fractions of Nanda et al. 2023, arXiv:2301.05217",
    protocol="neuron_frequencies at every checkpoint; threshold 0.5 (no other frequency can then be larger)"
    " and 2 % of the neurons (two at least) unless others are given; rho over frequencies with that many at"
    " the end",
    caveats="Only checkpoints are seen: switches between two of them are missed, and sparse checkpoints give"
    " wide intervals. A single dip below the threshold late in the run restarts a commitment. Which k is"
    " low is a label: under x -> u x the order of the frequencies changes and nothing else does.",
)
def neuron_commitment(run: Run, threshold: float = MAJORITY, members: float = MEMBERS) -> dict[str, Any]:
    """The history of what each neuron computes, reduced to when it settled and what it left.

    Formula: held_t = dominant frequency at checkpoint t if it explains at least `threshold` of the neuron's
    variance, else none. switch_count counts changes in the sequence of held frequencies (stretches without
    one are skipped). commitment_epoch is the first checkpoint from which held_t = held at the last; the event
    lies in (commitment_lower, commitment_epoch]. With `least` the share `members` of all neurons (two at
    least), a frequency is transient if at some checkpoint at least that many neurons hold it, and at the last
    fewer and at most half of its peak. A neuron is homeless if it holds none at the end while the last
    frequency that it held has fewer than `least`.

    rho is Spearman's correlation of k with the median commitment epoch of the neurons that end on it, over
    the frequencies with at least `least`; its p-value permutes the labels of whole frequencies, since
    neurons of one frequency are not independent. With four frequencies no p-value below 2/24 is possible.

    Shapes: [d_mlp] per neuron, [K] per frequency, scalars. Units: epochs, k (1-based, 0 for none), counts.
    commitment_* are NaN for a neuron that holds none at the end, commitment_lower also for one that held its
    frequency from the first checkpoint on.

    Source: definition of this workbench.

    Limits: everything depends on the threshold and on the spacing of the checkpoints; rho depends on the
    labels of the tokens. Raises BadParameter for a threshold or a share of members outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise BadParameter(f"threshold={threshold} is not in (0, 1]; 0.5 is the majority of the variance.")
    if not 0 < members <= 1:
        raise BadParameter(f"members={members} is not a share of the neurons in (0, 1]; 0.02 is usual.")
    measured = run.artifact("neuron_frequencies")
    freqs = measured["freq"].values
    found = commitment(
        measured["dominant_frequency"].transpose("epoch", "neuron").values,
        measured["dominant_fraction"].transpose("epoch", "neuron").values,
        measured["epoch"].values,
        len(freqs),
        threshold,
        members,
    )
    order = order_of_groups(found)
    return {
        "neuron": measured["neuron"].values,
        "freq": freqs,
        "switch_count": found.switch_count,
        "commitment_lower": found.lower,
        "commitment_epoch": found.epoch,
        "final_frequency": found.final,
        "last_frequency": found.last,
        "homeless": found.homeless,
        "peak_count": found.peak,
        "peak_epoch": found.peak_epoch,
        "final_count": found.final_count,
        "transient": found.transient,
        "n_transient": found.transient.sum(),
        "n_homeless": found.homeless.sum(),
        "rho": order.rho,
        "rho_p_value": order.p_value,
        "rho_groups": order.groups,
    }
