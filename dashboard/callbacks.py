"""What the page asks of the server. Nothing is kept between questions: the browser has the selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, no_update

from dashboard import masthead
from dashboard.detail import detail
from dashboard.jobs import analyze_job
from renderers.catalog import Catalog

POLL_MS = 400


def register(app: Dash, describe: Callable[[str | None], dict[str, Any]], catalog: Catalog) -> None:
    """Connect the page of `dashboard.layout.page` to these services. Figures go their own way (routes.py)."""
    _selection(app, describe)
    _routes(app, catalog)
    _analysis(app)


def _selection(app: Dash, describe: Callable[[str | None], dict[str, Any]]) -> None:
    app.clientside_callback(ClientsideFunction("tdw", "boot"), Output("wanted", "data"), Input("boot", "id"))

    @app.callback(
        Output("info", "data"),
        Output("current", "data"),
        Output("variant-picker", "options"),
        Output("masthead", "children"),
        Output("variant-facts", "children"),
        Output("artifact-status", "children"),
        Output("analyze", "disabled"),
        Output("analyze", "children"),
        Output("analyze", "className"),
        Input("wanted", "data"),
        prevent_initial_call=True,
    )
    def resolve(wanted: dict[str, Any] | None) -> tuple[Any, ...]:
        wanted = wanted or {}
        name = wanted.get("variant")
        info = describe(None if name is None else str(name))
        usable = info["error"] is None
        return (
            info,
            {"variant": info["variant"], "page": wanted.get("page")} if usable else None,
            info["variants"],
            masthead.heading(info),
            masthead.facts(info),
            masthead.artifact_status(info),
            not usable,
            "Analyze" if info.get("missing") else "Check again",
            "button is-primary" if info.get("missing") else "button",
        )

    app.clientside_callback(
        ClientsideFunction("tdw", "receive"),
        Output("sink", "data"),
        Input("info", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tdw", "pick"),
        Output("sink", "data", allow_duplicate=True),
        Input("variant-picker", "value"),
        prevent_initial_call=True,
    )


def _routes(app: Dash, catalog: Catalog) -> None:
    @app.callback(Output("detail-content", "children"), Input("route", "data"), prevent_initial_call=True)
    def open_view(route: dict[str, Any] | None) -> Any:
        return no_update if not route else detail(catalog, str(route.get("view")))


def _analysis(app: Dash) -> None:
    app.callback(
        Output("result", "data"),
        Input("analyze", "n_clicks"),
        State("current", "data"),
        background=True,
        prevent_initial_call=True,
        interval=POLL_MS,
        running=[
            (Output("analyze", "disabled"), True, False),
            (Output("job", "className"), "job is-running", "job"),
        ],
        cancel=[Input("cancel", "n_clicks")],
        progress=[Output("job-bar", "value"), Output("job-bar", "max"), Output("job-text", "children")],
        progress_default=["0", "1", "Starting"],
    )(analyze_job)
    app.clientside_callback(
        ClientsideFunction("tdw", "finished"),
        Output("sink", "data", allow_duplicate=True),
        Input("result", "data"),
        prevent_initial_call=True,
    )
