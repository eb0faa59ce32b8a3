"""The Train page: a form for each kind of run that can be made, and what would come of it."""

from __future__ import annotations

import json
from typing import Any

from dash import html

from dashboard.pages.forms import form
from dashboard.pages.train_forms import TITLES, parts_of
from training.families import families
from training.schedules import POLICIES, example_of, settings_of


def content() -> list[Any]:
    """What stands on the page, for the first family; its script reads the forms."""
    family = families()[0]
    forms = [form(name, parts_of(name, family), hidden=name != "new") for name in TITLES]
    policies = {
        policy: {"settings": settings_of(policy), "example": example_of(policy)} for policy in POLICIES
    }
    settings = [
        {"name": one.name, "place": one.place, "kind": one.kind, "given": one.required}
        for one in family.settings
    ]
    facts = {"family": family.name, "policies": policies, "settings": settings}
    return [
        html.Header(
            [html.H1("Train"), html.P(id="train-says", className="page-lead")], className="page-head"
        ),
        html.Div(_kinds(), className="segmented page-kinds", role="group", **{"aria-label": "What to make"}),
        html.Div([html.Div(forms, id="train-forms"), _plan()], className="page-columns"),
        html.Datalist(id="train-variants"),
        html.Template(json.dumps(facts), id="train-facts"),
    ]


def _kinds() -> list[html.Button]:
    return [
        html.Button(
            title,
            type="button",
            title=says,
            **{"data-kind-of-run": name, "aria-pressed": str(name == "new").lower()},
        )
        for name, (title, says) in TITLES.items()
    ]


def _plan() -> html.Section:
    """What the order would make; the script fills it."""
    return html.Section(
        [
            html.H2("What will be made", id="train-plan-title"),
            html.Div(id="train-plan"),
            html.P(id="train-told", className="visually-hidden", role="status"),
            html.Div(
                [
                    html.Button(
                        "Start", id="train-start", type="button", className="button is-primary", disabled=True
                    ),
                    html.Button("Reset the form", id="train-reset", type="button", className="button"),
                ],
                className="plan-buttons",
            ),
            html.Div(id="train-ticket", role="status"),
        ],
        className="card plan",
        **{"aria-labelledby": "train-plan-title"},
    )
