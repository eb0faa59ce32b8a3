"""What is wrong with a workspace: damage, leftovers and drift, each with its remedy; and mending what can be.

Nothing that a person made is ever deleted: a damaged checkpoint, state or record is moved to `.damaged/` of
the workspace. Results (artifacts) and the index are made again from what is left: damaged ones are deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from data.database.jobs import JobStore
from data.datasets import read_dataset
from data.errors import CorruptFile, WorkspaceError
from data.files import locked
from data.variant import DIGEST, Variant

if TYPE_CHECKING:
    from data.workspace import Workspace

YOUNG = 3600.0  # seconds: a temporary file of unknown owner that is older than this is a leftover
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    subject   what it concerns (a variant, a file within the workspace, the catalog)
    problem   what is wrong, one sentence
    remedy    what to do, one sentence
    mend      what `repair` does about it: "" (nothing), "delete", "put aside", "rebuild", "release" (a job)
    path      the file or folder, where there is one
    """

    subject: str
    problem: str
    remedy: str
    mend: str = ""
    path: Path | None = None


def examine(workspace: Workspace) -> list[Finding]:
    """Everything that is wrong, without changing anything. Reads every file once."""
    found = list(_leftovers(workspace))
    for error in workspace.problems():
        found.append(_record(workspace, error))
    for variant in workspace.variants():
        found += _checkpoints(variant)
        found += _states(variant)
        found += _history(variant)
        found += _artifacts(variant)
    return found + list(_catalog(workspace))


def repair(workspace: Workspace, findings: list[Finding]) -> list[str]:
    """Mend what can be mended; returns one sentence for each thing done."""
    done = []
    for finding in findings:
        path = finding.path
        if finding.mend == "rebuild":
            if workspace.database.integrity():
                told = workspace.database.salvage()
                kept = sum(told["rows"].values())
                done.append(
                    f"Put the damaged database aside as {told['file']}; {kept} of its own rows were kept."
                )
            entries = workspace.catalog.rebuild()
            done.append(f"Made the index again from the disk: {len(entries)} variants.")
        elif finding.mend == "release":
            for job in JobStore(workspace.database).interrupt_dead():
                done.append(f"Marked the job {job.id} ({job.title}) as interrupted.")
        elif path is not None and finding.mend == "delete" and (path.exists() or path.is_symlink()):
            _delete(path)
            done.append(f"Deleted {path.relative_to(workspace.path)}.")
        elif path is not None and finding.mend == "put aside" and path.exists():
            done.append(f"Moved {path.relative_to(workspace.path)} to {_put_aside(workspace, path)}.")
    if any(finding.mend in ("put aside", "delete") for finding in findings):
        workspace.catalog.refresh()
    return done


# --- what can be wrong -----------------------------------------------------------------------------------


def _leftovers(workspace: Workspace) -> Iterator[Finding]:
    """Temporary files and folders of processes that are gone."""
    unfinished = []
    for path in sorted(workspace.path.rglob(".*")):
        owner = re.fullmatch(r"\.(?:copying|deleted|importing)-(\d+)-.+", path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            yield _leftover(workspace, path)
        elif path.name.endswith(".tmp") and path.is_file():
            unfinished.append(path)
    opened = _open_files() if unfinished else set()
    for path in unfinished:
        if time.time() - path.stat().st_mtime > YOUNG or str(path.resolve()) not in opened:
            yield _leftover(workspace, path)


def _leftover(workspace: Workspace, path: Path) -> Finding:
    return Finding(
        str(path.relative_to(workspace.path)),
        "It was left over by a process that was killed while writing; nothing refers to it.",
        "Delete it.",
        "delete",
        path,
    )


def _record(workspace: Workspace, error: CorruptFile) -> Finding:
    folder = Path(str(error).split(" ", 1)[0]).parent
    known = folder.is_relative_to(workspace.path)
    return Finding(
        folder.name if known else "a variant",
        str(error),
        "Restore variant.json from a copy; until then the variant is put aside with all its files.",
        "put aside" if known else "",
        folder if known else None,
    )


def _checkpoints(variant: Variant) -> Iterator[Finding]:
    shapes: dict[str, Any] = {}
    for epoch in variant.epochs:
        path = variant.at(epoch).path
        try:
            own = verified(path)
        except CorruptFile as error:
            nearest = max((other for other in variant.optimizer_epochs if other <= epoch), default=None)
            again = (
                f"`tdw checkpoints {variant.name} --add {epoch}` makes it again"
                f" from the training state at epoch {nearest}"
                if nearest is not None
                else "no training state from before it is stored, so only training again makes it again"
            )
            yield Finding(variant.name, str(error), f"Put it aside; {again}.", "put aside", path)
            continue
        if shapes and own != shapes:
            differing = next(name for name in sorted({*own, *shapes}) if own.get(name) != shapes.get(name))
            problem = f"The checkpoint of epoch {epoch} has other weights than the first one ({differing})."
            yield Finding(
                variant.name, problem, "Put it aside; it is not of this variant.", "put aside", path
            )
        shapes = shapes or own


def _states(variant: Variant) -> Iterator[Finding]:
    for epoch in variant.optimizer_epochs:
        path = variant.path / "optimizer" / f"epoch_{epoch:08d}.safetensors"
        try:
            verified(path)
        except CorruptFile as error:
            remedy = "Put it aside; resuming then starts from the state before it."
            yield Finding(variant.name, str(error), remedy, "put aside", path)


def _history(variant: Variant) -> Iterator[Finding]:
    try:
        _ = variant.history
    except CorruptFile as error:
        remedy = (
            f"Put it aside; `tdw resume {variant.name}` goes on from the last state that holds its own copy."
        )
        yield Finding(variant.name, str(error), remedy, "put aside", variant.history_path)


def _artifacts(variant: Variant) -> Iterator[Finding]:
    for probe, analyzer, key, _ in variant.artifacts.listing():
        path = variant.artifacts.path(probe, analyzer, key)
        again, mend = (
            f"Delete it; `tdw analyze {variant.name} --analyzers {analyzer}` computes it again.",
            "delete",
        )
        if variant.removed and not variant.epochs:
            again, mend = (
                "Put it aside; restore it from a copy, as its checkpoints were removed.",
                "put aside",
            )
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise CorruptFile(f"{path} is damaged in its part {damaged}.")
            identity = read_dataset(path).attrs.get("variant")
        except (CorruptFile, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            yield Finding(variant.name, f"The result {path.name} cannot be read: {error}", again, mend, path)
            continue
        if identity != variant.identity:
            problem = f"The result {path.name} was computed from another variant or another configuration."
            yield Finding(variant.name, problem, again, mend, path)


def _catalog(workspace: Workspace) -> Iterator[Finding]:
    damage = workspace.database.integrity()
    if damage:
        problem = f"The database is damaged: {damage[0]}."
        remedy = (
            "Put it aside, keep every row of its own that can be read, make the index again from the disk."
        )
        yield Finding("catalog", problem, remedy, "rebuild")
        return
    try:
        drift = workspace.catalog.drift()
    except WorkspaceError as error:
        yield Finding("catalog", str(error), "See above.", "rebuild" if workspace.database.is_sqlite else "")
        return
    for sentence in drift:
        yield Finding("catalog", sentence, "Make the index again from the disk.", "rebuild")
    for job in JobStore(workspace.database).dead():
        yield Finding(
            f"job {job.id}",
            f"{job.title} is {job.state}, but the process that does it is gone.",
            f"Mark it as interrupted; `tdw jobs resume {job.id}` goes on with it.",
            "release",
        )


# --- mending ---------------------------------------------------------------------------------------------


def verified(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, types and shapes of the tensors of a safetensors file that is whole.

    Raises CorruptFile if it is truncated, its header does not describe it, or, where it carries a digest of
    its tensors, that differs.
    """
    try:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header: dict[str, Any] = json.loads(content[8 : 8 + length])
        described = header.pop("__metadata__", {})
        body = memoryview(content)[8 + length :]
        end = 0
        for tensor in header.values():
            start, stop = tensor["data_offsets"]
            cells = 1
            for size in tensor["shape"]:
                cells *= size
            if stop - start != cells * _WIDTHS[tensor["dtype"]]:
                raise ValueError("a tensor has another size than its shape")
            end = max(end, stop)
        if end != len(body):
            raise ValueError(f"it has {len(body):,} bytes of numbers where its header says {end:,}")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise CorruptFile(f"{path} is damaged or truncated ({error}).") from error
    noted = json.loads(described.get("training_dynamics_workbench", "{}")).get(DIGEST)
    if noted is not None and noted != hashlib.sha256(body).hexdigest():
        raise CorruptFile(f"{path} is damaged: its numbers are not those that were written.")
    return {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in header.items()}


def _open_files() -> set[str]:
    """The files that processes which we may look at have open."""
    found: set[str] = set()
    for process in psutil.process_iter():
        try:
            found.update(opened.path for opened in process.open_files())
        except psutil.Error:
            continue
    return found


def _delete(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _put_aside(workspace: Workspace, path: Path) -> Path:
    """Move a file or folder below `.damaged/`, where nothing looks for variants; returns the new place."""
    with locked(workspace.path / ".damaged.lock"):
        target = workspace.path / ".damaged" / path.relative_to(workspace.path)
        number = 0
        while target.exists():
            number += 1
            target = target.with_name(f"{path.name}.{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    return target.relative_to(workspace.path)
