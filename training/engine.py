"""Full-batch AdamW over one or many variants of one shape, on a CPU or as a CUDA graph.

All weights of a variant are one row of a flat array [variants, n_weights]; the tensors that a step works on
are views of it. An epoch is: losses and gradients of the current weights, then one AdamW update. Nothing goes
from the device to the host within ``advance`` but the records at its end. Variants share nothing but the
moment: each has its own epoch, rates and interventions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from training.acceleration import has_kernels

RECORDED = ("train_loss", "test_loss", "weight_norm")
RATES = ("lr", "weight_decay")
SITES = ("attn_out", "embed")
STATE = ("weights", "exp_avg", "exp_avg_sq")
Step = Callable[[], Tensor]
"""Returns train and test loss [2, variants] (float64) and fills the gradients of the train loss."""


@dataclass(frozen=True)
class Intervention:
    """A linear change of what a part of the model writes while it trains, scaled by r = ramp(epoch) in 0..1.

    site ``attn_out``: the output v of attention becomes v + r v A, with A = matrix [d_model, d_model].
    site ``embed``: the embedding W of the p numbers becomes (I + r B) W, with B = matrix [p, p].
    Losses and gradients at an epoch are of the changed model; the stored weights are the unchanged ones.
    """

    site: str
    matrix: Tensor
    ramp: Callable[[int], float]

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise ValueError(f"unknown site {self.site!r}; there is: {', '.join(SITES)}")


class Interventions:
    """The interventions of every variant of a batch on its device; ramps are the only thing that changes."""

    def __init__(self, of_variants: Sequence[Sequence[Intervention]], like: Tensor) -> None:
        self._of_variants = of_variants
        self._slots: dict[str, slice] = {}
        self._matrices: dict[str, Tensor] = {}
        slots = 0
        for site in SITES:
            found = [[one for one in own if one.site == site] for own in of_variants]
            count = max(map(len, found), default=0)
            if not count:
                continue
            size = next(own[0].matrix.shape for own in found if own)
            stacked = torch.zeros(len(found), count, *size, dtype=like.dtype)
            for variant, own in enumerate(found):
                for slot, one in enumerate(own):
                    stacked[variant, slot] = one.matrix
            self._slots[site], self._matrices[site] = slice(slots, slots + count), stacked.to(like.device)
            slots += count
        self.ramps = like.new_zeros(len(of_variants), slots)  # [variants, slots]

    def matrix(self, site: str) -> Tensor | None:
        """Sum of r A over the interventions at the site, [variants, n, n]; None if no variant has one."""
        if site not in self._slots:
            return None
        return (self.ramps[:, self._slots[site], None, None] * self._matrices[site]).sum(1)

    def ramps_at(self, epochs: Sequence[int]) -> NDArray[np.float64]:
        """Ramps [variants, slots] when variant i is at epochs[i]."""
        ramps = np.zeros(tuple(self.ramps.shape))
        for variant, own in enumerate(self._of_variants):
            for site, slots in self._slots.items():
                for slot, one in enumerate(one for one in own if one.site == site):
                    ramps[variant, slots.start + slot] = one.ramp(epochs[variant])
        return ramps


MakeStep = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Interventions], Step]


class Engine:
    """Weights, AdamW moments and epochs of ``len(initial)`` variants.

    initial: the weights of each variant at epoch 0. make_step(weights, grads, interventions) gets views
    [variants, ...] by name. tf32 allows TensorFloat-32 matrix products on CUDA (faster, less exact).
    """

    def __init__(
        self,
        initial: Sequence[Mapping[str, Tensor]],
        make_step: MakeStep,
        device: torch.device,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        tf32: bool = False,
        interventions: Sequence[Sequence[Intervention]] | None = None,
    ) -> None:
        variants = len(initial)
        self.epochs = [0] * variants
        self.device, self.tf32 = device, tf32
        self._on_cuda = device.type == "cuda"
        self._betas, self._eps = betas, eps
        self._shapes = {name: weight.shape for name, weight in initial[0].items()}
        self._weights = torch.stack([flatten(weights) for weights in initial]).to(device)
        self._grads, self._scratch = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        self._mean, self._square = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        self._factors = self._weights.new_ones(3, variants, 1)
        self._record = self._weights.new_zeros(len(RECORDED), variants, dtype=torch.float64)
        self._fused = has_kernels(self._weights.device)
        self._interventions = Interventions(interventions or [()] * variants, self._weights)
        views = self._views(self._weights), self._views(self._grads)
        self._step = make_step(*views, self._interventions)
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def variants(self) -> int:
        return len(self.epochs)

    def advance(self, rates: ArrayLike) -> NDArray[np.float64]:
        """Train by ``len(rates)`` epochs; returns [epochs, 3 (RECORDED), variants], of the weights before
        each update.

        rates [epochs, variants, 2]: learning rate and weight decay of each update.
        """
        rates = np.asarray(rates, dtype=np.float64)
        if rates.shape != (len(rates), self.variants, len(RATES)):
            raise ValueError(f"rates {rates.shape} must be [epochs, {self.variants} variants, {len(RATES)}]")
        factors = self._on_device(self._update_factors(rates)[..., None])  # [epochs, 3, variants, 1]
        ramps = self._on_device(self._ramps(len(rates)))
        records = self._record.new_empty(len(rates), *self._record.shape)
        with self._computing():
            if self._on_cuda and self._graph is None:
                self._capture()
            for i in range(len(rates)):
                self._factors.copy_(factors[i])
                self._set_ramps(ramps[i])
                if self._graph is None:
                    self._tick()
                else:
                    self._graph.replay()
                records[i].copy_(self._record)
        self.epochs = [epoch + len(rates) for epoch in self.epochs]
        return records.cpu().numpy()

    def evaluate(self) -> NDArray[np.float64]:
        """[3 (RECORDED), variants] of the current weights, without an update."""
        with self._computing():
            self._set_ramps(self._on_device(self._ramps(1))[0])
            self._observe()
        return self._record.cpu().numpy().copy()

    def weights(self, variant: int = 0) -> dict[str, Tensor]:
        """A copy of the weights of one variant, by name, on the CPU."""
        flat = self._weights[variant : variant + 1].detach().to("cpu", copy=True)
        return {name: view[0] for name, view in self._views(flat).items()}

    def state(self, variant: int = 0) -> dict[str, Tensor]:
        """Everything that ``load_state`` needs to continue one variant bit for bit, on the CPU: ``weights``,
        ``exp_avg`` and ``exp_avg_sq``, flat [n_weights]."""
        return {name: part[variant].to("cpu", copy=True) for name, part in self._state_parts()}

    def load_state(self, variant: int, epoch: int, state: Mapping[str, Tensor]) -> None:
        """Continue one variant from its state at ``epoch``."""
        for name, part in self._state_parts():
            if state[name].shape != part[variant].shape or state[name].dtype != part.dtype:
                raise ValueError(f"{name} of the stored state does not fit this model")
        for name, part in self._state_parts():
            part[variant].copy_(state[name])
        self.epochs[variant] = epoch

    def _state_parts(self) -> Iterator[tuple[str, Tensor]]:
        return zip(STATE, (self._weights, self._mean, self._square), strict=True)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = flat.split(sizes, dim=1)
        return {
            name: part.unflatten(1, shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _on_device(self, values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).to(self.device, self._weights.dtype)

    def _set_ramps(self, ramps: Tensor) -> None:
        if ramps.numel():
            self._interventions.ramps.copy_(ramps)

    def _ramps(self, epochs: int) -> NDArray[np.float64]:
        """[epochs, variants, slots]"""
        if not self._interventions.ramps.numel():
            return np.zeros((epochs, 0))
        return np.stack([self._interventions.ramps_at([e + i for e in self.epochs]) for i in range(epochs)])

    def _update_factors(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Decay factor, step size and root of the second-moment correction, [epochs, 3, variants]."""
        corrections = {}  # by scalar arithmetic, so that they do not depend on how a run is cut into calls
        for first in set(self.epochs):
            updates = range(first + 1, first + len(rates) + 1)
            corrections[first] = [[1 - beta**update for beta in self._betas] for update in updates]
        mean, square = np.array([corrections[epoch] for epoch in self.epochs]).transpose(2, 1, 0)
        lr, weight_decay = rates.transpose(2, 0, 1)
        return np.stack([1 - lr * weight_decay, lr / mean, np.sqrt(square)], axis=1)

    def _tick(self) -> None:
        self._observe()
        self._update()

    def _observe(self) -> None:
        self._record[:2].copy_(self._step())
        torch.linalg.vector_norm(self._weights, dim=1, dtype=torch.float64, out=self._record[2])

    def _update(self) -> None:
        """AdamW with decoupled decay: w <- decay w - step m / (sqrt(v) / correction + eps)."""
        if self._fused:
            from training import kernels

            state = self._weights, self._grads, self._mean, self._square
            return kernels.adamw(*state, self._factors, self._betas, self._eps)
        decay, step_size, correction = self._factors
        beta1, beta2 = self._betas
        self._mean.lerp_(self._grads, 1 - beta1)
        self._square.mul_(beta2).addcmul_(self._grads, self._grads, value=1 - beta2)
        torch.sqrt(self._square, out=self._scratch)
        self._scratch.div_(correction).add_(self._eps)
        torch.div(self._mean, self._scratch, out=self._scratch)
        self._weights.mul_(decay).sub_(self._scratch.mul_(step_size))
        return None

    def _capture(self) -> None:
        """Record one epoch as a CUDA graph. Warming up runs real epochs, so the state is put back."""
        live = (self._weights, self._mean, self._square)
        saved = [tensor.clone() for tensor in live]
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                self._tick()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._tick()
        for tensor, before in zip(live, saved, strict=True):
            tensor.copy_(before)
        self._graph = graph

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """No autograd, the asked-for matrix precision, and this engine's device as the current one."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        try:
            with torch.no_grad(), torch.cuda.device(self.device) if self._on_cuda else nullcontext():
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def flatten(weights: Mapping[str, Tensor]) -> Tensor:
    """All weights of one variant in a row, in the order of the mapping: the form they have in a state."""
    return torch.cat([weight.flatten() for weight in weights.values()])


def initial_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state as ``Engine.load_state`` takes it, with these weights (in the family's order) and moments of
    zero."""
    flat = flatten(weights)
    return {"weights": flat, "exp_avg": torch.zeros_like(flat), "exp_avg_sq": torch.zeros_like(flat)}
