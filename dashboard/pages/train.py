"""The Train page."""

from __future__ import annotations

from typing import Any

from dash import html


def content() -> list[Any]:
    """What stands on the page; its script fills it."""
    return [html.Header(html.H1("Train"), className="page-head")]
