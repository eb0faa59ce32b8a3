"""Who may use the page and what the page may load."""

from __future__ import annotations

import hmac
import os
from ipaddress import ip_address
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, Response, request

from data.errors import WorkbenchError

PASSWORD_VARIABLE = "TDW_PASSWORD"
USER = "tdw"


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def require_permission(host: str, insecure: bool) -> None:
    """WorkbenchError if the page would be open to other machines without a password."""
    if is_loopback(host) or insecure or os.environ.get(PASSWORD_VARIABLE):
        return
    raise WorkbenchError(
        f"Host {host} can be reached from other machines. Set {PASSWORD_VARIABLE} to a password (the user is "
        f"{USER}), or add --insecure to serve without one."
    )


def credentials() -> tuple[str, str] | None:
    """(user, password) that every request must bring, None if the page is open."""
    password = os.environ.get(PASSWORD_VARIABLE)
    return (USER, password) if password else None


def protect(app: Dash, any_host: bool = False) -> None:
    """Add the security headers and, if TDW_PASSWORD is set, basic authentication for every path.

    Other sites may not change anything through a visitor's browser. Without a password the page answers only
    under the names of this machine itself (a foreign name that was made to point here is refused), unless
    `any_host`. Call it after all callbacks are registered: the content policy lists the hashes of Dash's
    inline scripts.
    """
    _headers(app.server, app.csp_hashes())
    wanted = credentials()
    if wanted:
        _login(app.server, wanted)
    elif not any_host:
        _own_names(app.server)
    _own_pages(app.server)


def _headers(server: Flask, script_hashes: list[str]) -> None:
    policy = "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' {' '.join(script_hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "object-src 'none'",
        ]
    )

    @server.after_request
    def add(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        return response


def _own_names(server: Flask) -> None:
    @server.before_request
    def check_name() -> Response | None:
        host = urlsplit(f"//{request.host}").hostname or ""
        if is_loopback(host):
            return None
        return Response(f"This workbench has no password, and does not answer as {host}.", 403)


def _own_pages(server: Flask) -> None:
    @server.before_request
    def check_origin() -> Response | None:
        origin = request.headers.get("Origin")
        if request.method in ("GET", "HEAD", "OPTIONS") or origin is None:
            return None
        if urlsplit(origin).netloc == request.host:
            return None
        return Response(f"Only pages of this workbench may change it; the request came from {origin}.", 403)


def _login(server: Flask, wanted: tuple[str, str]) -> None:
    expected = ":".join(wanted).encode()

    @server.before_request
    def check() -> Response | None:
        given = request.authorization
        if given is not None and given.type == "basic":
            offered = f"{given.username}:{given.password}".encode()
            if hmac.compare_digest(offered, expected):
                return None
        return Response(
            "This workbench needs its password.", 401, {"WWW-Authenticate": 'Basic realm="workbench"'}
        )
