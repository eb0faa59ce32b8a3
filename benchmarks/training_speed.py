"""Time of one training epoch (optimizer step plus test loss): the fast path against the full transformer.

    python benchmarks/training_speed.py [--device cpu|cuda|all] [--rounds 15] [--variants 1,8,64]

The reference is the usual loop: the same model on all three tokens, a train step by autograd and torch's
AdamW, a test loss without gradients, cross-entropy in float64, two ``.item()`` per epoch. All run in the same
process, in turns, and medians are compared, so that a busy machine slows all of them.

On CUDA it also prints how far CUDA and CPU agree in float64, TensorFloat-32 beside float32, memory, what each
optimisation brings, the time of every kernel, and a short run of a sweep of 96 variants with everything
written, from which the time of the long one is calculated part by part.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from training.acceleration import has_kernels
from training.engine import Engine, Interventions, Step
from training.families import get_family
from training.families import modular_addition as family
from training.fast_step import FastStep
from training.transformer import Transformer

SWEEP = {"p": (97, 101, 109, 113), "seed": tuple(range(8)), "data_seed": (598, 599, 600)}
SWEEP_EPOCHS = 25_000
Rows = list[dict[str, Any]]


def reference_epoch(
    params: family.Params, config: family.TrainingConfig, device: torch.device
) -> Callable[[], None]:
    """One epoch of the usual loop."""
    weights = {
        name: weight.to(device).requires_grad_()
        for name, weight in family.init_weights(params, config).items()
    }
    model = Transformer(family.transformer_config(params, config), weights)
    optimizer = torch.optim.AdamW(
        weights.values(), config.lr, config.betas, config.eps, weight_decay=config.weight_decay
    )
    labels = torch.from_numpy(family.labels(params)).to(device)
    tokens = torch.from_numpy(family.tokens(params)).to(device)
    train, test = (torch.from_numpy(rows).to(device) for rows in family.split(params))
    train_tokens, train_labels = tokens[train], labels[train]
    test_tokens, test_labels = tokens[test], labels[test]
    history: list[tuple[float, float]] = []

    def epoch() -> None:
        optimizer.zero_grad()
        train_loss = cross_entropy(model(train_tokens)[:, -1].double(), train_labels)
        train_loss.backward()
        optimizer.step()
        with torch.no_grad():
            test_loss = cross_entropy(model(test_tokens)[:, -1].double(), test_labels)
        history.append((train_loss.item(), test_loss.item()))

    return epoch


def many_params(p: int, variants: int) -> list[family.Params]:
    return [family.Params(p, 999 + i, 598) for i in range(variants)]


def step_of(
    kind: type[FastStep],
    many: list[family.Params],
    block_rows: int | None,
    weights: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
    interventions: Interventions,
) -> Step:
    rows = torch.from_numpy(np.stack([family.split(params)[0] for params in many]))
    labels = torch.from_numpy(family.labels(many[0]))
    return kind(weights, grads, labels, rows, interventions, block_rows)


def make_engine(
    p: int,
    variants: int,
    device: torch.device,
    dtype: str = "float32",
    tf32: bool = False,
    kind: type[FastStep] | None = None,
    at_once: int | None = None,
    fused_adamw: bool = True,
) -> Engine:
    """An engine of variants that differ in their seed; kind and at_once choose the implementation."""
    config = family.TrainingConfig(dtype=dtype)
    many = many_params(p, variants)
    rows = None if at_once is None else at_once * p * p
    make = (
        functools.partial(family.make_step, many)
        if kind is None
        else functools.partial(step_of, kind, many, rows)
    )
    engine = Engine([family.init_weights(params, config) for params in many], make, device, tf32=tf32)
    engine._fused = engine._fused and fused_adamw
    return engine


def epochs_of(engine: Engine, epochs: int) -> Callable[[], None]:
    rates = np.tile([1e-3, 1.0], (epochs, engine.variants, 1))
    return lambda: void(engine.advance(rates))


def void(_: object) -> None:
    """For callers that want the time, not the result."""


def timed(call: Callable[[], None], device: torch.device) -> float:
    """Seconds that the call takes, the device's work included."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(p: int, device: torch.device, variants: list[int], rounds: int) -> Rows:
    """Medians over the rounds, in milliseconds per epoch and variant; the first row is the reference."""
    on_cuda = device.type == "cuda"
    reference = reference_epoch(family.Params(p=p, seed=999), family.TrainingConfig(), device)
    epochs = 30 if on_cuda else 1

    def many_references() -> None:
        for _ in range(epochs):
            reference()

    calls: dict[str, tuple[Callable[[], None], int]] = {"reference loop": (many_references, epochs)}
    memory: dict[str, float] = {}
    for tf32 in (False, True) if on_cuda else (False,):
        for count in variants:
            name = f"fast path, {count} variant{'s' if count > 1 else ''}{', TF32' if tf32 else ''}"
            before = torch.cuda.memory_allocated() if on_cuda else 0
            try:
                call = epochs_of(make_engine(p, count, device, tf32=tf32), epochs)
                call()
            except torch.OutOfMemoryError as error:
                print(f"  {name}: {str(error).splitlines()[0]}")
                continue
            memory[name] = (torch.cuda.memory_allocated() - before) / 2**30 if on_cuda else 0.0
            calls[name] = (call, epochs * count)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, (call, done) in calls.items():
            taken = timed(call, device) / done
            if turn >= 2:  # the first two warm up
                seconds[name].append(taken)
    base = statistics.median(seconds["reference loop"])
    return [
        {
            "device": device.type,
            "what": name,
            "ms": 1000 * statistics.median(values),
            "fastest_ms": 1000 * min(values),
            "ratio": base / statistics.median(values),
            "GiB": memory.get(name, 0.0),
        }
        for name, values in seconds.items()
    ]


def agreement(device: torch.device) -> None:
    """Float64 on CUDA against the CPU after 50 epochs, p = 59, three variants."""
    results = []
    for where in (torch.device("cpu"), device):
        engine = make_engine(59, 3, where, "float64")
        records = engine.advance(np.tile([1e-3, 1.0], (50, 3, 1)))
        results.append((records, torch.stack([engine.state(i)["weights"] for i in range(3)])))
    (cpu, cpu_weights), (cuda, cuda_weights) = results
    losses = np.abs(cuda[:, :2] / cpu[:, :2] - 1).max()
    weights = ((cuda_weights - cpu_weights).abs().max() / cpu_weights.abs().max()).item()
    print(f"float64, 50 epochs, CUDA against CPU: losses {losses:.1e}, weights {weights:.1e} (relative)")


def optimisations(p: int, device: torch.device) -> None:
    """Milliseconds per epoch and variant with single optimisations switched on."""
    from training.fused_step import FusedStep

    plain: dict[str, Any] = {"kind": FastStep, "fused_adamw": False}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("plain step, plain AdamW", plain),
        ("plain step, fused AdamW", {"kind": FastStep}),
        ("fused step, plain AdamW", {"kind": FusedStep, "fused_adamw": False}),
        *((f"fused step and AdamW, grid of {n}", {"kind": FusedStep, "at_once": n}) for n in (1, 4, 16, 64)),
    ]
    print("what each part brings, ms per epoch and variant, float32:")
    for name, options in cases:
        line = f"  {name:36}"
        for count in (1, 8, 64):
            if options.get("at_once", 1) > count:
                line += f"  {count:3} variants       -"
                continue
            call = epochs_of(make_engine(p, count, device, **options), 20)
            call()
            taken = statistics.median(timed(call, device) for _ in range(5)) / 20 / count
            line += f"  {count:3} variants {1000 * taken:7.4f}"
        print(line, flush=True)


def kernel_shapes(p: int, device: torch.device, variants: int) -> None:
    """Microseconds per variant of the hand-written kernels by the shape of their blocks."""
    from triton.testing import do_bench

    from training import kernels
    from training.fused_step import FusedStep

    engine = make_engine(p, variants, device, kind=FusedStep)
    step: Any = engine._step
    with torch.no_grad():
        tables = step._tables()
        held = len(step._grid)
        grid, kept_at, post = step._grid, step._kept_at[:held], step._post[:held]
        mixed = tables.alpha[:held], tables.seen[:held], tables.constant[:held]

        def show(name: str, call: Callable[[], None], count: int) -> None:
            try:
                print(f"  {name:44} {1000 * do_bench(call, return_mode='median') / count:7.2f}", flush=True)
            except Exception as error:
                print(f"  {name:44} {type(error).__name__}: {error}", flush=True)

        print(f"blocks of the kernels, {variants} variants, microseconds per variant:")
        for block_b, block_d in itertools.product((4, 8, 16), (128, 256)):
            call = functools.partial(
                kernels.mix, *mixed, kept_at, grid, post, block_b=block_b, block_d=block_d
            )
            show(f"mix {block_b} x {block_d}", call, held)
        for block in (1, 2, 4, 8):
            call = functools.partial(
                kernels.cross_entropy, grid, step._labels, kept_at, step.d_mlp, step._loss[:held],
                step._d_kept[:held], block_rows=block,
            )  # fmt: skip
            show(f"cross-entropy {block} rows", call, held)
        d_seen, d_sum = torch.empty_like(tables.seen), step._d_kept.new_empty(variants, p, step._d_read)
        written = step._slopes, d_seen, d_sum
        rows_of, others, counts = step._groups
        read = step._d_kept, step._post, rows_of, others, counts, tables.alpha, tables.seen
        for block in (2, 4, 8, 16):
            call = functools.partial(kernels.unmix, *read, *written, block_rows=block)
            show(f"unmix {block} rows", call, variants)
        d_score = tables.alpha.new_empty(variants, tables.alpha.shape[1], 2 * p)
        scored = tables.alpha, step._slopes, rows_of, others, counts, d_score
        show("d_score", lambda: kernels.d_score(*scored), variants)
        rows = grid.flatten(1, 2)
        w_out_u = (step.weights["blocks.0.mlp.W_out"] @ tables.w_read[..., step.d_mlp :])[:held]
        logits, hidden = rows[..., step.d_mlp :], rows[..., : step.d_mlp]
        show("readout product, float32", lambda: void(logits.baddbmm_(hidden, w_out_u, beta=0)), held)
        if held == variants:
            show("both products of its backward", lambda: void(step._backward_readout(w_out_u)), variants)


def profile(p: int, device: torch.device, variants: int) -> None:
    """Time on the device by kernel, of a few epochs without the graph."""
    engine: Any = make_engine(p, variants, device)
    with torch.no_grad():
        engine._tick()
        synchronize(device)
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(3):
                engine._tick()
            synchronize(device)
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events)
    count = sum(event.count for event in events if event.self_device_time_total) // 3
    scale = 3 * variants
    print(f"kernels, {variants} variants: {count} per epoch, {total / scale:.1f} us per variant and epoch")
    for event in events[:22]:
        taken = event.self_device_time_total / scale
        print(f"  {taken:8.2f} us  {event.count // 3:4} x  {event.key[:110]}")


def sweep(device: torch.device, epochs: int) -> None:
    """A short run of the 96-variant sweep, written to a workspace, and the long one calculated from it."""
    from data import Workspace
    from training.run import make_engine as engine_of
    from training.run import make_job, train_group

    found, config = get_family(family.NAME), family.TrainingConfig()
    stops = list(range(0, epochs + 1, epochs // 2))
    total = compute = 0.0
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder, create=True)
        for p in SWEEP["p"]:
            many = [family.Params(p, s, d) for s in SWEEP["seed"] for d in SWEEP["data_seed"]]
            jobs = [
                make_job(family.NAME, one, config, epochs, stops, state_every=epochs // 2) for one in many
            ]
            start = time.perf_counter()
            outcomes = train_group(workspace, jobs, str(device))
            total += time.perf_counter() - start
            if any(outcome.error for outcome in outcomes):
                print("  a variant failed:", next(outcome.error for outcome in outcomes if outcome.error))
            engine = engine_of(found, [(one, config) for one in many], device)
            call = epochs_of(engine, 50)
            call()
            compute += statistics.median(timed(call, device) for _ in range(3)) / 50
        variant = workspace.variants()[0]
        history: dict[str, Any] = {
            str(name): np.zeros(SWEEP_EPOCHS + 1) for name in variant.history.variables
        }
        history["epoch"] = np.arange(SWEEP_EPOCHS + 1)
        weights, state = variant.at(0).weights, variant.load_optimizer(variant.optimizer_epochs[-1])
        writes = {
            "checkpoint": statistics.median(
                timed(lambda: void(variant.save_checkpoint(1, weights)), device) for _ in range(9)
            ),
            "state": statistics.median(
                timed(lambda: variant.save_optimizer(epochs, state), device) for _ in range(9)
            ),
            "history": statistics.median(
                timed(lambda: variant.save_history(history), device) for _ in range(9)
            ),
        }
    written = 96 * (len(stops) * writes["checkpoint"] + 2 * (writes["state"] + writes["history"]))
    setup = max(0.0, total - epochs * compute - written)
    checkpoints, states = 114, 26  # of the default plan over 25,000 epochs
    long = setup + SWEEP_EPOCHS * compute
    long += 96 * (checkpoints * writes["checkpoint"] + states * (writes["state"] + writes["history"]))
    print(
        f"sweep of 96 variants, {epochs} epochs with {len(stops)} checkpoints each, all written:"
        f" {total:.1f} s measured\n"
        f"  compute {1000 * compute:.2f} ms per epoch of all 96 ({1000 * compute / 96:.4f} per variant);"
        f" one checkpoint {1000 * writes['checkpoint']:.1f} ms, state {1000 * writes['state']:.1f} ms,"
        f" history {1000 * writes['history']:.1f} ms; the rest (graphs, initial weights) {setup:.1f} s\n"
        f"  calculated for {SWEEP_EPOCHS:,} epochs with the default checkpoints: {long / 60:.1f} minutes"
        f" ({SWEEP_EPOCHS * compute / 60:.1f} of them compute)"
    )


def attempt(part: Callable[[], None]) -> None:
    """Run a part of the report; a failure is shown and does not end the others."""
    try:
        part()
    except Exception as error:
        print(f"failed: {type(error).__name__}: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time of a training epoch, fast path against full transformer."
    )
    parser.add_argument("--p", type=int, default=113)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="all", choices=("cpu", "cuda", "all"))
    parser.add_argument("--variants", default="1", help="batch sizes of the fast path, such as 1,8,64")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sweep-epochs", type=int, default=200, help="of the short sweep on CUDA; 0: none")
    parser.add_argument("--brief", action="store_true", help="on CUDA: only the comparison and the sweep")
    parser.add_argument("--json", help="also write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    devices = ["cpu"] if options.device != "cuda" else []
    if options.device != "cpu" and torch.cuda.is_available():
        devices.append("cuda")
    variants = [int(count) for count in options.variants.split(",")]
    rows: Rows = []
    for name in devices:
        device = torch.device(name)
        if name == "cuda":
            print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Triton {has_kernels(device)}")
            attempt(lambda: agreement(device))  # noqa: B023
        rows += measure(options.p, device, variants if name == "cuda" else variants[:1], options.rounds)
    print(f"p = {options.p}, median of {options.rounds}, milliseconds per epoch and variant")
    for row in rows:
        timing = f"{row['ms']:9.4f}  (fastest {row['fastest_ms']:.4f})  {row['ratio']:5.1f} x"
        memory = f"  {row['GiB']:.2f} GiB" if row["GiB"] else ""
        print(f"  {row['device']:5} {row['what']:28} {timing}{memory}", flush=True)
    if "cuda" in devices:
        device = torch.device("cuda")
        torch.cuda.empty_cache()
        if not options.brief:
            attempt(lambda: optimisations(options.p, device))
            attempt(lambda: kernel_shapes(options.p, device, 1))
            attempt(lambda: kernel_shapes(options.p, device, 16))
            for count in (1, 64):
                attempt(functools.partial(profile, options.p, device, count))
        if options.sweep_epochs:
            attempt(lambda: sweep(device, options.sweep_epochs))
    result = {
        "benchmark": "training",
        "p": options.p,
        "rounds": options.rounds,
        "date": datetime.date.today().isoformat(),
        "machine": torch.cuda.get_device_name()
        if "cuda" in devices
        else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "rows": rows,
    }
    print(json.dumps(result))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
