"""Fuzz the readers of documents: any bytes as each kind of file, as they come or in a sound archive."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from pathlib import Path

from harness import main

SUFFIXES = (".txt", ".html", ".jsonl", ".csv", ".parquet", ".gz", ".zip")
PLACE = Path(tempfile.mkdtemp(prefix="stancewire-fuzz-"))


def one_input(data: bytes) -> None:
    """Every document is read, or skipped with a reason; the first byte says as what the rest is taken."""
    from stancewire.documents import DocumentError, Skipped, find_documents
    from stancewire.inputs import Inputs
    from stancewire.reading import read_document
    from stancewire.rows import RowOptions

    first, content = (data[0] if data else 0), data[1:]
    wrapping, kind = divmod(first, len(SUFFIXES))
    name = f"a{SUFFIXES[kind]}"
    if wrapping == 1:
        name, content = f"{name}.gz", gzip.compress(content, mtime=0)
    elif wrapping == 2:
        name, content = "a.zip", zipped(name, content)
    for old in PLACE.iterdir():
        old.unlink()
    (PLACE / name).write_bytes(content)
    for entry in Inputs(find_documents([PLACE]).sources, RowOptions(max_bytes=100_000)):
        if isinstance(entry, Skipped):
            assert entry.reason
            continue
        try:
            assert isinstance(read_document(entry).text, str)
        except DocumentError as error:
            assert error.reason


def zipped(name: str, content: bytes) -> bytes:
    """Put a file into a sound archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


if __name__ == "__main__":
    main(
        one_input,
        [
            "stancewire.decoding",
            "stancewire.documents",
            "stancewire.inputs",
            "stancewire.reading",
            "stancewire.rows",
            "stancewire.webpages",
        ],
    )
