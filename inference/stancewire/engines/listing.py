"""Find files that may hold documents in a bucket or another file system that pyarrow reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from stancewire.documents import (
    ERRORS_SUFFIX,
    META_SUFFIX,
    OWN_OUTPUT,
    STANDARD_INPUT,
    Search,
    Skipped,
    Source,
    counted_suffix,
    kind_of,
    printable_name,
)
from stancewire.errors import StancewireError

REMOTE: Final = "://"
"""What stands in the address of another file system, such as s3://bucket/articles."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to read: the name its document has, the address it was found under, and its path there."""

    name: str
    root: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, in order, and how many other files lay there, by suffix."""

    entries: tuple[RemoteFile | Skipped, ...]
    ignored: dict[str, int]


def open_system(address: str) -> tuple[Any, str]:
    """Open the pyarrow file system of an address, and say where in it that is.

    An empty address is this machine's. Raises StancewireError for an address that pyarrow does not know.
    """
    import pyarrow as pa
    from pyarrow import fs

    if not address:
        return fs.LocalFileSystem(), ""
    try:
        system, path = fs.FileSystem.from_uri(address)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StancewireError(f"{address} cannot be opened: {error}") from None
    return system, path.rstrip("/")


def list_files(paths: Sequence[str], without: str) -> Listing:
    """Find what `stancewire.documents.Search` would find, in the same order and under the same names.

    `without` is the output. Raises StancewireError for what is not there, for standard input, and where some
    paths are on this machine and others are not.
    """
    remote = [REMOTE in path for path in paths]
    if not any(remote):
        return _list_local([Path(path) for path in paths], Path(without) if REMOTE not in without else None)
    if not all(remote):
        raise StancewireError("the paths should all be on this machine, or all addresses like s3://...")
    entries: list[RemoteFile | Skipped] = []
    ignored: Counter[str] = Counter()
    for address in paths:
        entries += _list_remote(address, len(paths) > 1, without, ignored)
    return Listing(tuple(entries), dict(sorted(ignored.items())))


def _list_local(paths: Sequence[Path], without: Path | None) -> Listing:
    if STANDARD_INPUT in paths:
        raise StancewireError("standard input is read by one process: leave --engine ray out")
    search = Search(paths, without=without)
    entries = [
        RemoteFile(entry.id, "", str(entry.path.absolute()), entry.size)
        if isinstance(entry, Source)
        else entry
        for entry in search
    ]
    return Listing(tuple(entries), dict(search.ignored))


def _list_remote(address: str, is_prefixed: bool, without: str, ignored: Counter[str]) -> list[RemoteFile]:
    from pyarrow import fs

    system, root = open_system(address)
    try:
        info = system.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            raise StancewireError(f"there is no file or folder {address}")
        if info.type == fs.FileType.File:
            name = address.partition("?")[0] if is_prefixed else info.base_name
            return [RemoteFile(printable_name(name), address, info.path, info.size)]
        found = system.get_file_info(fs.FileSelector(root, recursive=True))
    except OSError as error:
        raise StancewireError(f"{address} cannot be read: {error}") from None
    output = open_system(without)[1] if REMOTE in without else None
    files = {info.path: info.size for info in found if info.type == fs.FileType.File}
    listed = []
    for path, size in sorted(files.items(), key=lambda entry: PurePosixPath(entry[0]).parts):
        inside = PurePosixPath(path).relative_to(root)
        if any(part.startswith(".") for part in inside.parts):
            continue
        if kind_of(inside) is None:
            ignored[printable_name(counted_suffix(inside))] += 1
        elif _is_output(path, output, files):
            ignored[OWN_OUTPUT] += 1
        else:
            name = f"{address.partition('?')[0].rstrip('/')}/{inside}" if is_prefixed else str(inside)
            listed.append(RemoteFile(printable_name(name), address, path, size))
    return listed


def _is_output(path: str, output: str | None, files: dict[str, int]) -> bool:
    if output is not None and (path == output or path.startswith(f"{output}/")):
        return True
    return f"{path}{META_SUFFIX}" in files or path.endswith(ERRORS_SUFFIX)
