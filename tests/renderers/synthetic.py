"""A made-up variant with artifacts of the analyzers' schemas, for tests of views.

Artifacts with a maker below are made up. Every other one is the real instrument's result on a planted variant
of the same shape, so that an instrument needs no entry here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from planted import planted_weights

from analyzers.arrays import dataset_of
from analyzers.instruments.parameter_pca import principal_components
from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.resampling import centres, resampler
from analyzers.service import AnalyzerService
from data import Variant, Workspace
from data.errors import BadParameter, MissingArtifact, UnknownEpoch
from training.families import modular_addition

EPOCHS = np.array([0, 1, 5, 20, 50, 100, 150, 200, 400, 800, 900, 1000, 1500, 2000])
KEYS = (2, 5, 3)
SPLITS = ["train", "test", "all"]
SOURCES = ["a", "b", "="]
GROUPS = ["all", "embedding", "attention", "mlp", "W_U"]
GROUPS += ["W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"]
HEADS = 4


class SyntheticVariant:
    """What views need of `data.Variant`."""

    def __init__(
        self, p: int = 13, d_mlp: int = 40, with_history: bool = True, name: str = "p13-s0-d598"
    ) -> None:
        self.name, self.params, self.d_mlp, self._with_history = (
            name,
            {"p": p, "seed": 0},
            d_mlp,
            with_history,
        )
        self.epochs = EPOCHS.tolist()

    def at(self, epoch: int) -> None:
        if epoch not in self.epochs:
            raise UnknownEpoch(f"Epoch {epoch} of {self.name} was not saved.")

    def token(self) -> str:
        return "synthetic"

    @property
    def history(self) -> xr.Dataset:
        if not self._with_history:
            return xr.Dataset(coords={"epoch": np.zeros(0, "int64")})
        epoch = np.arange(EPOCHS[-1] + 1)
        noise = np.random.default_rng(0).normal(0, 0.03, (2, len(epoch)))
        train = 4.7 * np.exp(-epoch / 30) + 2e-6 * np.exp(-epoch / 900)
        test = 4.7 + 15 * (1 - np.exp(-epoch / 60))
        test = 1e-6 + test / (1 + np.exp((epoch - 1000) / 40))
        columns = {
            "train_loss": train * np.exp(noise[0]),
            "test_loss": test * np.exp(noise[1]),
            "lr": np.where(epoch < 700, 1e-3, 3e-4),
            "weight_decay": np.minimum(1.0, (epoch + 1) / 100),
        }
        return xr.Dataset(
            {name: ("epoch", values) for name, values in columns.items()}, coords={"epoch": epoch}
        )


class SyntheticReader:
    """What views need of the analyzer service. `without` names analyzers that have not run."""

    def __init__(
        self, without: tuple[str, ...] = (), change: Callable[[str, xr.Dataset], xr.Dataset] | None = None
    ):
        self.without, self.change = without, change

    def read(self, variant: Any, name: str, **params: Any) -> xr.Dataset:
        if name in self.without:
            raise MissingArtifact(variant.name, name)
        made = _made(name, variant.params["p"], variant.d_mlp) if name in MAKERS else _real(name, **params)
        return self.change(name, made) if self.change else made

    def on_demand(self, variant: Any, epoch: int, name: str, **params: Any) -> xr.Dataset:
        if name in MAKERS:
            made = _made(name, variant.params["p"], variant.d_mlp, epoch, **params)
        else:
            made = _real_on_demand(name, epoch, **params)
        return self.change(name, made) if self.change else made

    def token(self, variant: Any, name: str, **params: Any) -> str:
        return "" if name in self.without else f"{name}-1"


@cache
def _planted_variant() -> Variant:
    """A real variant of p = 13 and 40 neurons whose weights turn into waves of the same frequencies."""
    workspace = Workspace(Path(tempfile.mkdtemp()) / "workspace", create=True)
    params = modular_addition.Params(p=13, seed=0)
    config = modular_addition.TrainingConfig(d_model=32, n_heads=HEADS, d_head=8, d_mlp=40)
    variant = workspace.create_variant(modular_addition.record(params, config))
    start = modular_addition.init_weights(params, config)
    for epoch, strength in zip(EPOCHS.tolist(), _progress(), strict=True):
        variant.save_checkpoint(epoch, planted_weights(start, KEYS, float(strength), seed=0))
    history = SyntheticVariant().history
    variant.save_history(
        {"epoch": history["epoch"].values, **{str(name): history[name].values for name in history}}
    )
    return variant


@cache
def _real(name: str, **params: Any) -> xr.Dataset:
    variant = _planted_variant()
    if not default_registry().get(name).stored:
        raise BadParameter(f"{name} is not stored.")
    analyze(variant, [name], parameters={name: params} if params else None)
    return AnalyzerService().read(variant, name, **params)


@cache
def _real_on_demand(name: str, epoch: int, **params: Any) -> xr.Dataset:
    return AnalyzerService().on_demand(_planted_variant(), epoch, name, **params)


@cache
def _made(name: str, p: int, d_mlp: int, *epoch: int, **params: Any) -> xr.Dataset:
    """What the maker called `name` makes; it depends on nothing else of a variant."""
    return MAKERS[name](SyntheticVariant(p, d_mlp), *epoch, **params)


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _freqs(variant: SyntheticVariant) -> np.ndarray:
    return np.arange(1, (variant.params["p"] - 1) // 2 + 1)


def _progress() -> np.ndarray:
    return 1 / (1 + np.exp(-(EPOCHS - 600) / 150))


def _fractions(variant: SyntheticVariant, owners: np.ndarray, seed: int) -> np.ndarray:
    """[epoch, freq, owner]: noise that concentrates on each owner's frequency."""
    freqs, rng = _freqs(variant), _rng(seed)
    noise = rng.dirichlet(np.ones(len(freqs)), (len(EPOCHS), len(owners)))
    planted = (freqs[None, :] == owners[:, None]).astype(float)
    share = _progress()[:, None, None] * rng.uniform(0.8, 0.97, (1, len(owners), 1))
    return np.moveaxis(noise * (1 - share) + planted * share, 2, 1).astype("float32")


def _owners(variant: SyntheticVariant) -> np.ndarray:
    return _rng(1).choice([*KEYS, 1], variant.d_mlp, p=[0.4, 0.3, 0.2, 0.1])


def neuron_frequencies(variant: SyntheticVariant) -> xr.Dataset:
    fraction = _fractions(variant, _owners(variant), 2)
    dominant = fraction.argmax(axis=1).astype("int16") + 1
    top = fraction.max(axis=1)
    fraction[:, :, 0], dominant[:, 0], top[:, 0] = np.nan, 0, np.nan  # neuron 0 is constant
    return xr.Dataset(
        {
            "fraction": (("epoch", "freq", "neuron"), fraction),
            "dominant_frequency": (("epoch", "neuron"), dominant),
            "dominant_fraction": (("epoch", "neuron"), top),
            "variance": (("epoch", "neuron"), np.ones_like(top)),
            "mean": (("epoch", "neuron"), np.ones_like(top)),
        },
        coords={"epoch": EPOCHS, "freq": _freqs(variant), "neuron": np.arange(variant.d_mlp)},
    )


def neuron_clusters(variant: SyntheticVariant) -> xr.Dataset:
    measured = neuron_frequencies(variant)
    good = measured["dominant_fraction"].values > 0.85
    cluster = np.where(good, measured["dominant_frequency"].values, 0).astype("int16")
    size = np.stack([(cluster == k).sum(axis=1) for k in _freqs(variant)], axis=1).astype("int32")
    return xr.Dataset(
        {
            "cluster": (("epoch", "neuron"), cluster),
            "size": (("epoch", "freq"), size),
            "unassigned": ("epoch", (cluster == 0).sum(axis=1).astype("int32")),
        },
        coords=measured.coords,
    )


def neuron_map(
    variant: SyntheticVariant, epoch: int, neuron: int, resolution: int = 0, method: str = "bilinear"
) -> xr.Dataset:
    if neuron >= variant.d_mlp:
        raise BadParameter(f"neuron {neuron} does not exist; there are neurons 0 to {variant.d_mlp - 1}.")
    p, k = variant.params["p"], int(_owners(variant)[neuron])
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    wave = np.cos(2 * np.pi * k * a / p + 0.3) + np.cos(2 * np.pi * k * b / p - 0.9)
    values = (
        np.maximum(wave + _rng(3, neuron, epoch).normal(0, 0.1, (p, p)), 0) if neuron else np.zeros((p, p))
    )
    cells = min(resolution, p) or p
    matrix, places = resampler(p, cells, method), centres(p, cells)
    return xr.Dataset(
        {"activation": (("a", "b"), (matrix @ values @ matrix.T).astype("float32"))},
        coords={"a": places, "b": places},
    )


def attention_maps(variant: SyntheticVariant, epoch: int) -> xr.Dataset:
    p = variant.params["p"]
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    waves = np.stack([np.cos(2 * np.pi * k * a / p) - np.cos(2 * np.pi * k * b / p) for k in (2, 5, 2, 3)])
    scores = np.stack([waves, -waves, np.full_like(waves, -3.0)], axis=1) * (epoch / EPOCHS[-1] + 0.1)
    pattern = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return xr.Dataset(
        {"pattern": (("head", "source", "a", "b"), pattern.astype("float32"))},
        coords={"head": range(HEADS), "source": SOURCES, "a": range(p), "b": range(p)},
    )


def attention_frequencies(variant: SyntheticVariant) -> xr.Dataset:
    per_source = [_fractions(variant, np.array([2, 5, 2, 3]), 4 + index) for index in range(3)]
    fraction = np.stack(per_source, axis=-1).transpose(0, 2, 3, 1)  # epoch, head, source, freq
    dominant = fraction.argmax(axis=-1).astype("int16") + 1
    top = fraction.max(axis=-1)
    fraction[0, 1], dominant[0, 1], top[0, 1] = np.nan, 0, np.nan
    dims = ("epoch", "head", "source")
    return xr.Dataset(
        {
            "fraction": ((*dims, "freq"), fraction),
            "dominant_frequency": (dims, dominant),
            "dominant_fraction": (dims, top),
            "mean_attention": (dims, np.full(top.shape, 1 / 3, "float32")),
            "variance": (dims, np.full(top.shape, 0.05, "float32")),
        },
        coords={"epoch": EPOCHS, "head": range(HEADS), "source": SOURCES, "freq": _freqs(variant)},
    )


def embedding_fourier(variant: SyntheticVariant) -> xr.Dataset:
    freqs, variables = _freqs(variant), {}
    for index, matrix in enumerate(("W_E", "W_U")):
        size = 0.4 + np.isin(freqs, KEYS) * 2.0 * _progress()[:, None]
        noise = _rng(7, index).uniform(0.6, 1.1, (2, len(EPOCHS), len(freqs)))
        cos, sin = (size * part for part in noise)
        variables |= {
            f"{matrix}_const": ("epoch", np.full(len(EPOCHS), 0.2, "float32")),
            f"{matrix}_cos": (("epoch", "freq"), cos.astype("float32")),
            f"{matrix}_sin": (("epoch", "freq"), sin.astype("float32")),
            f"{matrix}_norm": (("epoch", "freq"), np.hypot(cos, sin).astype("float32")),
        }
    return xr.Dataset(variables, coords={"epoch": EPOCHS, "freq": freqs})


def singular_values(variant: SyntheticVariant) -> xr.Dataset:
    names = ["W_E", *(f"{kind}.{head}" for kind in ("W_Q", "W_K", "W_V", "W_O") for head in range(HEADS))]
    names += ["W_in", "W_out", "W_U"]
    values = np.full((len(EPOCHS), len(names), 16), np.nan, "float32")
    for index, name in enumerate(names):
        rank = 8 if "." in name else 12 + index % 4
        decay = (0.02 + 0.3 * _progress())[:, None] * np.arange(rank) * _rng(8, index).uniform(0.8, 1.2)
        values[:, index, :rank] = 3 * np.exp(-decay)
    squares = values**2
    ratio_sv = np.nansum(values, axis=2) ** 2 / np.nansum(squares, axis=2)
    ratio_ev = np.nansum(squares, axis=2) ** 2 / np.nansum(squares**2, axis=2)
    return xr.Dataset(
        {
            "singular_value": (("epoch", "matrix", "component"), values),
            "participation_ratio_sv": (("epoch", "matrix"), ratio_sv),
            "participation_ratio_ev": (("epoch", "matrix"), ratio_ev),
        },
        coords={"epoch": EPOCHS, "matrix": names, "component": np.arange(1, 17)},
    )


def logits_summary(variant: SyntheticVariant) -> xr.Dataset:
    dims, quantiles = ("epoch", "split"), np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    late = np.stack([1 - np.exp(-EPOCHS / 30), _progress(), _progress()], axis=1)
    mean = 20 * late - 3
    spread = mean[:, :, None] + 3 * (quantiles - 0.5)
    return xr.Dataset(
        {
            "loss": (dims, np.exp(-mean)),
            "accuracy": (dims, late),
            "margin_mean": (dims, mean.astype("float32")),
            "margin_min": (dims, (mean - 4).astype("float32")),
            "margin_quantile": ((*dims, "quantile"), spread.astype("float32")),
        },
        coords={"epoch": EPOCHS, "split": SPLITS, "quantile": quantiles},
    )


def parameter_pca(variant: SyntheticVariant) -> xr.Dataset:
    angle = np.pi * _progress()
    curves = np.stack([np.cos(angle * (1 + number / 2)) * 10 / (1 + number) for number in range(10)], axis=1)
    curves[:, 1] += 4 * np.sin(3 * angle)  # a loop
    moved = curves - curves.mean(axis=0)
    points, share = principal_components(moved @ moved.T)
    projection = np.stack([points * (1 + index / 5) for index in range(len(GROUPS))]).astype("float32")
    ratio = np.tile(share, (len(GROUPS), 1)).astype("float32")
    steps = np.linalg.norm(np.diff(projection, axis=1), axis=2) / np.diff(EPOCHS)
    velocity = np.concatenate([np.full((len(GROUPS), 1), np.nan), steps], axis=1).astype("float32")
    apart = projection[:, :, None].astype(float) - projection[:, None]
    return xr.Dataset(
        {
            "projection": (("group", "epoch", "component"), projection),
            "explained_variance_ratio": (("group", "component"), ratio),
            "velocity": (("group", "epoch"), velocity),
            "distance": (("group", "epoch", "other_epoch"), np.linalg.norm(apart, axis=3)),
            "parameters": ("group", np.full(len(GROUPS), 5000)),
        },
        coords={"group": GROUPS, "epoch": EPOCHS, "other_epoch": EPOCHS, "component": np.arange(1, 11)},
    )


class _MadeUpPath:
    """A run of which only the components are known."""

    def artifact(self, name: str) -> xr.Dataset:
        assert name == "parameter_pca"
        return parameter_pca(SyntheticVariant())


@cache
def _of_path(name: str) -> xr.Dataset:
    found = default_registry().get(name)
    return dataset_of(found, found.compute(_MadeUpPath(), **found.parameters), {})


def path_geometry(variant: SyntheticVariant) -> xr.Dataset:
    return _of_path("path_geometry")


def path_nulls(variant: SyntheticVariant) -> xr.Dataset:
    return _of_path("path_nulls")


def dmd(variant: SyntheticVariant) -> xr.Dataset:
    return _of_path("dmd")


def turn(variant: SyntheticVariant) -> xr.Dataset:
    names = ["memorised", "onset", "steepest", "completion"]
    return xr.Dataset(
        {"lower": ("event", [20.0, 800.0, 900.0, 1000.0]), "upper": ("event", [50.0, 900.0, 1000.0, 1500.0])},
        coords={"event": names},
        attrs={"verdict": "turned"},
    )


def llc(variant: SyntheticVariant) -> xr.Dataset:
    """The real schema: sampling takes too long to be done for every view."""
    rng, count = _rng(11), len(EPOCHS)
    value = 20.0 * np.exp(-(((np.log1p(EPOCHS) - 4) / 2) ** 2)) - 1.0
    by_step = value[:, None] * np.array([0.9, 1.0, 1.3])
    columns = {
        "llc": ("epoch", value),
        "llc_std": ("epoch", np.abs(rng.normal(0, 1, count))),
        "llc_by_step": (("epoch", "step_size"), by_step),
        "std_by_step": (("epoch", "step_size"), np.abs(rng.normal(0, 1, (count, 3)))),
        "drift": ("epoch", rng.normal(0, 1, count)),
        "acceptance": (("epoch", "step_size"), rng.uniform(0.4, 1, (count, 3))),
        "distance": (("epoch", "step_size"), rng.uniform(4, 5, (count, 3))),
        "lost": (("epoch", "step_size"), np.eye(count, 3)),
        "loss": ("epoch", np.exp(-EPOCHS / 300)),
        "loss_trace": (("epoch", "chain", "draw"), rng.uniform(0.1, 1, (count, 4, 50))),
    }
    places = {"epoch": EPOCHS, "step_size": [2e-5, 4e-5, 8e-5], "chain": np.arange(4), "draw": np.arange(50)}
    return xr.Dataset(columns, coords=places)


MAKERS: dict[str, Callable[..., xr.Dataset]] = {
    maker.__name__: maker
    for maker in (
        neuron_frequencies,
        neuron_clusters,
        neuron_map,
        attention_maps,
        attention_frequencies,
        embedding_fourier,
        singular_values,
        logits_summary,
        parameter_pca,
        path_geometry,
        path_nulls,
        dmd,
        turn,
        llc,
    )
}
