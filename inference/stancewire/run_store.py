"""What a run has scored so far, kept so that a run that was killed can go on.

It is a SQLite file beside the output: a commit a group, in a write-ahead log, so that a process may be killed
at any moment and loses at most the group under way. A power cut may take the groups since the last
checkpoint, never the file (https://sqlite.org/pragma.html#pragma_synchronous, WAL with NORMAL). The file is
locked while a run is at it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from stancewire.columns import ColumnKind, merge_kinds
from stancewire.errors import StancewireError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reading (
    key INTEGER PRIMARY KEY, name TEXT NOT NULL, fingerprint TEXT, skipped INTEGER NOT NULL,
    earlier INTEGER NOT NULL, kinds TEXT, line BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS reading_by_name ON reading (name, fingerprint);
CREATE TABLE IF NOT EXISTS place (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, key INTEGER);
CREATE TABLE IF NOT EXISTS repeated (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""
_TABLES = ("run", "reading", "place", "repeated")
_BEGUN = "begun"
_PLACED = "FROM place JOIN reading USING (key)"
_GONE = "FROM reading WHERE earlier AND NOT EXISTS (SELECT 1 FROM place WHERE place.name = reading.name)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands in the output, under which name, and whether it was read already."""

    position: int
    name: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it was read: a line of JSON, of its sentences or of why it was skipped.

    `kinds` are those of the columns that it came with.
    """

    line: str
    is_skipped: bool = False
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)


class RunStore:
    """The documents of a run under way; a context manager that keeps what was committed.

    Raises StancewireError, when entered, if another process has it open, if it cannot be opened, or if it is
    damaged and not `anew`.
    """

    def __init__(self, path: Path, out: Path, *, anew: bool = False) -> None:
        self._path = path
        self._out = out
        self._anew = anew
        self._lock = threading.RLock()
        self._next = 0

    def __enter__(self) -> Self:
        with self._naming_faults():
            # For the reason of a refusal, of which SQLite says little.
            self._path.open("ab").close()
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not self._anew or not _is_damage(error):
                    raise
                self._unlink()
                self._connection = self._open()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    @property
    def begun(self) -> dict[str, Any] | None:
        """What the run was begun with, or None if it was not."""
        with self._naming_faults():
            row = self._connection.execute("SELECT value FROM run WHERE name = ?", [_BEGUN]).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    @property
    def is_empty(self) -> bool:
        """Whether no document was read yet."""
        with self._naming_faults():
            return self._connection.execute("SELECT 1 FROM reading LIMIT 1").fetchone() is None

    def clear(self) -> None:
        """Forget everything."""
        with self._naming_faults():
            # Not their rows: the tables of another version may be others.
            drops = "".join(f"DROP TABLE IF EXISTS {table};" for table in _TABLES)
            self._connection.executescript(drops + _SCHEMA)

    def begin(self, values: Mapping[str, Any]) -> None:
        """Remember what the run is begun with."""
        with self._naming_faults():
            self._begin()
            self._connection.execute("REPLACE INTO run VALUES (?, ?)", [_BEGUN, json.dumps(values)])
            self.commit()

    def start_over(self) -> None:
        """Forget the order of the documents, not what was read of them: the inputs are gone through anew."""
        with self._naming_faults():
            self._begin()
            self._connection.execute("DELETE FROM place")
            self._connection.execute("DELETE FROM repeated")
            self.commit()
        self._next = 0

    def fingerprint_of(self, name: str) -> str | None:
        """Give the fingerprint of a document of that name which was read, or None."""
        with self._lock, self._naming_faults():
            found = self._one("SELECT fingerprint FROM reading WHERE name = ? ORDER BY key DESC", name)
        return found[0] if found else None

    def admit(self, name: str, fingerprint: str | None) -> Place:
        """Give the next document its place, and a name that no other has; `fingerprint` says if it is known.

        A document without a fingerprint, which could not be read, is never known.
        """
        with self._lock, self._naming_faults():
            self._begin()
            unique = self._name_apart(name)
            found = self._one(
                "SELECT key FROM reading WHERE name = ? AND fingerprint = ?", unique, fingerprint
            )
            key = found[0] if found else None
            place = Place(self._next, unique, key is not None)
            self._connection.execute("INSERT INTO place VALUES (?, ?, ?)", [self._next, unique, key])
            self._next += 1
            return place

    def put(self, place: Place, fingerprint: str | None, stored: Stored) -> None:
        """Keep a document that was read."""
        with self._lock, self._naming_faults():
            key = self._insert(place.name, fingerprint, stored, earlier=False)
            self._connection.execute("UPDATE place SET key = ? WHERE position = ?", [key, place.position])

    def put_earlier(self, name: str, fingerprint: str, stored: Stored) -> None:
        """Keep a document of the output that the run replaces."""
        with self._lock, self._naming_faults():
            self._insert(name, fingerprint, stored, earlier=True)

    def commit(self) -> None:
        """Make what was put so far outlast the process."""
        with self._lock, self._naming_faults():
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def __iter__(self) -> Iterator[Stored]:
        """Give the documents of the output in order.

        First come those of an earlier output that the inputs no longer have, then those of the inputs.
        """
        for query in (f"{_GONE} ORDER BY key", f"{_PLACED} ORDER BY position"):
            with self._naming_faults():
                for line, skipped in self._connection.execute(f"SELECT line, skipped {query}"):
                    yield Stored(zlib.decompress(line).decode(), bool(skipped))

    def count(self) -> int:
        """How many documents the iteration gives."""
        with self._naming_faults():
            counts = [self._one(f"SELECT count(*) {query}") for query in (_PLACED, _GONE)]
        return sum(row[0] for row in counts if row)

    def kinds(self) -> dict[str, ColumnKind]:
        """Of which kind the columns are that the documents of the output came with, by name."""
        query = f"SELECT kinds {_PLACED} UNION SELECT kinds {_GONE}"
        with self._naming_faults():
            rows = self._connection.execute(query).fetchall()
        return merge_kinds(json.loads(kinds) for (kinds,) in rows if kinds is not None)

    def remove(self) -> None:
        """Delete the file: the output is written."""
        with suppress(sqlite3.Error):
            self._connection.rollback()
            # Else closing would write to a log of that name, which may by then be another run's.
            self._connection.execute("PRAGMA journal_mode = DELETE")
        # Unlinked while it is locked, so that no other run begins in it; Windows wants it closed first.
        with suppress(OSError):
            self._path.unlink()
            return
        self._connection.close()
        self._unlink()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            # Exclusive first: the log then needs no shared memory, which network drives do not have.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _insert(self, name: str, fingerprint: str | None, stored: Stored, *, earlier: bool) -> int | None:
        self._begin()
        packed = zlib.compress(stored.line.encode(), 1)
        kinds = json.dumps(stored.kinds, sort_keys=True) if stored.kinds else None
        row = [name, fingerprint, stored.is_skipped, earlier, kinds, packed]
        return self._connection.execute("INSERT INTO reading VALUES (NULL, ?, ?, ?, ?, ?, ?)", row).lastrowid

    def _name_apart(self, name: str) -> str:
        unique = name
        if self._is_taken(name):
            found = self._one("SELECT number FROM repeated WHERE name = ?", name)
            number = found[0] if found else 1
            while self._is_taken(unique):
                number += 1
                unique = f"{name}#{number}"
            self._connection.execute("REPLACE INTO repeated VALUES (?, ?)", [name, number])
        return unique

    def _is_taken(self, name: str) -> bool:
        return self._one("SELECT 1 FROM place WHERE name = ?", name) is not None

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")

    def _one(self, query: str, *values: str | None) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _unlink(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StancewireError(f"{self._out} cannot be written: {error.strerror or error}") from None
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") in ("SQLITE_BUSY", "SQLITE_LOCKED"):
                raise StancewireError(
                    f"another run is writing {self._out}: wait for it, or give this one another output"
                ) from None
            if _is_damage(error):
                raise StancewireError(
                    f"{self._path}, which holds what is done of {self._out}, is damaged ({error}): "
                    "--overwrite starts anew"
                ) from None
            raise StancewireError(
                f"{self._out} cannot be written: {error}; what is done is kept, and the same command goes on"
            ) from None


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
