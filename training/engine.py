"""Full-batch AdamW over one or many variants of one shape, on a CPU or as a CUDA graph.

All weights of a variant are one row of a flat array [variants, n_weights]; the tensors that a step works on
are views of it. An epoch is: losses and gradients of the current weights, then one AdamW update. Nothing goes
from the device to the host within ``advance`` but the records at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RECORDED = ("train_loss", "test_loss", "weight_norm")
Step = Callable[[], Tensor]
"""Returns train and test loss [2, variants] (float64) and fills the gradients of the train loss."""
MakeStep = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Step]


class Engine:
    """Weights, AdamW moments and the epoch of ``len(initial)`` variants.

    initial: the weights of each variant at epoch 0. make_step(weights, grads) gets views [variants, ...] by
    name. tf32 allows TensorFloat-32 matrix products on CUDA (faster, less exact).
    """

    def __init__(
        self,
        initial: Sequence[Mapping[str, Tensor]],
        make_step: MakeStep,
        device: torch.device,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 1.0,
        tf32: bool = False,
    ) -> None:
        self.epoch = 0
        self.device, self.tf32 = device, tf32
        self._on_cuda = device.type == "cuda"
        self._betas, self._eps, self._weight_decay = betas, eps, weight_decay
        self._shapes = {name: weight.shape for name, weight in initial[0].items()}
        flat = [torch.cat([weights[name].flatten() for name in self._shapes]) for weights in initial]
        self._weights = torch.stack(flat).to(device)
        self._grads, self._scratch = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        self._mean, self._square = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        variants = len(initial)
        self._rates = self._weights.new_ones(3, variants, 1)
        self._record = self._weights.new_zeros(len(RECORDED), variants, dtype=torch.float64)
        self._step = make_step(self._views(self._weights), self._views(self._grads))
        self._graph: torch.cuda.CUDAGraph | None = None

    def advance(self, learning_rates: Sequence[float]) -> NDArray[np.float64]:
        """One epoch per learning rate; [epochs, 3 (RECORDED), variants] of the weights before each update."""
        first = self.epoch
        rates = [self._rates_at(first + i, lr) for i, lr in enumerate(learning_rates)]
        table = torch.tensor(rates, dtype=self._weights.dtype, device=self.device)[:, :, None, None]
        records = self._record.new_empty(len(rates), *self._record.shape)
        with self._computing():
            if self._on_cuda and self._graph is None:
                self._capture()
            for i in range(len(rates)):
                self._rates.copy_(table[i].expand_as(self._rates))
                if self._graph is None:
                    self._tick()
                else:
                    self._graph.replay()
                records[i].copy_(self._record)
        self.epoch += len(rates)
        return records.cpu().numpy()

    def evaluate(self) -> NDArray[np.float64]:
        """[3 (RECORDED), variants] of the current weights, without an update."""
        with self._computing():
            self._observe()
        return self._record.cpu().numpy()

    def weights(self, variant: int = 0) -> dict[str, Tensor]:
        """A copy of the weights of one variant, by name, on the CPU."""
        return {name: view[variant] for name, view in self._views(self._weights.cpu().clone()).items()}

    def state(self, variant: int = 0) -> dict[str, Tensor]:
        """Everything that ``load_state`` needs to continue one variant bit for bit, on the CPU."""
        parts = {"weights": self._weights, "exp_avg": self._mean, "exp_avg_sq": self._square}
        return {name: part[variant].cpu().clone() for name, part in parts.items()}

    def load_state(self, epoch: int, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Continue every variant from its state at ``epoch``."""
        for variant, state in enumerate(states):
            for name, part in (
                ("weights", self._weights),
                ("exp_avg", self._mean),
                ("exp_avg_sq", self._square),
            ):
                if state[name].shape != part[variant].shape or state[name].dtype != part.dtype:
                    raise ValueError(f"{name} of the stored state does not fit this model")
                part[variant].copy_(state[name])
        self.epoch = epoch

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = flat.split(sizes, dim=1)
        return {
            name: part.unflatten(1, shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _rates_at(self, epoch: int, lr: float) -> tuple[float, float, float]:
        """Decay factor, step size and root of the second-moment correction of the update after ``epoch``."""
        beta1, beta2 = self._betas
        update = epoch + 1
        return 1 - lr * self._weight_decay, lr / (1 - beta1**update), math.sqrt(1 - beta2**update)

    def _tick(self) -> None:
        self._observe()
        self._update()

    def _observe(self) -> None:
        self._record[:2].copy_(self._step())
        torch.linalg.vector_norm(self._weights, dim=1, dtype=torch.float64, out=self._record[2])

    def _update(self) -> None:
        """AdamW with decoupled decay: w <- decay w - step m / (sqrt(v) / correction + eps)."""
        decay, step_size, correction = self._rates
        beta1, beta2 = self._betas
        self._mean.lerp_(self._grads, 1 - beta1)
        self._square.mul_(beta2).addcmul_(self._grads, self._grads, value=1 - beta2)
        torch.sqrt(self._square, out=self._scratch)
        self._scratch.div_(correction).add_(self._eps)
        torch.div(self._mean, self._scratch, out=self._scratch)
        self._weights.mul_(decay).sub_(self._scratch.mul_(step_size))

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
