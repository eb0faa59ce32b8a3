"""What stands beside a comparison that is open large: its formula, source and caveats."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard.markup import html_of
from data.errors import BadParameter
from renderers.comparison.catalog import SECTIONS, comparisons


def detail_html(name: str) -> str:
    """HTML text; for an unknown name, a sentence."""
    try:
        comparison = comparisons().get(name)
    except BadParameter as error:
        return html_of(html.P(str(error)))
    takes = "any number of variants" if comparison.least < 2 else f"{comparison.least} variants or more"
    if comparison.most is not None:
        takes = f"{comparison.least} to {comparison.most} variants"
    terms = {
        "Section": SECTIONS[comparison.section],
        "What is shown": comparison.blurb,
        "Takes": takes + (", aligned in time as chosen above" if comparison.aligned else ""),
        "Formula": comparison.formula,
        "Source": comparison.source,
        "Caveats": comparison.caveats,
    }
    parts: list[Any] = []
    for term, said in terms.items():
        if said:
            parts += [html.Dt(term), html.Dd(said, className="is-formula" if term == "Formula" else "")]
    return html_of([html.H2("What is compared"), html.Dl(parts)])
