"""The Compare page: the table of variants, and every comparison of the catalog below it."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard.markup import Raw
from dashboard.panels import comparison_panel
from renderers.comparison.catalog import SECTIONS, comparisons

DASH = Raw("{%app_entry%}")  # Dash's part of the document: the table, and the stores that start long work


def content() -> list[Any]:
    """What stands on the page; its script fills it."""
    sections = [
        html.Section(
            [
                html.Header(html.H2(SECTIONS[name]), className="group-head"),
                html.Div([comparison_panel(one) for one in found], className=f"panel-grid of-{len(found)}"),
            ],
            id=f"compare-{name}",
            className="group",
            **{"aria-label": SECTIONS[name]},
        )
        for name, found in comparisons().sections().items()
    ]
    head = html.Header(html.H1("Compare"), className="page-head")
    return [head, html.Div(DASH, id="compare-table"), *sections]
