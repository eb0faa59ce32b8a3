"""Jobs on a cluster: a Celery queue on Redis. `celery -A dashboard.work.queue worker` on every machine.

Only the id of a job travels; what it is and how it goes is in its row. The machines share the workspace
folder and, by `TDW_DATABASE_URL`, the database. Importing this needs `REDIS_URL` and the extra `cluster`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from data.errors import WorkbenchError
from data.job_files import JobFiles

try:
    from celery import Celery
    from kombu.exceptions import OperationalError
except ImportError:
    raise WorkbenchError(
        "REDIS_URL is set, and jobs on a cluster need the packages celery and redis; install the extra: pip"
        " install 'training-dynamics-workbench[cluster]'"
    ) from None

app = Celery("tdw", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task(name="tdw.run_job")
def run_job(workspace: str, ident: str) -> None:
    """Do one job in a process of its own, which goes on when this worker is killed."""
    with JobFiles(Path(workspace), ident).output() as log:
        command = [sys.executable, "-m", "dashboard.work.run", workspace, ident]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def enqueue(workspace: Path, ident: str) -> None:
    """Let a worker take the job. Raises OSError when Redis cannot be reached."""
    try:
        run_job.apply_async((str(workspace.resolve()), ident), retry=False)
    except OperationalError as error:
        raise OSError(f"Redis ({_without_password()}) cannot be reached: {error}") from error


def _without_password() -> str:
    return re.sub(r"//[^@/]*@", "//", os.environ["REDIS_URL"])
