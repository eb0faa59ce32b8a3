"""Phases and amplitudes of what each neuron reads and writes at its frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.commitment import MAJORITY, held_frequency
from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.registry import Output, analyzer
from analyzers.waves import amplitude_phase, at_frequency, resultant, wrapped

Array = NDArray[Any]
ORDERS = (1, 2, 3, 4)
REFERENCES = ("live", "final")
_PER_NEURON = ("reference", "neuron")


@analyzer(
    name="neuron_phases",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Phases of the neurons",
    outputs={
        "frequency": Output(_PER_NEURON, "int16", "Frequency that the phases belong to (0: none)", "k"),
        "phase_a": Output(_PER_NEURON, "float32", "Phase of the wave read from a", "rad"),
        "phase_b": Output(_PER_NEURON, "float32", "Phase of the wave read from b", "rad"),
        "phase_out": Output(_PER_NEURON, "float32", "Phase of the wave written to the logits", "rad"),
        "misalignment": Output(_PER_NEURON, "float32", "phase_a + phase_b - phase_out in (-pi, pi]", "rad"),
        "amplitude_a": Output(_PER_NEURON, "float32", "Amplitude of the wave read from a", "activation"),
        "amplitude_b": Output(_PER_NEURON, "float32", "Amplitude of the wave read from b", "activation"),
        "amplitude_out": Output(
            _PER_NEURON, "float32", "Amplitude of the wave written", "logit / activation"
        ),
        "members": Output(("freq",), "int32", "Neurons that hold k at this checkpoint", "neurons"),
        "resultant": Output(
            ("moment", "freq"), "float32", "|mean exp(i n phase)| over the neurons that hold k", "1"
        ),
    },
    needs=("neuron_frequencies",),
    needs_final=("neuron_frequencies",),
    formula="u(a) = mean_b h(a, b) = ... + A cos(2 pi k a / p + phase_a), v(b) likewise, W_L[m, c] = ... +"
    " B cos(2 pi k c / p + phase_out); misalignment D = phase_a + phase_b - phase_out wrapped; resultant_n ="
    " |mean_m exp(i n phi_m)|, phi_m midway between phase_a and phase_b",
    source="He et al. 2026, arXiv:2602.16849 (phase alignment psi = 2 phi, misalignment, phase symmetry);"
    " paths of this architecture by this workbench",
    protocol="h is the pre-activation at = over all p x p inputs, through the attention as it is; W_L = W_out"
    " W_U; live: the neuron's dominant frequency at this checkpoint, final: that of the last checkpoint;"
    " members hold k with at least half of their variance",
    caveats="Phases of one neuron move with the names of the tokens, D does not. Random phases have |D|"
    " uniform in [0, pi] and a resultant of about 0.89 / sqrt(n). u and v are averages: the attention also"
    " multiplies waves of a with waves of b.",
)
def neuron_phases(features: Features) -> dict[str, Any]:
    """Input and output waves of every neuron at one frequency, and how well they fit together.

    Formula: the pre-activation h(a, b) = resid_mid(a, b) . W_in[:, m] averaged over b is a function of a, u;
    its part at frequency k is A_a cos(2 pi k a / p + phase_a). v and phase_b likewise. The neuron writes row
    m of W_L = W_out W_U to the logits, whose part at k is B cos(2 pi k c / p + phase_out). ReLU(cos(ka +
    phase_a) + cos(kb + phase_b)) contains cos(k(a + b) + phase_a + phase_b), so that the right answer is
    favoured most if phase_out = phase_a + phase_b (psi = 2 phi for equal input phases): misalignment D = 0.

    resultant [moment, K]: R_n = |mean exp(i n phi)| over the neurons that hold k, n = 1..4, phi the middle of
    the shorter arc between phase_a and phase_b. Terms other than cos k(a + b - c) cancel in the sum over the
    group if these vanish. Independent uniform phases stay below sqrt(3.0 / members) with 95 % (Rayleigh).

    Shapes: [reference, d_mlp], reference = live (dominant at this checkpoint), final (dominant at the last
    one); members [K], resultant [4, K]. Units: rad in (-pi, pi]; amplitudes in units of the pre-activation
    and of logits per activation. NaN where the neuron has no frequency, or is not a number.

    Source: He et al. 2026, arXiv:2602.16849, for a two-layer network. W_E W_in is no path of this
    architecture at =; the number tokens reach the neurons through the attention, as done here.

    Limits: the first-order input only. A neuron without a clean frequency has phases all the same.
    """
    of_a, of_b = (amplitude_phase(spectrum, features.p) for spectrum in features.neuron_inputs)
    output = amplitude_phase(transform(features.neuron_logit_map, axis=1), features.p)
    live = features.need("neuron_frequencies", "dominant_frequency")
    final = features.final("neuron_frequencies", "dominant_frequency")
    found: dict[str, list[Array]] = {"frequency": [live, final]}
    for k in (live, final):
        waves = {"a": of_a, "b": of_b, "out": output}
        for name, (amplitude, phase) in waves.items():
            found.setdefault(f"amplitude_{name}", []).append(at_frequency(amplitude, k))
            found.setdefault(f"phase_{name}", []).append(at_frequency(phase, k))
    a, b, out = (np.array(found[f"phase_{name}"]) for name in ("a", "b", "out"))
    share = features.need("neuron_frequencies", "dominant_fraction")
    members, moments = group_moments(a[0], b[0], held_frequency(live, share, MAJORITY), len(of_a[0]))
    return {
        **found,
        "reference": list(REFERENCES),
        "misalignment": wrapped(a + b - out),
        "members": members,
        "resultant": moments,
        "moment": list(ORDERS),
    }


def group_moments(phase_a: Array, phase_b: Array, held: Array, count: int) -> tuple[Array, Array]:
    """(members [K], |mean exp(i n phi)| [4, K]) of the neurons that hold each of `count` frequencies."""
    middle = phase_a + wrapped(phase_b - phase_a) / 2
    groups = [middle[(held == k) & np.isfinite(middle)] for k in range(1, count + 1)]
    moments = [[resultant(n * group) for group in groups] for n in ORDERS]
    return np.array([len(group) for group in groups]), np.array(moments)
