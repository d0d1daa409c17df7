"""Find the files of folders that may hold documents, and decode a document.

A file is named by its path: relative to the folder given where there is one, as given where there are
several paths, always with forward slashes. Offsets anywhere in an output count the characters of
`Document.text`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any, Final, Literal

from stancewire.decoding import NotTextError, decode
from stancewire.errors import StancewireError, install_hint

Kind = Literal["text", "html", "jsonl", "csv", "parquet", "gzip", "zip"]
"""What a file holds: one document, a table of documents, or other files."""

KINDS: Final[Mapping[str, Kind]] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    "": "text",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".gz": "gzip",
    ".zip": "zip",
}
"""By suffix, in any case, the files taken from a folder; a file that is named itself may have any other."""

STANDARD_INPUT: Final = Path("-")
"""The path that stands for it."""

OWN_OUTPUT: Final = "stancewire output"
"""What is counted for a file that `stancewire score` wrote, instead of its suffix."""

META_SUFFIX: Final = ".meta.json"
"""What is added to the name of an output for that of the file which says what made it."""

ERRORS_SUFFIX: Final = ".errors.jsonl"
"""What is added to the name of an output for that of the file which lists what was skipped."""

MAX_BYTES: Final = 20_000_000
"""The largest document that is read: a book has a million bytes, more than twenty is a corpus in one file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, the name its document has in outputs, and how many bytes it had when it was found."""

    id: str
    path: Path
    size: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that could not be scored, and why: the reason completes "DOCUMENT ..."."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """The files to read, in order; what could not be looked at; how many other files lay there, by suffix."""

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    ignored: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A text as decoded; line breaks are those of the file.

    `encoding` is what the file was read as (a Python codec, or `utf-8+cp1252` for UTF-8 with stray bytes);
    `repaired` says whether mojibake was mended afterwards; `fingerprint` is a hash of what was read: the same
    fingerprint, the same document. `date` is its date, `columns` are the other values that came with it.
    """

    id: str
    text: str
    encoding: str
    repaired: bool
    fingerprint: str = ""
    date: date | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


class DocumentError(StancewireError):
    """One document cannot be read; `reason` completes "DOCUMENT ..."."""

    def __init__(self, document: str, reason: str) -> None:
        super().__init__(f"{document} {reason}")
        self.document = document
        self.reason = reason


def find_documents(paths: Sequence[Path]) -> Found:
    """Find the documents of files and folders, subfolders included: each file once, in a fixed order.

    Hidden files and folders are passed over. Links are followed; a folder that was already seen is not
    entered again. A folder that cannot be listed is among `skipped`. Raises StancewireError for a path that
    is not there.
    """
    search = Search(paths)
    found = list(search)
    return Found(
        tuple(entry for entry in found if isinstance(entry, Source)),
        tuple(entry for entry in found if isinstance(entry, Skipped)),
        search.ignored,
    )


class Search:
    """What `find_documents` finds, one after the other: memory does not grow with the number of files.

    It can be gone through any number of times. `without` is a file or folder that is passed over in
    folders, such as the output. Raises StancewireError, when made, for a path that is not there.
    """

    def __init__(self, paths: Sequence[Path], without: Path | None = None) -> None:
        for path in paths:
            if path != STANDARD_INPUT and not os.path.lexists(path):
                raise StancewireError(f"there is no file or folder {_printable(path)}")
        self.paths = tuple(paths)
        self._without = None if without is None else os.path.abspath(without)
        self._ignored: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Source | Skipped]:
        self._ignored = Counter()
        seen: set[str] | None = set() if _overlap(self.paths) else None
        for path in self.paths:
            prefix = path if len(self.paths) > 1 else None
            found: Iterator[Source | Skipped]
            if path == STANDARD_INPUT:
                found = iter([Source("stdin", path)])
            elif os.path.isdir(path):
                found = _Walk(path, prefix, self._ignored, self._without).entries()
            else:
                found = iter([Source(_printable(prefix or Path(path.name)), path, _size(path))])
            for entry in found:
                if seen is not None and isinstance(entry, Source):
                    place = os.path.abspath(entry.path)
                    if place in seen:
                        continue
                    seen.add(place)
                yield entry

    @property
    def ignored(self) -> Mapping[str, int]:
        """How many files of other kinds were passed in the last going through, by suffix."""
        return dict(sorted(self._ignored.items()))


def kind_of(name: PurePath) -> Kind | None:
    """Tell by its suffix what a file holds, or None for what is not looked at.

    What is compressed is looked at if what it holds is. HTML is only where `trafilatura` is installed.
    """
    kind = KINDS.get(name.suffix.lower())
    if kind == "gzip" and (inner := name.with_suffix("")).suffix:
        return "gzip" if kind_of(inner) not in (None, "gzip") else None
    return None if kind == "html" and not reads_html() else kind


def counted_suffix(name: PurePath) -> str:
    """Say under which suffix a file that is not looked at is counted."""
    suffix = "".join(name.suffixes[-2:] if name.suffix.lower() == ".gz" else name.suffixes[-1:]).lower()
    needs = KINDS.get(suffix) == "html" or KINDS.get(suffix.removesuffix(".gz")) == "html"
    return f"{suffix} ({install_hint('html')})" if needs and not reads_html() else suffix


@cache
def reads_html() -> bool:
    """Whether the extra `html` is installed."""
    return find_spec("trafilatura") is not None


def fingerprint(raw: bytes) -> str:
    """Hash the bytes of a document (BLAKE2b, 8 bytes, in hexadecimal), to tell whether it has changed."""
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def decode_document(name: str, raw: bytes) -> Document:
    """Decode one document; raises DocumentError, with the reason, if it is binary or holds nothing."""
    try:
        decoded = decode(raw)
    except NotTextError as error:
        raise DocumentError(name, str(error)) from None
    if not decoded.text.strip():
        raise DocumentError(name, "holds nothing but white space")
    return Document(name, decoded.text, decoded.encoding, decoded.repaired, fingerprint(raw))


def printable_name(name: str) -> str:
    """Write a file's name so that any output can hold it: what is not UTF-8 in it becomes an escape."""
    # Such a name reaches Python with lone surrogates.
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Walk:
    """One walk through a folder; each folder's files and subfolders together, in the order of their names."""

    def __init__(self, root: Path, prefix: Path | None, ignored: Counter[str], without: str | None) -> None:
        self._root = root
        self._prefix = prefix or Path()
        self._ignored = ignored
        self._without = without
        self._seen: set[tuple[int, int]] = set()

    def entries(self) -> Iterator[Source | Skipped]:
        # Not by recursion: folders may lie deeper than Python calls.
        pending: list[Iterator[os.DirEntry[str]]] = []
        folder: Path | None = self._root
        while folder is not None or pending:
            if folder is not None:
                try:
                    pending.append(self._list(folder))
                except OSError as error:
                    yield self._skip(folder, error)
                folder = None
                continue
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
            elif not entry.name.startswith("."):
                try:
                    if entry.is_dir() and os.path.abspath(entry.path) == self._without:
                        self._ignored[OWN_OUTPUT] += 1
                    elif entry.is_dir():
                        folder = Path(entry.path)
                    elif source := self._source(entry):
                        yield source
                except OSError as error:
                    yield self._skip(Path(entry.path), error)

    def _list(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        status = folder.stat()
        identity = status.st_dev, status.st_ino
        if identity in self._seen:
            return iter(())
        self._seen.add(identity)
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))

    def _source(self, entry: os.DirEntry[str]) -> Source | None:
        path = Path(entry.path)
        if kind_of(path) is None:
            self._ignored[printable_name(counted_suffix(path))] += 1
            return None
        if os.path.abspath(path) == self._without or _is_output(path):
            self._ignored[OWN_OUTPUT] += 1
            return None
        status = entry.stat()
        return Source(self._id(path), path, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def _skip(self, path: Path, error: OSError) -> Skipped:
        return Skipped(self._id(path), f"cannot be read: {error.strerror}")

    def _id(self, path: Path) -> str:
        return _printable(self._prefix / path.relative_to(self._root))


def _overlap(paths: Sequence[Path]) -> bool:
    # Whether one file could be reached by two of the paths.
    parts = sorted(Path(os.path.abspath(path)).parts for path in paths)
    return any(later[: len(earlier)] == earlier for earlier, later in pairwise(parts))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_output(path: Path) -> bool:
    # Of Parquet only its metadata tells; who reads it sees.
    if path.name.lower().endswith(ERRORS_SUFFIX):
        return path.with_name(path.name[: -len(ERRORS_SUFFIX)]).exists()
    return path.with_name(path.name + META_SUFFIX).exists()


def _printable(path: Path) -> str:
    return printable_name(path.as_posix())
