"""What instruments share: derived from one checkpoint, computed when first asked for, in float64."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import loss_and_margin
from analyzers.fourier import GridSpectrum, Spectrum, grid_transform, transform
from analyzers.logit_variance import variances
from analyzers.task import ModularTask, modular_task
from analyzers.threads import one_thread
from data.errors import BadParameter, WorkbenchError

if TYPE_CHECKING:
    import torch

    from analyzers.optimizer import Optimizer
    from training.fast_path import GridActivations

FEATURES_VERSION = 2  # part of every artifact's key: raise it when a feature's numbers may change

Array = NDArray[Any]
T = TypeVar("T")


class feature(Generic[T]):
    """A property that is computed once per `Features`; the seconds it took are kept in `Features.seconds`.

    The time of a feature leaves out that of the features it asked for.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> feature[T]: ...
    @overload
    def __get__(self, instance: Features, owner: type) -> T: ...
    def __get__(self, instance: Features | None, owner: type) -> feature[T] | T:
        if instance is None:
            return self
        before, started = sum(instance.seconds.values()), time.perf_counter()
        value = self._compute(instance)
        nested = sum(instance.seconds.values()) - before
        instance.seconds[self._name] = time.perf_counter() - started - nested
        instance.__dict__[self._name] = value
        return value


class Features:
    """Lazy features of one checkpoint of a modular-arithmetic variant.

    weights  by the field's names, any float dtype
    family, params  of the variant; they decide p, the right answers and the split
    needs    artifacts of the same epoch: needs[analyzer][output] is an array
    finals   the same of the run's last checkpoint
    optimizer  that trained the model, at this epoch; None if that is not known
    reader   the instrument that is computed with them just now
    seconds  time spent per feature so far; its names tell which features were computed
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        family: str,
        params: Mapping[str, Any],
        needs: Mapping[str, Mapping[str, Array]] | None = None,
        optimizer: Optimizer | None = None,
    ) -> None:
        self._weights, self.family, self.params = weights, family, params
        self.needs: dict[str, Mapping[str, Array]] = dict(needs or {})
        self.optimizer = optimizer
        self.finals: dict[str, Mapping[str, Array]] = {}
        self.reader = ""
        self.seconds: dict[str, float] = {}

    def need(self, analyzer: str, output: str) -> Array:
        """One array of another instrument at this epoch. WorkbenchError if it was not declared in `needs`."""
        return self._provided(self.needs, "needs", analyzer, output)

    def final(self, analyzer: str, output: str) -> Array:
        """The same at the run's last checkpoint. WorkbenchError if it was not declared in `needs_final`."""
        return self._provided(self.finals, "needs_final", analyzer, output)

    def _provided(
        self, provided: Mapping[str, Mapping[str, Array]], declared: str, analyzer: str, output: str
    ) -> Array:
        reader = self.reader or "The instrument"
        if analyzer not in provided:
            raise WorkbenchError(
                f"{reader} asks for {analyzer} without declaring it. Add {analyzer!r} to its `{declared}`."
            )
        if output not in provided[analyzer]:
            raise WorkbenchError(
                f"{reader} asks for the output {output!r} of {analyzer}, which has:"
                f" {', '.join(provided[analyzer])}."
            )
        return np.asarray(provided[analyzer][output])

    # --- the task, without the model ---------------------------------------------------------------------

    @feature
    def task(self) -> ModularTask:
        """Modulus, right answers and split."""
        return modular_task(self.family, self.params)

    @property
    def p(self) -> int:
        return self.task.p

    # --- weights -----------------------------------------------------------------------------------------

    @feature
    def tensors(self) -> dict[str, torch.Tensor]:
        """All weights as float64 tensors."""
        return {name: tensor.detach().cpu().double() for name, tensor in self._weights.items()}

    @feature
    def weights(self) -> dict[str, Array]:
        """All weights as float64 arrays, by the field's names."""
        return {name: tensor.numpy() for name, tensor in self.tensors.items()}

    def weight(self, name: str) -> Array:
        """One weight in float64. Raises `BadParameter` that lists what the checkpoint holds."""
        try:
            return self.weights[name]
        except KeyError:
            raise BadParameter(
                f"The checkpoint has no weight {name!r}; it has: {', '.join(self.weights)}."
            ) from None

    @feature
    def W_E(self) -> Array:
        """Embedding of the p number tokens, [p, d_model]: the row of `=` is left out."""
        return self.weight("embed.W_E")[: self.p]

    @feature
    def W_U(self) -> Array:
        """Unembedding, [d_model, p]."""
        return self.weight("unembed.W_U")

    @feature
    def neuron_logit_map(self) -> Array:
        """W_L = W_out W_U, what each neuron adds to each logit, [d_mlp, p]."""
        return self.weight("blocks.0.mlp.W_out") @ self.W_U

    @feature
    def matrices(self) -> dict[str, Array]:
        """Every weight matrix by short name, attention per head: W_E, W_Q.0, ..., W_in, W_out, W_U."""
        named = {"W_E": self.W_E}
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            stacked = self.weight(f"blocks.0.attn.{name}")
            named |= {f"{name}.{head}": matrix for head, matrix in enumerate(stacked)}
        return named | {
            "W_in": self.weight("blocks.0.mlp.W_in"),
            "W_out": self.weight("blocks.0.mlp.W_out"),
            "W_U": self.W_U,
        }

    @feature
    def singular_values(self) -> dict[str, Array]:
        """Singular values of every matrix, descending; NaN throughout for a matrix that is not finite."""
        with one_thread():
            return {name: _singular_values(matrix) for name, matrix in self.matrices.items()}

    # --- activations at `=`, over the whole grid ---------------------------------------------------------

    @feature
    def pattern(self) -> Array:
        """Attention of `=` to (a, b, =), [n_heads, 3, p (a), p (b)]: the softmax of that one query."""
        from training.fast_path import attention_pattern

        return attention_pattern(self.tensors, self.p).numpy()

    @feature
    def pattern_spectrum(self) -> GridSpectrum:
        """Grid spectrum of every attention map; fields [K, n_heads, 3]."""
        return grid_transform(np.moveaxis(self.pattern, (2, 3), (0, 1)))

    @feature
    def grid(self) -> GridActivations:
        """Activations of the whole model on the grid (float64 tensors)."""
        from training.fast_path import forward_grid

        return forward_grid(self.tensors, self.p)

    @feature
    def neurons(self) -> Array:
        """Neurons after the ReLU, [p (a), p (b), d_mlp]."""
        return self.grid.neurons.numpy()

    @feature
    def neuron_spectrum(self) -> GridSpectrum:
        """Grid spectrum of every neuron; fields [K, d_mlp]."""
        return grid_transform(self.neurons)

    @feature
    def neuron_inputs(self) -> tuple[Spectrum, Spectrum]:
        """What reaches each neuron from a alone and from b alone: spectra with fields [K, d_mlp].

        The pre-activation h(a, b) averaged over the other token, u(a) = mean_b h and v(b) = mean_a h, through
        the attention as it is.
        """
        resid, w_in = self.grid.resid_mid, self.tensors["blocks.0.mlp.W_in"]
        of_a, of_b = ((resid.mean(dim=other) @ w_in).numpy() for other in (1, 0))
        return transform(of_a), transform(of_b)

    @feature
    def logits(self) -> Array:
        """Logits over the p classes, [p * p, p], rows in the order n = a * p + b."""
        return self.grid.logits.numpy().reshape(self.p**2, -1)

    @feature
    def loss_and_margin(self) -> tuple[Array, Array]:
        """Cross-entropy (nat) and margin (logit) of every input, [p * p] each."""
        return loss_and_margin(self.logits, self.task.labels)

    @feature
    def logit_variances(self) -> tuple[float, float]:
        """Variance of the logits, raw and double-centred (`analyzers.logit_variance`)."""
        return variances(self.logits)

    @feature
    def logit_spectrum(self) -> GridSpectrum:
        """Grid spectrum of the logit of every class; fields [K, p (class)]."""
        return grid_transform(self.logits.reshape(self.p, self.p, -1))


def _singular_values(matrix: Array) -> Array:
    if not np.isfinite(matrix).all():
        return np.full(min(matrix.shape), np.nan)
    import torch

    return torch.linalg.svdvals(torch.from_numpy(matrix)).numpy()
