"""Time of one training epoch (optimizer step plus test loss): the fast path against the full transformer.

    python benchmarks/training_speed.py [--p 113] [--rounds 15] [--device cpu|cuda|all] [--variants 1,8]
    [--json FILE]

The reference is the usual loop: the same model on all three tokens, a train step by autograd and torch's
AdamW, a test loss without gradients, cross-entropy in float64, two ``.item()`` per epoch. Both run in the
same process, in turns, and medians are compared, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from training.engine import Engine
from training.families import modular_addition as family
from training.transformer import Transformer


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


def fast_epochs(
    params: family.Params, config: family.TrainingConfig, device: torch.device, variants: int, epochs: int
) -> Callable[[], None]:
    """``epochs`` epochs of the fast path for a batch of variants that differ in their seed."""
    many = [family.Params(params.p, params.seed + i, params.data_seed) for i in range(variants)]
    engine = Engine(
        [family.init_weights(one, config) for one in many],
        lambda weights, grads: family.make_step(many, weights, grads),
        device,
    )
    return lambda: void(engine.advance([config.lr] * epochs))


def void(_: object) -> None:
    """For callers that want the time, not the result."""


def timed(call: Callable[[], None], device: torch.device) -> float:
    """Seconds that the call takes, the device's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(p: int, device: torch.device, variants: list[int], rounds: int) -> list[dict[str, object]]:
    """Medians over the rounds, in milliseconds per epoch and variant; the first row is the reference."""
    params, config = family.Params(p=p, seed=999), family.TrainingConfig()
    per_round = 1 if device.type == "cpu" else 50
    calls: dict[str, tuple[Callable[[], None], int]] = {
        "reference loop": (reference_epoch(params, config, device), 1)
    }
    for count in variants:
        call = fast_epochs(params, config, device, count, per_round)
        calls[f"fast path, {count} variant{'s' if count > 1 else ''}"] = (call, per_round * count)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, (call, epochs) in calls.items():
            taken = timed(call, device) / epochs
            if turn >= 2:  # the first two warm up
                seconds[name].append(taken)
    reference = statistics.median(seconds["reference loop"])
    return [
        {
            "device": device.type,
            "what": name,
            "ms": 1000 * statistics.median(values),
            "fastest_ms": 1000 * min(values),
            "ratio": reference / statistics.median(values),
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time of a training epoch, fast path against full transformer."
    )
    parser.add_argument("--p", type=int, default=113)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="all", choices=("cpu", "cuda", "all"))
    parser.add_argument("--variants", default="1", help="batch sizes of the fast path, such as 1,8,64")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="also write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    devices = ["cpu"] if options.device != "cuda" else []
    if options.device != "cpu" and torch.cuda.is_available():
        devices.append("cuda")
    variants = [int(count) for count in options.variants.split(",")]
    rows = [
        row for name in devices for row in measure(options.p, torch.device(name), variants, options.rounds)
    ]
    print(f"p = {options.p}, median of {options.rounds}, milliseconds per epoch and variant")
    for row in rows:
        timing = f"{row['ms']:9.3f}  (fastest {row['fastest_ms']:.3f})  {row['ratio']:5.1f} x"
        print(f"  {row['device']:5} {row['what']:24} {timing}")
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
