"""The long work that the page asks of the server, started through one Dash background callback.

Everything quick goes its own way (routes.py). Nothing is kept between questions; the browser has the
selection, and what runs is told by rows of the database (dashboard/pages/work_routes.py).
"""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output

from dashboard.jobs import requested_order

POLL_MS = 200


def register(app: Dash) -> None:
    """Connect the stores of `dashboard.layout.dash_part`."""
    app.clientside_callback(ClientsideFunction("tdw", "ready"), Output("sink", "data"), Input("boot", "id"))
    app.callback(
        Output("ticket", "data"),
        Input("work", "data"),
        background=True,
        prevent_initial_call=True,
        interval=POLL_MS,
    )(requested_order)
    app.clientside_callback(
        ClientsideFunction("tdw", "started"),
        Output("sink", "data", allow_duplicate=True),
        Input("ticket", "data"),
        prevent_initial_call=True,
    )
