"""Atomic file writes, locks, and the rule that a name must pass before it becomes a path."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import BadParameter, CorruptFile, WorkspaceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,119}")


def safe_name(name: str, what: str = "name") -> str:
    """Return `name` if it may become one path component, else raise BadParameter."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise BadParameter(
            f"{what} {name!r} is not allowed: use letters, digits and . _ + = - only, starting with a letter"
            " or digit, 120 characters at most."
        )
    return name


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`.

    A reader sees the old file or the new one, never a part. After a failure the old file stands and the
    temporary one is gone. OSError (full disk, no permission) becomes a WorkspaceError that names the path.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o644)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise WorkspaceError(
            f"Cannot write {path}: {error.strerror or error}. Nothing that was stored has changed;"
            " free some space or mend the permissions, then run the command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; CorruptFile if it is not."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CorruptFile(
            f"{path} cannot be read as JSON ({error}). Restore it or delete its folder."
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created if missing); the system frees it when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise WorkspaceError(
            f"Cannot lock {path}: {error.strerror or error}. Mend the permissions."
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def stat_token(path: Path) -> str:
    """A short text that changes whenever the file is replaced or written; "" if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
