"""The dashboard for a WSGI server: gunicorn "dashboard.wsgi:application()" (deploy/README.md)."""

from __future__ import annotations

from flask import Flask

from dashboard.server import create_app
from data import Workspace


def application() -> Flask:
    """The application of the workspace that the environment names (`TDW_WORKSPACE`).

    Each worker process has its own; they share the folder, the database and the queue, and nothing else.
    """
    server: Flask = create_app(Workspace()).server
    return server
