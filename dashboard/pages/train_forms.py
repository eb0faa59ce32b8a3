"""What each form of the Train page asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dashboard.pages.forms import Field, Part, of_setting
from training.families.family import Family
from training.families.setting import GROUPS
from training.interventions import SITES
from training.replicates import DEFAULT_PERTURBATION
from training.run import Keep

TITLES = {
    "new": (
        "New runs",
        "One run, or a sweep: a field may hold several values, such as 97, 101, 113, or 0-7.",
    ),
    "fork": ("Fork", "Another run from an epoch of a stored one, with something changed."),
    "replicates": (
        "Replicates",
        "Copies from minutely different weights: what the seed fixes, what chaos decides.",
    ),
    "resume": ("Go on", "Go on with a run that was stopped, or train it for longer."),
    "densify": ("Add checkpoints", "Save epochs that were not saved, by a replay that is checked."),
}
STATE_EVERY = Keep(1, (1,)).state_every
DTYPES = (("float32", "float32"), ("float16", "float16 (half the disk)"))
SAVED = (
    ("", "standard: powers of two, every 250, the last"),
    ("ends", "only the first and the last"),
    ("every 100", "every 100 epochs"),
    ("every 1000", "every 1,000 epochs"),
    ("early", "every 10 up to 500, then every 250"),
    ("own", "as typed"),
)
DEVICES = (("auto", "the best there is"), ("cpu", "CPU"), ("cuda", "GPU (CUDA)"))
CHECKPOINTS = Field("saved", "Checkpoints", "choice", "Epochs of which the weights are kept.", choices=SAVED)
OWN = Field(
    "checkpoints", "Epochs to keep", "text", "Epochs and start:stop:step ranges, such as 0,100:1000:50."
)
DEVICE = Field("device", "Device", "choice", default="auto", choices=DEVICES)
VARIANT = Field("of", "Variant", "variant", "Empty: the one that is chosen in the sidebar.")
KEEP = (
    Field("checkpoint_dtype", "Stored as", "choice", "Precision of the checkpoints.", "float32", DTYPES),
    Field(
        "state_every",
        "State every",
        "whole",
        "Epochs between two states to resume from; a killed run loses no more.",
        str(STATE_EVERY),
    ),
)
SCHEDULES = (
    Field("lr_schedule", "Learning-rate schedule", "schedule", wide=True),
    Field("wd_schedule", "Weight-decay schedule", "schedule", wide=True),
)


def parts_of(name: str, family: Family) -> Sequence[Part]:
    """The parts of one form, for variants of that family."""
    return {
        "new": _new(family),
        "fork": _fork(),
        "replicates": _replicates(family),
        "resume": _resume(),
        "densify": _densify(),
    }[name]


def _epochs(family: Family) -> Field:
    return Field(
        "epochs",
        "Epochs",
        "whole",
        "Optimizer steps, each over all training pairs.",
        str(family.default_epochs),
    )


def _new(family: Family) -> list[Part]:
    parts = []
    for group, title in GROUPS.items():
        common = [of_setting(one, True) for one in family.settings if one.group == group and not one.rare]
        rare = [of_setting(one, True) for one in family.settings if one.group == group and one.rare]
        parts.append(Part(title, tuple(common), tuple(rare), folded=group == "model"))
    more = (
        *KEEP,
        Field("workers", "Processes", "whole", "That share a sweep; with one, losses are shown.", "1"),
        Field("tf32", "TF32 on a GPU: faster, less exact", "check"),
    )
    return [*parts, Part("Run", (_epochs(family), CHECKPOINTS, OWN, DEVICE), more)]


def _fork() -> list[Part]:
    as_parent = "as the parent"
    changes = (
        Field("lr", "Learning rate", "number", "Above 0, at most 1.", empty=as_parent),
        Field("weight_decay", "Weight decay", "number", "0 or more.", empty=as_parent),
        *SCHEDULES,
        Field("frac_train", "Training fraction", "number", "Another share of the pairs.", empty=as_parent),
        Field("data_seed", "Data seed", "whole", "Another choice of pairs.", empty=as_parent),
        Field(
            "perturb", "Perturbation", "number", "Relative size by which the weights are moved.", empty="none"
        ),
        Field("perturb_seed", "Perturbation seed", "whole", "Of its direction.", "0"),
    )
    sites = tuple((site, site) for site in SITES)
    gain = (
        Field("gain", "Gain", "number", "Factor while training; 0 removes, 2 doubles.", empty="none"),
        Field("frequencies", "Frequencies k", "text", "Such as 9, 33.", empty="1 to (p - 1) / 2"),
        Field("site", "Site", "choice", "Where it acts.", SITES[0], sites),
        Field("start", "From epoch", "whole", "Empty: the epoch of the fork.", empty="the fork"),
        Field("end", "To epoch", "whole", "Empty: the end of the run.", empty="the end"),
        Field("ramp", "Ramp", "whole", "Epochs to raise and to lower it.", "0"),
        Field("end_intervention", "End the gain that the parent has", "check"),
    )
    as_the_parent = replace(KEEP[0], default="", choices=(("", "as the parent"), *DTYPES))
    origin = (
        VARIANT,
        Field("at", "At epoch", "epoch", "Empty: the epoch that is chosen in the sidebar."),
        Field("epochs", "To epoch", "whole", "Empty: as far as the parent.", empty=as_parent),
    )
    return [
        Part("Where it begins", origin),
        Part("What changes", changes),
        Part("Gain on frequencies", gain, folded=True),
        Part("Run", (CHECKPOINTS, OWN, DEVICE), (as_the_parent, KEEP[1])),
    ]


def _replicates(family: Family) -> list[Part]:
    copies = (
        VARIANT,
        Field("copies", "Copies", "whole", "How many, from 1 to 999.", "8"),
        Field(
            "perturb",
            "Perturbation",
            "number",
            "Relative size by which the initial weights are moved.",
            f"{DEFAULT_PERTURBATION:g}",
        ),
        Field("epochs", "Epochs", "whole", "Empty: as the variant.", empty="as the variant"),
    )
    saved = Field(
        "saved",
        "Checkpoints",
        "choice",
        "Epochs of which the weights are kept.",
        "ends",
        (SAVED[1], ("standard", SAVED[0][1]), *SAVED[2:]),
    )
    return [Part("Copies", copies), Part("Run", (saved, OWN, DEVICE))]


def _resume() -> list[Part]:
    longer = Field("epochs", "To epoch", "whole", "Empty: as far as it was meant to go.", empty="as planned")
    return [Part("Go on", (VARIANT, longer, DEVICE))]


def _densify() -> list[Part]:
    added = (
        VARIANT,
        Field(
            "add",
            "Epochs to add",
            "text",
            "Epochs and start:stop:step ranges, such as 9000:9600:20.",
            wide=True,
        ),
        DEVICE,
        Field(
            "force", "Add them even where nothing can be compared, or the replay differs", "check", wide=True
        ),
    )
    return [Part("Add checkpoints", added)]
