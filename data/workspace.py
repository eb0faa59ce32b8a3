"""A workspace: the folder that holds variants and their catalog."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.artifacts import DatasetCache
from data.catalog import Catalog
from data.database import Database
from data.errors import BadParameter, CorruptFile, UnknownVariant, VariantExists, WorkspaceError
from data.files import locked, safe_name
from data.services import service
from data.variant import Variant, VariantRecord, validated

DEFAULT_FOLDER = "workspace"
SAMPLES = Path(__file__).parent / "samples"


def default_path() -> Path:
    """`TDW_WORKSPACE`, or `workspace/` in the current folder."""
    return Path(os.environ.get("TDW_WORKSPACE") or DEFAULT_FOLDER)


class Workspace:
    """`Workspace()` opens the default workspace, and on first use makes it from the shipped samples.

    `Workspace(path)` opens an existing one; `create=True` makes an empty one where there is none.
    """

    def __init__(self, path: str | Path | None = None, create: bool = False) -> None:
        self.path = default_path() if path is None else Path(path)
        self._cache = DatasetCache()
        if path is None and not self.path.exists():
            self._make()
            self.add_samples()
        elif create:
            self._make()
        elif not (self.path / "variants").is_dir():
            raise WorkspaceError(
                f"There is no workspace at {self.path}. `tdw train ... --workspace {self.path}` makes one,"
                " and without --workspace the shipped samples are used."
            )
        self.database = Database(self.path)
        self.catalog = Catalog(self, self.database)

    def __repr__(self) -> str:
        return f"<Workspace {self.path}, {len(self.names())} variants>"

    # --- variants ----------------------------------------------------------------------------------------

    def variants(self, family: str | None = None) -> list[Variant]:
        """All readable variants, sorted by name; `problems()` lists the unreadable ones."""
        return [entry for entry in self._entries(family) if isinstance(entry, Variant)]

    def problems(self) -> list[CorruptFile]:
        """The variants whose record cannot be read, each with the reason."""
        return [entry for entry in self._entries() if isinstance(entry, CorruptFile)]

    def names(self) -> list[str]:
        """Names of all variant folders, sorted."""
        return [path.parent.name for path in self._records()]

    def folders(self) -> list[Path]:
        """The folders of all variants, readable or not, sorted by name."""
        return [path.parent for path in self._records()]

    def is_readable(self, folder: Path) -> bool:
        """Whether the record of the variant in that folder can be read."""
        try:
            VariantRecord.read(folder / "variant.json")
        except CorruptFile:
            return False
        return True

    def __getitem__(self, name: str) -> Variant:
        record = self._record(name)
        if record is None:
            raise UnknownVariant(f"There is no variant {name!r} in {self.path}; {self._known()}")
        return self._read(record)

    def __contains__(self, name: str) -> bool:
        return self._record(name) is not None

    def variant(self, **params: Any) -> Variant:
        """The variant with these parameters or config values; a root variant goes before its forks."""
        matching = [
            variant
            for variant in self.variants()
            if all(
                {**variant.config, **variant.params, "family": variant.family}.get(key) == value
                for key, value in params.items()
            )
        ]
        roots = [variant for variant in matching if variant.parent is None]
        chosen = roots or matching
        asked = ", ".join(f"{key}={value!r}" for key, value in params.items())
        if not chosen:
            raise UnknownVariant(f"No variant in {self.path} has {asked}; {self._known()}")
        if len(chosen) > 1:
            names = ", ".join(variant.name for variant in chosen)
            raise UnknownVariant(
                f"{asked or 'No parameters'} fits {len(chosen)} variants: {names}."
                " Give more parameters, or workspace[name]."
            )
        return chosen[0]

    def create_variant(
        self, record: VariantRecord, prepare: Callable[[Variant], None] | None = None
    ) -> Variant:
        """Make the folder of a new variant; VariantExists if its name is taken.

        `prepare` may store what the variant begins with. The record is written last: a folder without one is
        no variant, so that a process killed meanwhile leaves nothing half made.
        """
        self._check_free(record)
        variant = Variant(self, self._place(record), record, self._cache)
        if prepare is not None:
            prepare(variant)
        variant.write_record()
        return variant

    @contextmanager
    def whole_variant(self, record: VariantRecord) -> Iterator[Variant]:
        """A new variant that appears in the workspace when the block ends well, and not at all otherwise.

        VariantExists if its name is taken. What a killed process left of it is overwritten.
        """
        self._check_free(record)
        place = self._place(record)
        partial = place.with_name(f".making-{record.name}")
        with locked(place.with_name(".making.lock")):
            shutil.rmtree(partial, ignore_errors=True)
            try:
                variant = Variant(self, partial, record, self._cache)
                variant.write_record()
                yield variant
                self._check_free(record)
                partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def delete_variant(self, name: str) -> None:
        """Delete a variant with all its files. It disappears in one step, whatever state it is in."""
        found = [
            path for path in self.path.glob("variants/*/*") if path.name == name and not name.startswith(".")
        ]
        if not found:
            raise UnknownVariant(f"There is no variant {name!r} in {self.path}; {self._known()}")
        doomed = found[0].with_name(f".deleted-{os.getpid()}-{name}")
        try:
            found[0].rename(doomed)
        except OSError as error:
            raise WorkspaceError(
                f"Cannot delete {found[0]}: {error.strerror}. Mend the permissions."
            ) from error
        shutil.rmtree(doomed, ignore_errors=True)

    def add_samples(self) -> list[str]:
        """Copy the shipped sample variants that are missing; returns their names."""
        added = []
        for source in sorted(SAMPLES.glob("variants/*/*/variant.json")):
            target = self.path / "variants" / source.parent.parent.name / source.parent.name
            if target.exists():
                continue
            partial = target.with_name(f".copying-{os.getpid()}-{target.name}")
            try:
                shutil.copytree(source.parent, partial)
                partial.rename(target)
            except OSError as error:
                shutil.rmtree(partial, ignore_errors=True)
                raise WorkspaceError(f"Cannot copy the samples to {self.path}: {error}.") from error
            added.append(target.name)
        return added

    # --- what can be asked of them -----------------------------------------------------------------------

    def views(self) -> Any:
        """Every view: name, group, what it shows, formula, source."""
        return service("views").list()

    def analyzers(self) -> Any:
        """Every analyzer: name, version, what it computes, formula, source."""
        return service("analyzers").list()

    # --- private -----------------------------------------------------------------------------------------

    def _place(self, record: VariantRecord) -> Path:
        return self.path / "variants" / record.family / record.name

    def _check_free(self, record: VariantRecord) -> None:
        validated(record)
        if record.name in self:
            other = self[record.name]
            same = "the same" if other.identity == record.identity else "a different"
            raise VariantExists(
                f"{record.name} is already in {self.path}, with {same} configuration and"
                f" {len(other.epochs)} checkpoints. Delete it first, or choose other parameters."
            )

    def _make(self) -> None:
        try:
            (self.path / "variants").mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise WorkspaceError(
                f"Cannot make a workspace at {self.path}: {error.strerror}. Choose another folder with"
                " --workspace or TDW_WORKSPACE, or mend the permissions."
            ) from error

    def _record(self, name: str) -> Path | None:
        """The `variant.json` of that name, without a look at the other variants."""
        try:
            safe_name(name)
        except BadParameter:
            return None
        return next(iter(sorted(self.path.glob(f"variants/*/{name}/variant.json"))), None)

    def _records(self, family: str | None = None) -> list[Path]:
        """The `variant.json` files, sorted by variant name, without folders in the making."""
        found = self.path.glob(f"variants/{family or '*'}/*/variant.json")
        return sorted(
            (path for path in found if not path.parent.name.startswith(".")),
            key=lambda path: path.parent.name,
        )

    def _read(self, path: Path) -> Variant:
        return Variant(self, path.parent, VariantRecord.read(path), self._cache)

    def _entries(self, family: str | None = None) -> Iterator[Variant | CorruptFile]:
        for path in self._records(family):
            try:
                yield self._read(path)
            except CorruptFile as error:
                yield error

    def _known(self) -> str:
        names = self.names()
        return (
            f"there are: {', '.join(names)}." if names else "it has no variants yet (`tdw train` makes one)."
        )
