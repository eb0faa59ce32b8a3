"""How closely the analysis of float16 weights agrees with that of the float32 weights they were rounded from.

    python benchmarks/half_precision.py WORKSPACE VARIANT [--json]

The variant must have float32 checkpoints. Every instrument of scope "checkpoint" runs on both; printed per
output: the largest absolute difference over all epochs, and the largest value, to be set side by side.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from analyzers.features import Features
from analyzers.registry import default_registry
from data import Variant, Workspace

Found = dict[str, dict[str, np.ndarray]]


def results(variant: Variant, epoch: int, half: bool, finals: Found) -> Found:
    """Every output of every standard instrument at one epoch, by analyzer and output.

    `finals`: the same at the last checkpoint, for instruments that apply its results to every epoch.
    """
    weights = variant.at(epoch).weights
    if half:
        weights = {name: tensor.half().float() for name, tensor in weights.items()}
    features = Features(weights, variant.family, variant.params)
    features.finals |= finals
    found: Found = {}
    for instrument in default_registry().ordered():
        if instrument.scope != "checkpoint" or not instrument.stored or not instrument.standard:
            continue
        if not finals and instrument.needs_final:
            features.finals |= {name: found[name] for name in instrument.needs_final}
        computed = instrument.compute(features, **instrument.parameters)
        found[instrument.name] = {output: np.asarray(computed[output]) for output in instrument.outputs}
        features.needs[instrument.name] = found[instrument.name]
    return found


def _flat(found: Found) -> dict[str, np.ndarray]:
    return {
        f"{analyzer}.{output}": values for analyzer, own in found.items() for output, values in own.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace")
    parser.add_argument("variant")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    variant = Workspace(options.workspace)[options.variant]
    rows: dict[str, dict[str, float]] = {}
    last = {half: results(variant, variant.epochs[-1], half, {}) for half in (False, True)}
    for epoch in variant.epochs:
        exact, rounded = (_flat(results(variant, epoch, half, last[half])) for half in (False, True))
        for name, value in exact.items():
            difference = np.abs(rounded[name].astype(float) - value.astype(float))
            row = rows.setdefault(name, {"difference": 0.0, "largest": 0.0, "changed": 0, "values": 0})
            row["difference"] = max(row["difference"], float(np.nanmax(difference)))
            row["largest"] = max(row["largest"], float(np.nanmax(np.abs(value.astype(float)))))
            row["changed"] += int((difference > 0).sum())
            row["values"] += value.size
            if name == "logits_summary.loss":
                relative = rows.setdefault("logits_summary.loss (relative)", dict.fromkeys(row, np.nan))
                relative["difference"] = float(np.fmax(relative["difference"], (difference / value).max()))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'output':48s} {'max difference':>15s} {'largest value':>14s}  changed")
    for name, row in rows.items():
        integer = "dominant_frequency" in name or "neuron_clusters" in name
        changed = f"{row['changed']:.0f} of {row['values']:.0f}" if integer else ""
        print(f"{name:48s} {row['difference']:15.3g} {row['largest']:14.4g}  {changed}")


if __name__ == "__main__":
    main()
