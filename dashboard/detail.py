"""One view, large: the figure, its parameters, and what is measured, by whom and with which limits."""

from __future__ import annotations

from typing import Any

from dash import html

from analyzers.registry import Analyzer, default_registry
from dashboard.markup import html_of
from dashboard.panels import panel
from data.errors import BadParameter
from renderers.catalog import GROUPS, Catalog, View


def detail_html(catalog: Catalog, name: str) -> str:
    """`detail` as HTML text."""
    return html_of(detail(catalog, name))


def detail(catalog: Catalog, name: str) -> list[Any]:
    """The content of `/view/<name>`; for an unknown name, a list of what there is."""
    try:
        view = catalog.get(name)
    except BadParameter:
        return [
            _back(),
            html.H1("No such view"),
            html.P(f"There is no view called “{name}”. There are:"),
            _all(catalog),
        ]
    names = catalog.names
    at = names.index(view.name)
    return [
        html.Header(
            [
                _back(),
                html.Div(
                    [
                        html.Div(GROUPS[view.group], className="eyebrow"),
                        html.H1(view.title),
                        html.P(view.blurb),
                    ],
                    className="detail-title",
                ),
                html.Nav(
                    [
                        _link(catalog.get(names[at - 1]), "‹ "),
                        _link(catalog.get(names[(at + 1) % len(names)]), "", " ›"),
                    ],
                    className="detail-steps",
                    **{"aria-label": "Previous and next view"},
                ),
            ],
            className="detail-head",
        ),
        html.Div([panel(view, "detail"), _measure(view)], className="detail-body"),
    ]


def _measure(view: View) -> html.Aside:
    registry = default_registry()
    used = [registry.get(name) for name in (*view.needs, *view.optional)]
    parts: list[Any] = [_card(analyzer) for analyzer in used if analyzer.name in view.needs]
    if view.formula or view.source:
        parts.insert(0, _terms(("Formula", view.formula), ("Source", view.source)))
    parts += [
        html.Details([html.Summary(f"Also shown: {analyzer.title}"), _card(analyzer)])
        for analyzer in used
        if analyzer.name not in view.needs
    ]
    return html.Aside(
        [html.H2("What is measured"), *parts], className="measure", **{"aria-label": "What is measured"}
    )


def _card(analyzer: Analyzer) -> html.Section:
    terms = _terms(
        ("Formula", analyzer.formula),
        ("Protocol", analyzer.protocol),
        ("Source", analyzer.source),
        ("Caveats", analyzer.caveats),
        ("Computed at the last checkpoint, applied to every epoch", ", ".join(analyzer.needs_final)),
    )
    quantities = [
        html.Li(
            [html.Code(name), f" {output.long_name}", html.Span(f" [{output.units}]" if output.units else "")]
        )
        for name, output in analyzer.outputs.items()
    ]
    made = _terms(
        ("Quantities and units", html.Ul(quantities)),
        ("Instrument", f"{analyzer.name}, version {analyzer.version}, from {analyzer.kind}"),
    )
    return html.Section([html.H3(analyzer.title), terms, made])


def _terms(*pairs: tuple[str, Any]) -> html.Dl:
    """A list of terms and what they say, without those that say nothing."""
    return html.Dl(
        [
            part
            for term, said in pairs
            if said
            for part in (html.Dt(term), html.Dd(said, className="is-formula" if term == "Formula" else ""))
        ]
    )


def _back() -> html.A:
    return html.A("‹ Explore", href="/", className="back-link", **{"data-open": ""})


def _link(view: View, before: str = "", after: str = "") -> html.A:
    return html.A(f"{before}{view.title}{after}", href=f"/view/{view.name}", **{"data-open": view.name})


def _all(catalog: Catalog) -> html.Ul:
    return html.Ul([html.Li(_link(view)) for view in catalog])
