"""What the Train page asks by plain HTTP: the settings of a variant, and schedules."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, request

from dashboard.pages.answers import told
from data import Workspace
from data.errors import BadParameter
from training.families import get_family
from training.named_schedules import NamedSchedules
from training.replay import trained_to
from training.schedules import Schedule

DRAWN = 240  # points of the preview of a schedule
MOST_EPOCHS = 10_000_000


def register(server: Flask, workspace: Workspace) -> None:
    """Add the routes under /_schedules, and /_settings."""
    pages = Blueprint("train", __name__)

    @pages.get("/_settings")
    def settings() -> Response:
        """What a variant was made with, and how far it is."""
        return told(lambda: settings_of(workspace, request.args.get("variant", "")), 200)

    @pages.get("/_schedules")
    def schedules() -> Response:
        """The saved schedules, by name, as text."""
        return told(lambda: saved(workspace))

    @pages.post("/_schedules/preview")
    def preview() -> Response:
        """The values of a schedule over a run."""
        return told(lambda: drawn(_asked()), 200)

    @pages.put("/_schedules/<name>")
    def save(name: str) -> Response:
        """Keep a schedule, given as text, under a name."""

        def do() -> list[dict[str, str]]:
            NamedSchedules(workspace).save(name, str(_asked().get("schedule", "")))
            return saved(workspace)

        return told(do)

    @pages.delete("/_schedules/<name>")
    def forget(name: str) -> Response:
        def do() -> list[dict[str, str]]:
            NamedSchedules(workspace).delete(name)
            return saved(workspace)

        return told(do)

    server.register_blueprint(pages)


def settings_of(workspace: Workspace, name: str) -> dict[str, Any]:
    """The settings that differ from the family's defaults (and those that have none), the range of epochs."""
    variant = workspace[name]
    every = get_family(variant.family).settings
    given = {**variant.params, **variant.config}
    places: dict[str, dict[str, Any]] = {"params": {}, "config": {}}
    for one in every:
        value = given.get(one.name)
        default = list(one.default) if isinstance(one.default, tuple) else one.default
        if value is not None and (one.place == "params" or value != default):
            places[one.place][one.name] = value
    return {
        "variant": variant.name,
        "family": variant.family,
        **places,
        "parent": None if variant.parent is None else variant.parent.get("name"),
        "planned": (variant.provenance.get("plan") or {}).get("epochs"),
        "first": 0 if variant.parent is None else int(variant.parent["epoch"]),
        "last": trained_to(variant),
        "checkpoints": len(variant.epochs),
        "lr": given.get("lr"),
        "weight_decay": given.get("weight_decay"),
    }


def saved(workspace: Workspace) -> list[dict[str, str]]:
    """Every saved schedule: its name and its text."""
    return [
        {"name": one.name, "text": str(Schedule.of_json(one.value))}
        for one in NamedSchedules(workspace).list()
    ]


def drawn(asked: dict[str, Any]) -> dict[str, Any]:
    """A schedule over epochs 0 .. epochs at about DRAWN of them, with those where it turns.

    asked: schedule (text), base, epochs
    """
    schedule = Schedule.parse(str(asked.get("schedule", "")))
    try:
        base, epochs = float(asked["base"]), int(asked["epochs"])
    except (KeyError, TypeError, ValueError):
        raise BadParameter("A preview needs the base value and the number of epochs.") from None
    if not 0 < epochs <= MOST_EPOCHS:
        raise BadParameter(f"epochs={epochs} is out of range; choose 1 to {MOST_EPOCHS}")
    schedule.check(epochs)
    turns = {0, epochs, schedule.start, schedule.start + schedule.warmup, schedule.until}
    turns |= {at for point, _ in schedule.points for at in (point - 1, point)}
    spread = {round(i * epochs / (DRAWN - 1)) for i in range(DRAWN)}
    at = sorted(epoch for epoch in turns | spread if 0 <= epoch <= epochs)
    return {"epochs": at, "values": [schedule.value(epoch, base) for epoch in at]}


def _asked() -> dict[str, Any]:
    asked = request.get_json(silent=True)
    return asked if isinstance(asked, dict) else {}
