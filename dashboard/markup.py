"""Dash's HTML components as HTML text, for the parts of the page that Dash need not manage.

A page of 70 views costs Dash a second before anything is seen; as text the browser has it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

NAMES = {"className": "class", "htmlFor": "for", "tabIndex": "tabindex", "maxLength": "maxlength"}
VOID = {"input", "br", "hr", "img"}


@dataclass(frozen=True)
class Raw:
    """Text that stands in the document as it is."""

    text: str


def html_of(part: Any) -> str:
    """The HTML of a component of `dash.html`, a text, a number, `Raw` or a list of these; None is nothing."""
    if part is None:
        return ""
    if isinstance(part, Raw):
        return part.text
    if isinstance(part, (list, tuple)):
        return "".join(html_of(one) for one in part)
    if not hasattr(part, "to_plotly_json"):
        return escape(str(part), quote=False)
    described = part.to_plotly_json()
    if described["namespace"] != "dash_html_components":
        raise TypeError(f"{described['type']} is not plain HTML; keep it where Dash manages the page.")
    tag, props = described["type"].lower(), dict(described["props"])
    children = props.pop("children", None)
    attributes = "".join(_attribute(name, value) for name, value in props.items())
    return f"<{tag}{attributes}>" + ("" if tag in VOID else f"{html_of(children)}</{tag}>")


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = NAMES.get(name, name)
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
