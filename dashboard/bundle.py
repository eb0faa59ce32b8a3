"""The page's own scripts as one file, and plotly.js, named after their content: fetched once, kept for ever.

Twenty small files would be twenty questions to the server at every visit; Dash would also load them last.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import plotly
from flask import Flask, Response, request

FIRST = "core.js"
ALONE = "first.js"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Bundle:
    """Every script of a folder, `core.js` first, the others by name."""

    text: str

    @classmethod
    def of(cls, folder: Path) -> Bundle:
        """Read the folder's scripts (without first.js, which runs by itself before the first paint)."""
        paths = sorted(
            (path for path in folder.glob("*.js") if path.name != ALONE),
            key=lambda path: (path.name != FIRST, path.name),
        )
        return cls("\n".join(path.read_text() for path in paths))

    @property
    def paths(self) -> tuple[str, str]:
        """Where the page finds the bundle and plotly.js; another content has another path."""
        own = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        return f"/_scripts/page-{own}.js", f"/_scripts/plotly-{plotly.__version__}.js"

    def register(self, server: Flask) -> None:
        """Serve both, and let browsers keep every asset whose address names its version."""
        own, library = self.paths
        kept = {"Cache-Control": FOR_EVER}

        @server.get(own)
        def scripts() -> Response:
            return Response(self.text, mimetype="text/javascript", headers=kept)

        @server.get(library)
        def plotly_js() -> Response:
            return Response(PLOTLY.read_bytes(), mimetype="text/javascript", headers=kept)

        @server.after_request
        def keep(response: Response) -> Response:
            if request.path.startswith("/assets/") and "m" in request.args and response.status_code == 200:
                response.headers["Cache-Control"] = FOR_EVER
            return response
