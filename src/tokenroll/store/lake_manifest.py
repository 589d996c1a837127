"""The manifest of the lake: which files there are, what is in each, and how far every source is taken in.

It is one file that is replaced whole, so rows and the marks that say they are there become true at the same instant. A file that it
does not name does not exist: whoever died while writing has left nothing but bytes to be removed.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tokenroll.model.instant import Instant
from tokenroll.model.limits import LAKE_HISTORY_MAX
from tokenroll.store.lake_schema import VERSION

NAME: Final = "manifest.json"
_Whole = TypeVar("_Whole", bound=msgspec.Struct)


class LakeError(Exception):
    """A lake that cannot be used as it is; the message says what to do."""


class LakeFile(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed file. `path` is relative to the lake; `day` is that of all its rows, in UTC."""

    path: str
    kind: str
    day: str
    digest: str
    row_count: int
    admitted_from_at: Instant
    """The earliest; of sums the beginning of their earliest hour or day."""
    admitted_last_at: Instant
    """The latest."""
    sources: tuple[str, ...]
    currencies: tuple[str, ...]
    widest: str
    """The largest sum of magnitudes of any column that is added: what tells whether int64 holds every sum of its rows."""
    rolled: bool = False
    """Whether the rows of a usage file are in the roll-ups of its day."""


class SealedMarks(msgspec.Struct, frozen=True, kw_only=True):
    """The file of marks that are not in the manifest itself; `path` is relative to the lake."""

    path: str
    digest: str
    count: int


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """That usage was taken out again by somebody's word: when, what, and how many events of which days."""

    at: Instant
    what: str
    source: str
    event_count: int
    days: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is in the lake. `marks` say in the words of each source how far it is taken in."""

    version: int = VERSION
    marks: dict[str, int | str] = msgspec.field(default_factory=dict)
    files: tuple[LakeFile, ...] = ()
    history: tuple[Withdrawn, ...] = ()
    """The newest last."""
    folded: SealedMarks | None = None
    """Marks of files that were imported, where they are many."""

    def of_kind(self, kind: str) -> tuple[LakeFile, ...]:
        """The files of events, or those of one kind of sums."""
        return tuple(one for one in self.files if one.kind == kind)

    def changed(
        self,
        *,
        less: "frozenset[str] | set[str]" = frozenset(),
        more: tuple[LakeFile, ...] = (),
        marks: Mapping[str, int | str] | None = None,
        unmarked: "frozenset[str] | set[str]" = frozenset(),
        told: tuple[Withdrawn, ...] = (),
    ) -> "Manifest":
        """The same without some paths and marks and with some files and marks more, in the order of their paths."""
        files = {one.path: one for one in self.files if one.path not in less} | {one.path: one for one in more}
        kept = {name: mark for name, mark in self.marks.items() if name not in unmarked}
        return Manifest(
            marks={**kept, **(marks or {})},
            files=tuple(files[path] for path in sorted(files)),
            history=(*self.history, *told)[-LAKE_HISTORY_MAX:],
            folded=self.folded,
        )


class Disk:
    """What a lake asks of the disk where order counts; tests put one in its place that fails at any step."""

    def sync(self, path: Path) -> None:
        """The file's bytes are on stable storage."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, path: Path, becomes: Path) -> None:
        """The file has its name, which was another's until then."""
        path.replace(becomes)

    def remove(self, path: Path) -> None:
        """The file is gone."""
        path.unlink(missing_ok=True)


def read_manifest(directory: Path) -> Manifest:
    """What the lake holds; an empty one if there is none yet. Raises LakeError for a manifest that cannot be believed."""
    return manifest_and_digest(directory)[0]


def manifest_and_digest(directory: Path) -> tuple[Manifest, str]:
    """What the lake holds, and the digest that says it is the same; empty if there is none yet. Raises LakeError."""
    path = directory / NAME
    mending = "put it back from your backup, or move the lake aside and run `tokenroll usage seal`"
    manifest, digest = whole_and_digest(path, Manifest, mending)
    if manifest is None:
        return Manifest(), digest
    if manifest.version != VERSION:
        raise LakeError(f"{path} is of version {manifest.version}, this release reads {VERSION}: use a newer release")
    return manifest, digest


def write_manifest(directory: Path, manifest: Manifest, disk: Disk) -> None:
    """The manifest replaced: all of it or nothing, whenever the process or its machine dies."""
    write_whole(directory / NAME, manifest, disk)


def whole_and_digest(path: Path, kind: type[_Whole], mending: str) -> tuple[_Whole | None, str]:
    """What a file says that `write_whole` wrote, and its digest; None and an empty one if there is none.

    Both are of one reading, since the file may be replaced meanwhile. Raises LakeError, with what mends it, for one that is not whole.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, ""
    digest, _, body = data.partition(b"\n")
    damaged = f"{path} is damaged: {mending}"
    if digest != hashlib.sha256(body).hexdigest().encode():
        raise LakeError(damaged)
    try:
        return msgspec.json.decode(body, type=kind), digest.decode("ascii")
    except msgspec.DecodeError as error:
        raise LakeError(damaged) from error


def write_whole(path: Path, says: msgspec.Struct, disk: Disk) -> None:
    """A small file replaced behind its own digest: all of it or nothing, whenever the process or its machine dies."""
    body = msgspec.json.format(msgspec.json.encode(says), indent=1)
    half = path.with_name(f"{path.name}.new")
    half.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    disk.sync(half)
    disk.rename(half, path)
    disk.sync(path.parent)


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
