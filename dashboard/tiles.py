"""Views of tiles as bytes for the browser's canvas: one GET per epoch, gzip, kept by the browser."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Flask, Response, request

from dashboard.figures import explained
from data import Workspace
from data.errors import BadParameter
from renderers.catalog import View
from renderers.selection import FIELDS
from renderers.service import ViewService
from renderers.tiles import pack

CLIENT = ("neuron", "frequency")  # of a mosaic: what the browser applies by itself
KEPT = "private, max-age=86400, immutable"  # the address holds the results' version


def asked_fields(view: View) -> tuple[str, ...]:
    """The selection fields that enter into the bytes of a view of tiles."""
    fields = [field for field in view.depends if field != "variant"]
    return tuple(field for field in fields if "epoch" not in fields or field not in CLIENT)


def register(server: Flask, workspace: Workspace, views: ViewService) -> None:
    """GET /_tiles/<view>?variant=...&<selection fields>&<parameters>&v=<version>: see `renderers.tiles.pack`.

    What cannot be answered is a JSON message as for a figure, with the status 404.
    """

    @server.get("/_tiles/<name>")
    def tiles(name: str) -> Response:
        try:
            body = _packed(workspace, views, name, request.args)
        except Exception as error:
            return Response(orjson.dumps(explained(error, name)), 404, mimetype="application/json")
        headers = {"Cache-Control": KEPT, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(gzip.compress(body, 1), mimetype="application/octet-stream", headers=headers)


def _packed(workspace: Workspace, views: ViewService, name: str, asked: Mapping[str, str]) -> bytes:
    view = views.catalog.get(name)
    if view.component != "tiles":
        raise BadParameter(f"View {name!r} has no tiles; open it as a figure.")
    given: dict[str, Any] = {key: value for key, value in asked.items() if key not in ("variant", "v")}
    for field in FIELDS:
        if field in given:
            given[field] = _number(field, given[field])
    return pack(views.open(workspace[asked.get("variant", "")], name, **given).data())


def _number(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadParameter(f"{field}={text!r} is not a whole number.") from None
