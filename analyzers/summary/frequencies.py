"""Learned, lost and transient frequencies, and what the neurons hold."""

from __future__ import annotations

import numpy as np

from analyzers.key_frequencies import DEFAULT, RULES, chosen
from analyzers.summary.rows import NAN, Reading, Row, interval_row
from analyzers.summary.steps import passed


def frequency_rows(reading: Reading) -> list[Row]:
    """Learned, lost and transient frequencies, and what the neurons hold at the end."""
    rows = []
    keys = reading.artifact("key_frequencies")
    if keys is None:
        rows.append(
            Row(
                "learned frequencies",
                "frequencies",
                NAN,
                "frequencies",
                "key frequencies at the last checkpoint",
                reason=reading.why_not("key_frequencies"),
            )
        )
    else:
        table = keys["is_key"].transpose("epoch", "rule", "freq").values
        final = chosen(table[-1])
        rows.append(
            _set_row(
                "learned frequencies",
                final.tolist(),
                f"key frequencies at the last checkpoint, rule {DEFAULT} (embedding_norm if it finds none)",
            )
        )
        for rule in RULES:
            own = (np.flatnonzero(table[-1][RULES.index(rule)]) + 1).tolist()
            rows.append(
                _set_row(
                    f"learned frequencies ({rule})",
                    own,
                    f"key frequencies at the last checkpoint by the rule {rule} alone",
                )
            )
        blocks = table[:, RULES.index(DEFAULT)].astype(bool)
        ever = np.flatnonzero(blocks.any(axis=0)) + 1
        rows.append(
            _set_row(
                "lost frequencies",
                sorted(set(ever.tolist()) - set(final.tolist())),
                f"frequencies that were key at some checkpoint by {DEFAULT} and are not among the learned",
            )
        )
        epochs = keys["epoch"].values
        for k in final.tolist():
            rows.append(
                interval_row(
                    f"frequency {k} becomes key",
                    "frequencies",
                    passed(epochs, blocks[:, k - 1]),
                    f"epoch from which {k} is key for good by {DEFAULT}",
                )
            )
    held = reading.artifact("neuron_commitment")
    if held is None:
        rows.append(
            Row(
                "transient frequencies",
                "frequencies",
                NAN,
                "frequencies",
                "held by neurons for a time and lost",
                reason=reading.why_not("neuron_commitment"),
            )
        )
        return rows
    transient = held["freq"].values[held["transient"].values.astype(bool)].tolist()
    rows.append(
        _set_row("transient frequencies", transient, "frequencies that neurons held for a time and lost")
    )
    rows.append(
        Row(
            "homeless neurons",
            "frequencies",
            float(held["n_homeless"]),
            "neurons",
            "neurons that hold no frequency and whose last one has died",
        )
    )
    switches = held["switch_count"].values
    rows.append(
        Row(
            "switches per neuron",
            "frequencies",
            float(switches.mean()),
            "switches",
            "mean number of changes of the frequency that a neuron holds",
        )
    )
    settled = held["commitment_epoch"].values[held["final_frequency"].values > 0]
    settled = settled[np.isfinite(settled)]
    if len(settled):
        low, middle, high = (float(value) for value in np.quantile(settled, (0.05, 0.5, 0.95)))
        rows.append(
            Row(
                "commitment of neurons",
                "frequencies",
                middle,
                "epoch",
                "median epoch at which a neuron settles on its final frequency; the bounds hold 90 % of them",
                low,
                high,
            )
        )
    return rows


def _set_row(name: str, frequencies: list[int], definition: str) -> Row:
    return Row(
        name,
        "frequencies",
        float(len(frequencies)),
        "frequencies",
        f"number of {definition}",
        text=", ".join(map(str, frequencies)) or "none",
    )
