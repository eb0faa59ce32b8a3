"""What the browser needs to know of one view in order to frame it, ask for its figure and read its marks.

The browser adds the frame (assets/panel_frame.js), asks (assets/panels.js) and draws (assets/drawing.js): a
page of 70 views stays small for Dash.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from dash import html

from analyzers.registry import default_registry
from dashboard.tiles import asked_fields
from renderers.catalog import View
from renderers.comparison.catalog import Comparison

Place = Literal["explore", "detail"]


def panel(view: View, place: Place = "explore") -> html.Section:
    """The panel of `view`; its role in the group ("navigator", "companion") becomes a class.

    What the panel's figure depends on travels as data attributes, so that the browser alone decides when to
    ask for it.
    """
    ident = f"{place}-{view.name}"
    return html.Section(
        html.H3(view.title, id=ident, className="panel-title" if place == "explore" else "visually-hidden"),
        className=" ".join(
            filter(None, ["panel", f"is-{view.shape}", f"in-{place}", view.role and f"is-{view.role}"])
        ),
        **{
            "aria-labelledby": ident,
            "data-view": view.name,
            "data-title": view.title,
            "data-blurb": view.blurb,
            "data-place": place,
            "data-depends": " ".join(view.depends),
            "data-needs": " ".join((*view.needs, *view.optional)),
            "data-required": " ".join(view.needs),
            "data-checkpoints": "needed" if needs_checkpoints(view) else "",
            "data-marks": " ".join(view.marks),
            "data-component": view.component,
            "data-asks": " ".join(asked_fields(view)) if view.component == "tiles" else "",
            "data-parameters": json.dumps(_parameters(view)),
        },
    )


def comparison_panel(comparison: Comparison) -> html.Section:
    """The panel of a comparison. What its parameters offer comes with its figure."""
    ident = f"comparison-{comparison.name}"
    return html.Section(
        html.H3(comparison.title, id=ident, className="panel-title"),
        className=f"panel is-{comparison.shape} in-compare",
        **{
            "aria-labelledby": ident,
            "data-view": comparison.name,
            "data-kind": "comparison",
            "data-title": comparison.title,
            "data-blurb": comparison.blurb,
            "data-place": "compare",
            "data-depends": " ".join(comparison.depends),
            "data-section": comparison.section,
            "data-aligned": "aligned" if comparison.aligned else "",
            "data-least": str(comparison.least),
            "data-most": "" if comparison.most is None else str(comparison.most),
            "data-needs": "",
            "data-required": "",
            "data-checkpoints": "",
            "data-marks": " ".join(comparison.marks),
            "data-component": "",
            "data-parameters": json.dumps(
                {
                    name: {"default": choice.default, "choices": [], "label": choice.label}
                    for name, choice in comparison.parameters.items()
                }
            ),
        },
    )


def needs_checkpoints(view: View) -> bool:
    """False for a view that the loss history alone can fill."""
    used = default_registry().ordered(view.needs)
    return "epoch" in view.depends or any(analyzer.kind != "history" for analyzer in used)


def _parameters(view: View) -> dict[str, Any]:
    return {
        name: {"default": parameter.default, "choices": list(parameter.choices), "label": parameter.label}
        for name, parameter in view.parameters.items()
    }
