"""The Jobs page."""

from __future__ import annotations

from typing import Any

from dash import html


def content() -> list[Any]:
    """What stands on the page; its script (assets/page_jobs.js) fills the lists."""
    lists = html.Div(
        [
            html.Section(
                [
                    html.H2("Now"),
                    html.P("Nothing runs.", id="jobs-idle", className="page-quiet", hidden=True),
                    html.Ul(id="jobs-active", className="job-list"),
                ],
                id="jobs-now",
                className="card",
                **{"aria-label": "Running jobs"},
            ),
            html.Section(
                [
                    html.Header([html.H2("Before"), _filter()], className="card-head"),
                    html.P("No job of this kind.", id="jobs-none", className="page-quiet", hidden=True),
                    html.Ul(id="jobs-history", className="job-list"),
                    html.Button("Show more", id="jobs-more", type="button", className="button", hidden=True),
                ],
                id="jobs-past",
                className="card",
                hidden=True,
                **{"aria-label": "Past jobs"},
            ),
            _empty(),
        ],
        className="job-lists",
    )
    lead = "Every job of this workspace, whoever began it. It goes on when the page is closed."
    return [
        html.Header([html.H1("Jobs"), html.P(lead, className="page-lead")], className="page-head"),
        html.Div(
            [lists, html.Article(id="job-detail", className="card", **{"aria-label": "The job"})],
            className="job-columns",
        ),
    ]


def _filter() -> html.Div:
    names = {"all": "all", "unfinished": "not finished"}
    buttons = [
        html.Button(
            text, type="button", **{"data-jobs-filter": name, "aria-pressed": str(name == "all").lower()}
        )
        for name, text in names.items()
    ]
    return html.Div(buttons, className="segmented", role="group", **{"aria-label": "Which jobs"})


def _empty() -> html.P:
    return html.P(
        [
            "No job yet. ",
            html.A("Train", href="/train", **{"data-page-link": "train"}),
            " a run, or ",
            html.A("analyze", href="/analyze", **{"data-page-link": "analyze"}),
            " one that is there: it appears here, with its progress, losses and log.",
        ],
        id="jobs-empty",
        className="page-empty",
        hidden=True,
    )
