"""The long work that the page asks of the server, as Dash background callbacks.

Everything quick goes its own way (routes.py). Nothing is kept between questions; the browser has the
selection.
"""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output

from dashboard.jobs import analysis_order

POLL_MS = 400


def register(app: Dash) -> None:
    """Connect the page of `dashboard.layout.page`."""
    app.clientside_callback(ClientsideFunction("tdw", "ready"), Output("sink", "data"), Input("boot", "id"))
    app.callback(
        Output("result", "data"),
        Input("work", "data"),
        background=True,
        prevent_initial_call=True,
        interval=POLL_MS,
        running=[(Output("job", "className"), "job is-running", "job")],
        cancel=[Input("cancel", "n_clicks")],
        progress=[Output("job-bar", "value"), Output("job-bar", "max"), Output("job-text", "children")],
        progress_default=["0", "1", "Starting"],
    )(analysis_order)
    app.clientside_callback(
        ClientsideFunction("tdw", "finished"),
        Output("sink", "data", allow_duplicate=True),
        Input("result", "data"),
        prevent_initial_call=True,
    )
