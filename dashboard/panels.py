"""The frame around one figure: title, what a click sets, parameters, explanation, and the body.

The browser fills the body: assets/panels.js asks and assets/drawing.js draws the answer.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from dash import html

from renderers.catalog import View

Place = Literal["explore", "detail"]


def panel(view: View, place: Place = "explore") -> html.Section:
    """The panel of `view`; its role in the group ("navigator", "companion") becomes a class.

    What the panel's figure depends on travels as data attributes, so that the browser alone decides when to
    ask for it (assets/panels.js).
    """
    ident = f"{place}-{view.name}"
    return html.Section(
        [
            html.Header([_title(view, place, ident), _tools(view, place)], className="panel-head"),
            html.Div(
                [
                    html.Div(
                        className="panel-chips",
                        role="group",
                        **{"aria-label": f"What a click on {view.title} sets"},
                    ),
                    html.Div(className="panel-parameters"),
                ],
                className="panel-bar",
            ),
            html.Div(
                [
                    html.Div(className="panel-slot"),
                    html.Div(className="panel-spinner", **{"aria-hidden": "true"}),
                    _unanswered(),
                ],
                className="panel-body",
                role="figure",
                **{"aria-label": f"{view.title}. {view.blurb}"},
            ),
        ],
        className=" ".join(
            filter(None, ["panel", f"is-{view.shape}", f"in-{place}", view.role and f"is-{view.role}"])
        ),
        **{
            "aria-labelledby": ident,
            "data-view": view.name,
            "data-title": view.title,
            "data-place": place,
            "data-depends": " ".join(view.depends),
            "data-needs": " ".join((*view.needs, *view.optional)),
            "data-marks": " ".join(view.marks),
            "data-parameters": json.dumps(_parameters(view)),
        },
    )


def _parameters(view: View) -> dict[str, Any]:
    return {
        name: {"default": parameter.default, "choices": list(parameter.choices), "label": parameter.label}
        for name, parameter in view.parameters.items()
    }


def _title(view: View, place: Place, ident: str) -> html.H3:
    return html.H3(view.title, id=ident, className="panel-title" if place == "explore" else "visually-hidden")


def _tools(view: View, place: Place) -> html.Div:
    tools: list[Any] = []
    if place == "explore":
        tools = [
            html.Details(
                [
                    html.Summary(
                        "i", className="icon-button is-round", **{"aria-label": f"About {view.title}"}
                    ),
                    html.Div(html.P(view.blurb), className="blurb-text"),
                ],
                className="blurb",
            ),
            html.A(
                "⤢",
                href=f"/view/{view.name}",
                className="icon-button",
                title="Open large, with its formula and source",
                **{"aria-label": f"Open {view.title} large", "data-open": view.name},
            ),
        ]
    return html.Div(tools, className="panel-tools")


def _unanswered() -> html.Div:
    parts = [
        html.Strong("No answer"),
        html.P("The server cannot be reached, or took more than 20 seconds. Is it still running?"),
        html.Button("Ask again", type="button", className="button", **{"data-action": "retry"}),
    ]
    return html.Div(html.Div(parts, className="panel-message is-error"), className="panel-unanswered")
