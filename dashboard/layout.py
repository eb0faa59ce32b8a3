"""The page: sidebar, Explore with its groups, and the place where one view opens large."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dashboard.panels import panel
from renderers.catalog import GROUPS, Catalog, View

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<script src="/assets/theme-boot.js"></script>
{%css%}
</head>
<body>
{%app_entry%}
<noscript><p>The workbench draws its figures in the browser and needs JavaScript.</p></noscript>
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def page(catalog: Catalog) -> html.Div:
    """The whole page; which parts show is decided in the browser."""
    return html.Div(
        [
            html.A("Skip to the figures", href="#main", className="skip-link"),
            _sidebar(),
            html.Main(
                [
                    html.Div(id="notices", className="notices", role="status", **{"aria-live": "polite"}),
                    html.Div(explore(catalog), id="explore"),
                    html.Div(html.Div(id="detail-content"), id="detail", hidden=True),
                ],
                id="main",
                tabIndex="-1",
            ),
            _page_index(catalog),
            html.Div(id="status", className="visually-hidden", role="status", **{"aria-live": "polite"}),
            # an empty graph makes Dash load plotly.js, with which assets/drawing.js draws
            html.Div(
                dcc.Graph(config={"staticPlot": True}), className="plotly-loader", **{"aria-hidden": "true"}
            ),
            *(
                dcc.Store(id=name)
                for name in ("boot", "wanted", "info", "current", "route", "result", "sink")
            ),
        ],
        id="workbench",
    )


def explore(catalog: Catalog) -> list[Any]:
    """The run's heading and every group of the catalog."""
    groups = [group(name, views) for name, views in catalog.groups().items()]
    return [html.Div(id="masthead", className="masthead"), *groups]


def group(name: str, views: list[View]) -> html.Section:
    """One group: its navigator and companion side by side, the other views in a grid."""
    rest = sorted(
        (view for view in views if view.role != "companion"), key=lambda view: view.role != "navigator"
    )
    beside = [panel(view) for view in views if view.role == "companion"]
    body: list[Any] = [html.Div([panel(view) for view in rest], className=f"panel-grid of-{len(rest)}")]
    if beside:
        body.append(
            html.Aside(beside, className="group-aside", **{"aria-label": f"{GROUPS[name]}: selected"})
        )
    return html.Section(
        [
            html.Header(
                html.H2(
                    html.Button(
                        GROUPS[name],
                        type="button",
                        className="group-fold",
                        **{"aria-expanded": "true", "aria-controls": f"group-body-{name}"},
                    )
                ),
                className="group-head",
            ),
            html.Div(
                body, id=f"group-body-{name}", className="group-body" + (" has-aside" if beside else "")
            ),
        ],
        id=f"group-{name}",
        className="group",
        **{"aria-label": GROUPS[name]},
    )


def _sidebar() -> html.Aside:
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
                    html.Section(
                        [
                            html.Label("Variant", htmlFor="variant-picker", className="control-label"),
                            dcc.Dropdown(
                                id="variant-picker",
                                options=[],
                                clearable=False,
                                searchable=True,
                                placeholder="Choose a variant",
                                maxHeight=360,
                            ),
                            html.Div(id="variant-facts", className="facts"),
                        ],
                        className="control",
                    ),
                    html.Section(id="scrubber", className="control", **{"aria-label": "Epoch"}),
                    html.Section(
                        id="steppers", className="control", **{"aria-label": "Neuron, head and frequency"}
                    ),
                    _analysis(),
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


def _analysis() -> html.Section:
    return html.Section(
        [
            html.Div("Analysis", className="control-label"),
            html.Div(id="artifact-status", className="artifact-status"),
            html.Div(
                [
                    html.Button(
                        "Analyze", id="analyze", type="button", className="button is-primary", disabled=True
                    ),
                    html.Div(
                        [
                            html.Progress(
                                id="job-bar", value="0", max="1", **{"aria-label": "Progress of the analysis"}
                            ),
                            html.Button("Cancel", id="cancel", type="button", className="button"),
                            html.Div(id="job-text", className="job-text"),
                        ],
                        className="job-progress",
                    ),
                ],
                id="job",
                className="job",
            ),
        ],
        className="control",
        **{"aria-label": "Analysis"},
    )


def _display() -> html.Section:
    def choice(kind: str, *values: str) -> html.Div:
        buttons = [
            html.Button(value, type="button", **{f"data-set-{kind}": value, "aria-pressed": "false"})
            for value in values
        ]
        return html.Div(buttons, className="segmented", role="group", **{"aria-label": kind.capitalize()})

    return html.Section(
        [
            choice("density", "compact", "full"),
            choice("theme", "light", "dark"),
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


def _page_index(catalog: Catalog) -> html.Nav:
    links = [
        html.A(html.Span(GROUPS[name]), href=f"#group-{name}", title=GROUPS[name])
        for name in catalog.groups()
    ]
    return html.Nav(links, id="page-index", **{"aria-label": "Groups of this page"})
