"""Find the text files of folders and read them.

A document is named by its path: relative to the folder given where there is one, as given where there are
several paths, always with forward slashes. Offsets anywhere in an output count the characters of
`Document.text`.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stancewire.decoding import NotTextError, decode
from stancewire.errors import StancewireError

SUFFIXES: Final = (".txt", ".text", ".md", "")
"""The suffixes of the files taken from a folder, in any case; a file that is named itself may have any."""

MAX_BYTES: Final = 20_000_000
"""The largest document that is read: a book has a million bytes, more than twenty is a corpus in one file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, and the name its document has in outputs."""

    id: str
    path: Path


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
    `repaired` says whether mojibake was mended afterwards.
    """

    id: str
    text: str
    encoding: str
    repaired: bool


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
    sources: dict[str, Source] = {}
    skipped: list[Skipped] = []
    ignored: Counter[str] = Counter()
    for path in paths:
        prefix = path if len(paths) > 1 else None
        if os.path.isdir(path):
            walk = _Walk(path, prefix)
            found = sorted(walk.files(), key=lambda source: source.path.relative_to(path).parts)
            skipped += walk.skipped
            ignored += walk.ignored
        elif os.path.lexists(path):
            found = [Source(_printable(prefix or Path(path.name)), path)]
        else:
            raise StancewireError(f"there is no file or folder {_printable(path)}")
        for source in found:
            sources.setdefault(os.path.abspath(source.path), source)
    return Found(tuple(sources.values()), tuple(skipped), dict(sorted(ignored.items())))


def read_document(source: Source, max_bytes: int = MAX_BYTES) -> Document:
    """Read and decode one file.

    Raises DocumentError, with the reason, if it cannot be opened, is empty, binary or larger than
    `max_bytes`.
    """
    try:
        with source.path.open("rb") as stream:
            raw = stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DocumentError(source.id, f"cannot be read: {reason}") from None
    if len(raw) > max_bytes:
        raise DocumentError(
            source.id, f"is larger than the {max_bytes / 1e6:g} MB that one document may have"
        )
    if not raw:
        raise DocumentError(source.id, "is empty")
    try:
        decoded = decode(raw)
    except NotTextError as error:
        raise DocumentError(source.id, str(error)) from None
    if not decoded.text.strip():
        raise DocumentError(source.id, "holds nothing but white space")
    return Document(source.id, decoded.text, decoded.encoding, decoded.repaired)


class _Walk:
    """One walk through a folder; `skipped` and `ignored` are complete once `files` has ended."""

    def __init__(self, root: Path, prefix: Path | None) -> None:
        self.skipped: list[Skipped] = []
        self.ignored: Counter[str] = Counter()
        self._root = root
        self._prefix = prefix or Path()
        self._seen = {_identity(root)}

    def files(self) -> Iterator[Source]:
        for folder, subfolders, names in os.walk(self._root, onerror=self._note, followlinks=True):
            here = Path(folder)
            subfolders[:] = sorted(
                name for name in subfolders if not name.startswith(".") and self._is_new(here / name)
            )
            for name in names:
                path = here / name
                if not name.startswith(".") and self._is_wanted(path):
                    yield Source(self._id(path), path)

    def _is_new(self, folder: Path) -> bool:
        try:
            identity = _identity(folder)
        except OSError as error:
            self._note(error)
            return False
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _is_wanted(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            self.ignored[_printable(Path(suffix))] += 1
            return False
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            self._note(error)
            return False

    def _note(self, error: OSError) -> None:
        self.skipped.append(Skipped(self._id(Path(error.filename)), f"cannot be read: {error.strerror}"))

    def _id(self, path: Path) -> str:
        return _printable(self._prefix / path.relative_to(self._root))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _printable(path: Path) -> str:
    # A name that is not UTF-8 reaches Python with lone surrogates, which no output file can hold.
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
