"""Which pages there are, and the links between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dash import html

from dashboard.pages import analyze, compare, jobs, train


@dataclass(frozen=True)
class Page:
    """One page beside Explore: its name is its address, `content` what stands on it."""

    name: str
    title: str
    says: str
    content: Callable[[], list[Any]]


PAGES = (
    Page("compare", "Compare", "How variants differ", compare.content),
    Page("train", "Train", "Train new variants, forks and sweeps", train.content),
    Page("analyze", "Analyze", "Run instruments on checkpoints", analyze.content),
    Page("jobs", "Jobs", "What runs, and what ran", jobs.content),
)


def navigation() -> html.Nav:
    """Links to every page; the script marks the one that is shown and keeps the selection in them."""
    links = [_link("explore", "Explore", "Everything about one run")]
    links += [_link(page.name, page.title, page.says) for page in PAGES]
    return html.Nav(html.Ul([html.Li(link) for link in links]), id="pages", **{"aria-label": "Pages"})


def sections() -> list[html.Div]:
    """Every page, hidden until its address is opened."""
    return [html.Div(page.content(), id=f"page-{page.name}", className="page", hidden=True) for page in PAGES]


def _link(name: str, title: str, says: str) -> html.A:
    parts: list[Any] = [title]
    if name == "jobs":
        parts.append(html.Span(id="jobs-running", className="nav-count", hidden=True))
    return html.A(
        parts, href="/" if name == "explore" else f"/{name}", title=says, **{"data-page-link": name}
    )
