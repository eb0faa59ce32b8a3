"""A PostgreSQL of the test run's own, from the system's packages; nothing of it outlives the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl, None if PostgreSQL is not installed."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server on a socket in `folder`; yields the URL of its first database."""
    programs = binaries()
    assert programs is not None
    folder.mkdir(parents=True)
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres", "postgres")
        for parent in folder.parents:
            if str(parent) not in ("/", "/tmp") and parent.stat().st_uid == 0:
                parent.chmod(parent.stat().st_mode | 0o011)

    def do(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    data = folder / "data"
    do("initdb", "-D", str(data), "-U", "tdw", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=40"
    do("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield f"postgresql+psycopg://tdw@/postgres?host={folder}"
    finally:
        do("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def empty(url: str) -> None:
    """Remove everything from the server's database."""
    import psycopg

    socket = url.partition("host=")[2]
    with psycopg.connect(f"host={socket} user=tdw dbname=postgres", autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
