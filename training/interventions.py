"""Training-time interventions: a gain on chosen frequencies at one site between two epochs.

With r(e) the ramp, g the gain and P an orthogonal projector of the site, the model trains (and is evaluated)
with ``x + r(e) (g - 1) P x`` in place of x: at full strength the part of x in the span is multiplied by g.

attn_out  what attention adds to the residual stream at ``=``. P [d_model, d_model] projects onto the span of
          D_cos_k and D_sin_k of all chosen k, ``D_cos_k = sqrt(2 / p) sum_t cos(2 pi k t / p) W_E[t]`` (sin
          alike), orthonormalised together, so that overlapping directions are not amplified twice. They are
          measured once, at the epoch of the fork, and stay fixed while the weights move on.
embed     the embeddings of the p numbers. P [p, p] acts on tokens: it projects onto the cosine and sine of
          every chosen k, which does not depend on the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from data.errors import BadParameter

SITES = ("attn_out", "embed")
MAX_GAIN = 100.0


@dataclass(frozen=True)
class FrequencyGain:
    """``gain`` on ``frequencies`` (1-based) at ``site``, from epoch ``start`` to ``end``.

    ramp: epochs over which it is raised from nothing at ``start`` and lowered to nothing at ``end``; 0
    switches at once (on at ``start``, off at ``end``). measured: the epoch whose weights gave the directions
    (set by the fork). Raises ``BadParameter`` for values that cannot be used.
    """

    site: str
    frequencies: tuple[int, ...]
    gain: float
    start: int
    end: int
    ramp: int = 0
    measured: int | None = None

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise BadParameter(f"site {self.site!r} is not known; choose one of: {', '.join(SITES)}", "site")
        chosen = tuple(sorted(self.frequencies))
        if not chosen or len(set(chosen)) != len(chosen):
            raise BadParameter(
                f"frequencies {list(self.frequencies)} must be one or more, each named once, such as 9,33",
                "frequencies",
            )
        object.__setattr__(self, "frequencies", chosen)
        gain = self.gain
        if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not 0 <= gain <= MAX_GAIN:
            raise BadParameter(f"gain={gain!r} is out of range; choose a number from 0 to {MAX_GAIN:g}")
        if gain == 1:
            raise BadParameter("gain=1 changes nothing; choose another, such as 0 (remove) or 2 (double)")
        object.__setattr__(self, "gain", float(gain))
        for name in ("start", "end", "ramp"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise BadParameter(
                    f"the {name} of the gain, {value!r}, is not a whole number of epochs", name
                )
        if self.end <= self.start:
            raise BadParameter(
                f"the gain ends at epoch {self.end}, which is not after its start {self.start}", "end"
            )
        if 2 * self.ramp > self.end - self.start:
            raise BadParameter(
                f"two ramps of {self.ramp} epochs do not fit between epochs {self.start} and {self.end}; take"
                f" ramp={(self.end - self.start) // 2} or less",
                "ramp",
            )

    def check(self, p: int, at: int, epochs: int) -> None:
        """``BadParameter`` if it does not fit a fork at ``at`` of a model of Z_p trained to ``epochs``."""
        unknown = [k for k in self.frequencies if not 1 <= k <= (p - 1) // 2]
        if unknown:
            raise BadParameter(
                f"frequency {unknown[0]} does not exist for p={p}; choose 1 to {(p - 1) // 2}", "frequencies"
            )
        if self.start < at:
            raise BadParameter(
                f"the gain starts at epoch {self.start}, before the fork at epoch {at}", "start"
            )
        if self.end > epochs:
            raise BadParameter(
                f"the gain ends at epoch {self.end}, but the run ends at epoch {epochs}; end it earlier, or"
                f" train for at least {self.end} epochs",
                "end",
            )

    def strength(self, epoch: int) -> float:
        """The ramp r(e) in [0, 1] of the losses and the update at ``epoch``."""
        if not self.start <= epoch < self.end:
            return 0.0
        if not self.ramp:
            return 1.0
        return min(1.0, (epoch - self.start) / self.ramp, (self.end - epoch) / self.ramp)

    def matrix(self, weights: Mapping[str, Tensor], p: int) -> Tensor:
        """(g - 1) P in float64: what is added to x, as a multiple of it, at full strength.

        [d_model, d_model] for attn_out, [p, p] (over tokens) for embed; symmetric.
        """
        angle = 2 * math.pi / p * (torch.outer(torch.tensor(self.frequencies), torch.arange(p)) % p).double()
        waves = math.sqrt(2 / p) * torch.cat([angle.cos(), angle.sin()])  # [2 K, p], orthonormal rows
        if self.site == "attn_out":
            directions = waves @ weights["embed.W_E"][:p].double()  # [2 K, d_model]
            waves = torch.linalg.svd(directions, full_matrices=False).Vh[: _rank(directions)]
        return (self.gain - 1) * waves.T @ waves

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it is stored in ``variant.config``."""
        return {**asdict(self), "frequencies": list(self.frequencies)}

    @property
    def name(self) -> str:
        """A readable part of a variant's name, e.g. ``gain2_attn_out_k9+33_9200+400``."""
        named = "+".join(str(k) for k in self.frequencies)
        return f"gain{self.gain:g}_{self.site}_k{named}_{self.start}+{self.end - self.start}" + (
            f"_ramp{self.ramp}" if self.ramp else ""
        )


def gain_of(given: FrequencyGain | Mapping[str, Any] | None) -> FrequencyGain | None:
    """The intervention of a value object or its JSON; ``BadParameter`` names an unknown setting."""
    if given is None or isinstance(given, FrequencyGain):
        return given
    try:
        return FrequencyGain(**{**given, "frequencies": tuple(given["frequencies"])})
    except (TypeError, KeyError) as error:
        raise BadParameter(
            f"{dict(given)!r} is not a frequency gain ({error}); it needs site, frequencies, gain, start, end"
        ) from None


def _rank(directions: Tensor) -> int:
    """How many of the directions are linearly independent beyond rounding of the float32 weights."""
    values = torch.linalg.svdvals(directions)
    return int((values > values.max() * 1e-6).sum())
