"""The document: sidebar, Explore with its groups, the place where one view opens large, and the other pages.

Only the table of variants and the start of long work are Dash's (app.layout). The rest is in the document
itself, and Dash's scripts are held back (in a template) until the first screen is drawn: see
assets/startup.js.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from dash import dcc, html

from dashboard.markup import html_of
from dashboard.pages.compare import grid_place
from dashboard.pages.navigation import navigation, sections
from dashboard.panels import panel
from renderers.catalog import GROUPS, Catalog, View
from renderers.theme import DARK, LIGHT

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<script src="/assets/first.js"></script>
{%css%}
PRELOADS
</head>
<body>
<a href="#main" class="skip-link">Skip to the figures</a>
<div id="workbench" data-ramps="RAMPS">
SIDEBAR
MAIN
</div>
<noscript><p>The workbench draws its figures in the browser and needs JavaScript.</p></noscript>
<template id="later">{%config%}{%scripts%}{%renderer%}</template>
SCRIPTS
</body>
</html>"""


def document(catalog: Catalog, scripts: Sequence[str]) -> str:
    """The document around Dash's part; `scripts` are the addresses of the page's own scripts, in order."""
    preloads = "".join(f'<link rel="preload" as="script" href="{path}">' for path in scripts)
    tags = "".join(f'<script src="{path}"></script>' for path in scripts)
    parts = html_of([main(catalog), _page_index(catalog), _status()])
    ramps = escape(json.dumps({theme.name: theme.sequential for theme in (LIGHT, DARK)}))
    shell = INDEX.replace("RAMPS", ramps)
    shell = shell.replace("SIDEBAR", html_of(sidebar()))
    return shell.replace("PRELOADS", preloads).replace("SCRIPTS", tags).replace("MAIN", parts)


def main(catalog: Catalog) -> html.Main:
    """The main column: Explore, one view of it, or another page."""
    return html.Main(
        [
            html.Div(id="notices", className="notices", role="status", **{"aria-live": "polite"}),
            html.Div(explore(catalog), id="explore"),
            html.Div(html.Div(id="detail-content"), id="detail", hidden=True),
            *sections(),
        ],
        id="main",
        tabIndex="-1",
    )


def _status() -> html.Div:
    return html.Div(id="status", className="visually-hidden", role="status", **{"aria-live": "polite"})


def explore(catalog: Catalog) -> list[Any]:
    """The run's heading and every group of the catalog."""
    groups = [group(name, views) for name, views in catalog.groups().items()]
    return [html.Div(id="masthead", className="masthead"), *groups]


def group(name: str, views: list[View]) -> html.Section:
    """One group: its companions beside what navigates them, the other views below in the whole width."""
    companions = [view for view in views if view.role == "companion"]
    followed = {field for view in companions for field in view.depends} - {"variant", "epoch"}
    others = [view for view in views if view.role != "companion"]
    beside = [view for view in others if companions and _leads(view, followed)]
    beside.sort(key=lambda view: view.role != "navigator")
    below = [view for view in others if view not in beside]
    body: list[Any] = []
    if companions:
        aside = html.Aside(
            [panel(view) for view in companions],
            className="group-aside",
            **{"aria-label": f"{GROUPS[name]}: selected"},
        )
        body.append(html.Div([_grid(beside), aside], className="group-pair"))
    if below:
        body.append(_grid(below))
    return html.Section(
        [
            html.Header(
                [
                    html.H2(
                        html.Button(
                            [GROUPS[name], html.Span(f" {len(views)}", className="group-count")],
                            type="button",
                            className="group-fold",
                            **{"aria-expanded": "true", "aria-controls": f"group-body-{name}"},
                        )
                    ),
                    _choice("density", "compact", "full", group=name),
                ],
                className="group-head",
            ),
            html.Div(body, id=f"group-body-{name}", className="group-body"),
        ],
        id=f"group-{name}",
        className="group",
        **{"aria-label": GROUPS[name]},
    )


def _leads(view: View, followed: set[str]) -> bool:
    """True for a view in which a click changes what the companions show."""
    return view.role == "navigator" or bool(followed & set(view.marks[:2]))


def _grid(views: list[View]) -> html.Div:
    return html.Div([panel(view) for view in views], className=f"panel-grid of-{len(views)}")


def sidebar() -> html.Aside:
    """The global controls; the scripts fill them. Dash's part has its place among them."""
    return html.Aside(
        [
            html.Header(
                [
                    html.A("Training Dynamics Workbench", href="/", className="brand", **{"data-open": ""}),
                    html.Button(
                        "«",
                        id="sidebar-toggle",
                        type="button",
                        className="icon-button",
                        **{
                            "aria-controls": "sidebar-body",
                            "aria-expanded": "true",
                            "aria-label": "Hide the sidebar",
                        },
                    ),
                ],
                className="sidebar-head",
            ),
            html.Div(
                [
                    navigation(),
                    html.Section(id="picker", className="control", **{"aria-label": "Variant"}),
                    html.Section(id="scrubber", className="control", **{"aria-label": "Epoch"}),
                    html.Section(
                        id="steppers",
                        className="control",
                        **{"aria-label": "Neuron, head, frequency and input pair"},
                    ),
                    html.Section(id="bookmarks", className="control", **{"aria-label": "Bookmarks"}),
                    html.Section(id="analysis", className="control", **{"aria-label": "Analysis"}),
                    _display(),
                ],
                id="sidebar-body",
            ),
            html.Div(
                id="sidebar-resize",
                role="separator",
                tabIndex="0",
                **{
                    "aria-orientation": "vertical",
                    "aria-label": "Width of the sidebar",
                    "aria-valuemin": "232",
                    "aria-valuemax": "460",
                    "aria-valuenow": "288",
                },
            ),
        ],
        id="sidebar",
        **{"aria-label": "Controls"},
    )


def dash_part() -> html.Div:
    """Dash's part of the document: the stores that start long work, and the table of variants."""
    return html.Div([*(dcc.Store(id=name) for name in ("boot", "work", "ticket", "sink")), grid_place()])


def _display() -> html.Section:
    return html.Section(
        [
            _choice("density", "compact", "full"),
            _choice("theme", "light", "dark"),
            html.Button(
                "?",
                type="button",
                className="icon-button",
                title="Keys and clicks",
                **{"data-action": "keys", "aria-label": "Keys and clicks"},
            ),
        ],
        className="control display-controls",
        **{"aria-label": "Display"},
    )


def _choice(kind: str, *values: str, group: str = "") -> html.Div:
    """Two buttons of which one is pressed; with `group`, only for that group of views."""
    buttons = [
        html.Button(
            value,
            type="button",
            **{
                f"data-set-{kind}": value,
                "aria-pressed": "false",
                **({"data-group": group} if group else {}),
            },
        )
        for value in values
    ]
    label = f"{kind.capitalize()} of {GROUPS[group]}" if group else kind.capitalize()
    return html.Div(buttons, className="segmented", role="group", **{"aria-label": label})


def _page_index(catalog: Catalog) -> html.Nav:
    """The groups at the edge of the page; the one that is on the screen lists its views."""
    parts = [
        html.Li(
            [
                html.A(html.Span(GROUPS[name]), href=f"#group-{name}", title=GROUPS[name]),
                html.Ul(
                    [
                        html.Li(html.A(view.title, href=f"#explore-{view.name}", title=view.title))
                        for view in views
                    ]
                ),
            ]
        )
        for name, views in catalog.groups().items()
    ]
    return html.Nav(html.Ul(parts), id="page-index", **{"aria-label": "Groups of this page"})
