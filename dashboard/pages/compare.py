"""The Compare page: the table of variants, the bar of what is selected, and every comparison below them."""

from __future__ import annotations

import json
from typing import Any

import dash_ag_grid  # noqa: F401  (Dash then offers the grid's script; assets/startup.js holds it back)
from dash import html

from analyzers.comparison.alignment import ALIGNMENTS
from dashboard.markup import Raw
from dashboard.panels import comparison_panel, needs_checkpoints
from renderers.catalog import GROUPS, catalog
from renderers.comparison.catalog import SECTIONS, WHOLE, comparisons

DASH = Raw("{%app_entry%}")  # Dash's part of the document: the table, and the stores that start long work
SAYS = {
    "overlay": "The same curve of every selected run on one time axis.",
    "difference": "One run less another, where the two can be set against each other.",
    "statistics": "What goes with what, over all runs that take part.",
    "geometry": "How alike the weights of the runs are, whatever basis and order of neurons each has.",
    "anomalies": "Where a run lies outside of what the others do.",
    "side": "One view of several runs, each with its own epoch or all at the same time.",
}


def content() -> list[Any]:
    """What stands on the page; its scripts (assets/page_compare*.js) fill it."""
    found = comparisons().sections()
    sections = [_section(name, found[name]) for name in SECTIONS if name in found]
    sections.insert(1 if "overlay" in found else 0, _beside())
    return [
        html.Div([_head(), _table(), _bar(), *sections], className="compare-main"),
        _index([("compare-top", "Variants"), *_titles(list(found))]),
    ]


def grid_place() -> html.Div:
    """Where the table goes, in Dash's part of the document; it is put there when the page is first opened."""
    return html.Div(id="compare-grid-place")


def views_offered() -> dict[str, list[dict[str, Any]]]:
    """Group title -> the views that can stand side by side: name, title, fields, parameters."""
    return {
        GROUPS[group]: [
            {
                "name": view.name,
                "title": view.title,
                "depends": list(view.depends),
                "shape": view.shape,
                "marks": list(view.marks),
                "checkpoints": needs_checkpoints(view),
                "parameters": {
                    name: {"label": one.label, "default": one.default, "choices": list(one.choices)}
                    for name, one in view.parameters.items()
                },
            }
            for view in views
            if view.component != "tiles"
        ]
        for group, views in catalog().groups().items()
    }


def _head() -> html.Header:
    return html.Header(
        [html.H1("Compare"), html.P(id="compare-count", className="compare-count", role="status")],
        className="page-head",
    )


def _table() -> html.Section:
    return html.Section(
        [
            html.Div(id="compare-tools", className="compare-tools", role="toolbar", **_named("Table")),
            html.Div([html.Div(DASH), html.Div(id="compare-cover")], id="compare-grid-box"),
            html.Div(
                id="compare-resize",
                role="separator",
                tabIndex="0",
                **_named("Height of the table"),
                **{"aria-orientation": "horizontal", "aria-valuemin": "160", "aria-valuemax": "1200"},
            ),
        ],
        id="compare-top",
        **_named("Table of variants"),
    )


def _bar() -> html.Div:
    return html.Div(
        id="compare-bar",
        role="group",
        **_named("What is compared"),
        **{"data-alignments": json.dumps(ALIGNMENTS), "data-whole": " ".join(WHOLE)},
    )


def _section(name: str, found: list[Any]) -> html.Section:
    grid = html.Div([comparison_panel(one) for one in found], className=f"panel-grid of-{len(found)}")
    return _framed(name, SECTIONS[name], grid, str(len(found)))


def _beside() -> html.Section:
    body = [
        html.Div(
            id="compare-side-tools", className="compare-side-tools", role="group", **_named("Side by side")
        ),
        html.Div(id="compare-side-panels", className="compare-side-panels"),
        html.Template(json.dumps(views_offered()), id="compare-views"),
    ]
    return _framed("side", "Side by side", body, "")


def _framed(name: str, title: str, body: Any, count: str) -> html.Section:
    choice = html.Div(
        [
            html.Button(
                value,
                type="button",
                **{"data-set-density": value, "aria-pressed": "false", "data-group": name},
            )
            for value in ("compact", "full")
        ],
        className="segmented",
        role="group",
        **_named(f"Density of {title}"),
    )
    fold = html.Button(
        [title, html.Span(f" {count}", className="group-count")],
        type="button",
        className="group-fold",
        **{"aria-expanded": "true", "aria-controls": f"compare-body-{name}"},
    )
    return html.Section(
        [
            html.Header([html.H2(fold), choice], className="group-head"),
            html.P(SAYS[name], className="group-blurb"),
            html.Div(body, id=f"compare-body-{name}", className="group-body"),
        ],
        id=f"compare-{name}",
        className="group",
        **_named(title),
    )


def _titles(names: list[str]) -> list[tuple[str, str]]:
    titles = [(f"compare-{name}", SECTIONS[name]) for name in SECTIONS if name in names]
    titles.insert(1 if "overlay" in names else 0, ("compare-side", "Side by side"))
    return titles


def _index(entries: list[tuple[str, str]]) -> html.Nav:
    links = [html.Li(html.A(html.Span(title), href=f"#{ident}", title=title)) for ident, title in entries]
    return html.Nav(html.Ul(links), id="compare-index", **_named("Sections of this page"))


def _named(label: str) -> dict[str, Any]:
    return {"aria-label": label}
