"""The Analyze page: every variant beside every instrument, and what of it to compute."""

from __future__ import annotations

import os
from typing import Any

from dash import html

from dashboard.markup import Raw

LEGEND = {
    "complete": "complete",
    "partial": "some epochs",
    "missing": "not computed",
    "stale": "out of date",
    "unchecked": "there, not checked yet",
    "absent": "does not apply",
}


def content() -> list[Any]:
    """What stands on the page; its script (assets/page_analyze.js) fills it."""
    lead = "Every run beside every instrument. Choose runs, see what they lack, and have it computed."
    return [
        html.Header([html.H1("Analyze"), html.P(lead, className="page-lead")], className="page-head"),
        html.Div([_matrix(), _plan()], className="page-columns is-wide-left"),
    ]


def _matrix() -> html.Section:
    tools = html.Div(
        [
            Raw(
                '<input type="text" id="results-filter" class="input" placeholder="filter: p=113, fork, …"'
                ' aria-label="Filter the runs by name or parameters" autocomplete="off" spellcheck="false">'
            ),
            html.Label(
                [Raw('<input type="checkbox" id="results-gaps">'), "only with gaps"], className="check"
            ),
            html.Div(
                [
                    html.Button(text, type="button", className="button is-small", **{"data-choose": which})
                    for which, text in (
                        ("shown", "Choose all shown"),
                        ("compare", "Those of Compare"),
                        ("none", "None"),
                    )
                ],
                className="results-choose",
            ),
        ],
        className="results-tools",
    )
    legend = html.P(
        [
            html.Span([html.I(className=f"cell is-{name}"), text], className="results-key")
            for name, text in LEGEND.items()
        ],
        className="results-legend",
    )
    return html.Section(
        [
            tools,
            legend,
            html.P(id="results-readout", className="results-readout"),
            html.Div(id="results-heads", className="results-heads", **{"aria-hidden": "true"}),
            html.Ul(id="results", className="results"),
            html.P("No run fits the filter.", id="results-none", className="page-quiet", hidden=True),
            html.P(
                [
                    "No run yet. ",
                    html.A("Train", href="/train", **{"data-page-link": "train"}),
                    " one; what can be measured of it appears here.",
                ],
                id="results-empty",
                className="page-empty",
                hidden=True,
            ),
        ],
        className="card",
        **{"aria-label": "Runs and instruments"},
    )


def _plan() -> html.Section:
    processes = [html.Option(str(count), value=str(count)) for count in range(1, (os.cpu_count() or 1) + 1)]
    kinds = [("standard", "All standard instruments"), ("chosen", "Only these:")]
    radios = [
        html.Label(
            [Raw(f'<input type="radio" name="instruments" value="{value}" id="instruments-{value}">'), text],
            className="check",
        )
        for value, text in kinds
    ]
    return html.Section(
        [
            html.H2("What will be computed", id="analyze-plan-title"),
            html.Fieldset(
                [
                    html.Legend("Instruments", className="visually-hidden"),
                    *radios,
                    html.Div(id="instruments", className="instruments", hidden=True),
                ]
            ),
            html.Div(
                [
                    html.Label("Processes", htmlFor="analyze-workers"),
                    html.Select(processes, id="analyze-workers", className="input"),
                ],
                className="plan-row",
            ),
            html.Div(id="analyze-plan"),
            html.P(id="analyze-told", className="visually-hidden", role="status"),
            html.Div(
                html.Button(
                    "Start", id="analyze-start", type="button", className="button is-primary", disabled=True
                ),
                className="plan-buttons",
            ),
            html.Div(id="analyze-ticket", role="status"),
        ],
        className="card plan",
        **{"aria-labelledby": "analyze-plan-title"},
    )
