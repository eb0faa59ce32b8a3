"""Serving the dashboard on this machine."""

from __future__ import annotations

import errno
import threading
import webbrowser
from pathlib import Path

from waitress.server import create_server

from analyzers.registry import default_registry
from dashboard.info import shown_first
from dashboard.security import credentials, is_loopback, require_permission
from dashboard.server import create_app
from dashboard.work.launch import start
from dashboard.work.orders import AnalyzeOrder
from data import Variant, Workspace
from data.errors import WorkbenchError

THREADS = 8


def serve(
    workspace: Path | None,
    host: str = "127.0.0.1",
    port: int = 8050,
    open_browser: bool = False,
    insecure: bool = False,
) -> None:
    """Serve the dashboard until interrupted. None is the default workspace, made from the samples if absent.

    Where no checkpoint has been analysed yet, those of the variant that the page shows first are, in the
    background.

    Raises WorkbenchError when the host would be open to others without a password or the port is taken.
    """
    require_permission(host, insecure)
    opened = Workspace() if workspace is None else Workspace(workspace)
    app = create_app(opened, any_host=insecure)
    client = app.server.test_client()
    for path in ("/", "/_info"):  # what the first visitor would otherwise wait for: imports, one-time set-up
        client.get(path, auth=credentials())
    try:
        server = create_server(app.server, host=host, port=port, threads=THREADS, ident=None)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise WorkbenchError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        raise WorkbenchError(f"Port {port} is in use. Choose another one with --port.") from error
    begun = analyse_first(opened)
    address = f"http://{'127.0.0.1' if not is_loopback(host) else host}:{port}/"
    print(f"The workbench is at {address} (Ctrl+C stops it).", flush=True)
    if begun:
        print(
            f"Nothing is analysed yet: {begun} is now, in the background; the page shows how far.", flush=True
        )
    if open_browser:
        threading.Timer(0.3, webbrowser.open, [address]).start()
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


def analyse_first(workspace: Workspace) -> str | None:
    """Begin to analyse the variant that is shown first; its name, or None if any is analysed already.

    What the samples ship, summaries and results of runs without checkpoints, is not taken for an analysis.
    """
    variants = workspace.variants()
    shown = shown_first(variants)
    if shown is None or any(variant.epochs and _measured(variant) for variant in variants):
        return None
    if not shown.epochs:
        return None
    start(workspace, AnalyzeOrder(variants=[shown.name]))
    return shown.name


def _measured(variant: Variant) -> bool:
    """Whether there is a result of any of its checkpoints."""
    known = default_registry()
    stored = {path.name.rpartition("-")[0] for path in variant.path.glob("artifacts/*/*")}
    return any(one.scope == "checkpoint" and one.name in stored for one in known)
