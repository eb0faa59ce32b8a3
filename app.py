"""`python app.py` opens the dashboard. The same as `tdw serve`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: its products are small (analyzers.threads)


def main(arguments: list[str] | None = None) -> int:
    """Serve the dashboard; 0 when it was stopped, 1 with a reason when it could not start."""
    parser = argparse.ArgumentParser(description="The Training Dynamics Workbench in the browser.")
    parser.add_argument(
        "--workspace", type=Path, help="folder with the variants (default: TDW_WORKSPACE or workspace/)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; another one needs TDW_PASSWORD"
    )
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--insecure", action="store_true", help="allow another host without a password")
    given = parser.parse_args(arguments)

    from dashboard.serve import serve
    from data.errors import WorkbenchError

    try:
        serve(given.workspace, given.host, given.port, given.open, given.insecure)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
