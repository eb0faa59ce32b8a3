"""What the page says in words about a variant: its heading, its facts, and which results it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

VERDICTS = {
    "turned": "grokked",
    "unfinished": "turning at the end",
    "at once": "learned at once",
    "never": "never grokked",
    "unknown": "too few evaluations",
    "no history": "no loss history",
}


def heading(info: Mapping[str, Any]) -> list[Any]:
    """Name, verdict and the epochs of the events, above the groups."""
    if info["error"]:
        return [html.H1("No variant"), html.P("Choose one in the sidebar.", className="masthead-line")]
    verdict = str(info["verdict"])
    badge = html.Span(VERDICTS.get(verdict, verdict), className=f"badge is-{verdict.replace(' ', '-')}")
    epochs = info["epochs"]
    line = f"{len(epochs)} checkpoints from epoch {epochs[0]:,} to {epochs[-1]:,}."
    if info["key_frequencies"]:
        line += f" Key frequencies at the end: {', '.join(map(str, info['key_frequencies']))}."
    reason = str(info["reason"])
    return [
        html.Div([html.H1(info["variant"]), badge], className="masthead-title"),
        html.P(f"{line} {reason[:1].upper()}{reason[1:].rstrip('.')}.", className="masthead-line"),
    ]


def facts(info: Mapping[str, Any]) -> Any:
    """Parameters and final losses, under the variant picker."""
    if info["error"]:
        return None
    cells: list[Any] = []
    for label, value in info["facts"]:
        cells.append(html.Div([html.Dt(label), html.Dd(value)]))
    return html.Dl(cells)


def artifact_status(info: Mapping[str, Any]) -> list[Any]:
    """Which results are there."""
    if info["error"]:
        return []
    missing = info["missing"]
    if not missing:
        return [html.P([html.Span(className="dot is-good"), "All results are up to date."])]
    names = ", ".join(name.replace("_", " ") for name in missing)
    word = "Out of date or not computed yet" if info["stale"] else "Not computed yet"
    return [html.P([html.Span(className="dot is-missing"), f"{word}: {names}."])]
