"""What the comparisons by distances share: their choices, who takes part, the null, the texts."""

from __future__ import annotations

from analyzers.comparison import nulls
from analyzers.comparison.distances import MEASURES
from renderers.comparison.catalog import Choice
from renderers.comparison.checkpoints import LABELLED, MODULO, Checkpoints
from renderers.comparison.cohort import Cohort


def _relabelling(cohort: Cohort) -> tuple[str, ...]:
    measure = cohort.params.get("measure", next(iter(MEASURES)))
    return (MODULO, LABELLED) if MEASURES[measure].renames else (LABELLED,)


def _matrices(cohort: Cohort) -> tuple[str, ...]:
    return MEASURES[cohort.params.get("measure", next(iter(MEASURES)))].matrices


PARAMETERS = {
    "measure": Choice("Distance", tuple(MEASURES)),
    "matrix": Choice("Matrix", _matrices),
    "relabel": Choice("Tokens", _relabelling),
}


def taking_part(cohort: Cohort) -> Checkpoints:
    """The runs that the chosen distance can be taken of."""
    found = Checkpoints.of(cohort)
    if MEASURES[cohort.params["measure"]].same_p:
        found.of_one_p(cohort.params["relabel"] == MODULO)
    else:
        found.keep(lambda run: "")
    return found


def asked(cohort: Cohort) -> tuple[str, str, bool]:
    """What `distances` wants: measure, matrix, whether modulo relabelling."""
    return cohort.params["measure"], cohort.params["matrix"], cohort.params["relabel"] == MODULO


def initial_band(checkpoints: Checkpoints) -> tuple[float, float]:
    """The middle 95 % of that distance between random initialisations of the reference's p and size."""
    variant = checkpoints.reference.variant
    return nulls.between_initial(variant.params["p"], variant.config, *asked(checkpoints.cohort))


FORMULA = (
    "CKA: 1 − ⟨G, G′⟩ / (‖G‖ ‖G′‖); Frobenius: ‖G − G′‖ / √(‖G‖ ‖G′‖); Fourier power: ½ Σₖ |Pₖ − P′ₖ| of"
    " shares; singular values: mean |log₁₀ s − log₁₀ s′| at equal ranks, s over their rms; attention: rms"
    " difference, heads matched. Modulo relabelling: the least over a → u a of the second run's tokens, every"
    " u tried"
)
SOURCE = "Kornblith et al. 2019, arXiv:1905.00414 (CKA); invariances: analyzers.comparison.gauge"
CAVEATS = (
    "Two random initialisations are not far apart in these measures (their Gram matrices are both nearly"
    " round): trained runs with different frequencies may be farther. Gram matrices and Fourier power want"
    " one p; sorted Fourier power, singular values and attention take any."
)
