"""Write rows into Parquet a group at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP: Final = 16_384
"""Enough that columns are packed well, few enough for memory."""


class ParquetRows:
    """Rows on their way into a stream, which stays open."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(stream, schema)
        self._pending: list[Sequence[Any]] = []

    def write(self, row: Sequence[Any]) -> None:
        """Append a row, a value for each field of the schema."""
        self._pending.append(row)
        if len(self._pending) == ROWS_A_GROUP:
            self._flush()

    def finish(self, metadata: Mapping[str, str] | None = None) -> None:
        """Write what is still pending, and `metadata` of the file."""
        self._flush()
        if metadata:
            self._writer.add_key_value_metadata(metadata)
        self._writer.close()

    def abandon(self) -> None:
        """Close the writer, which would otherwise write to a stream that is closed when it is collected."""
        with suppress(OSError, ValueError):
            self._writer.close()
        self._writer.is_open = False

    def _flush(self) -> None:
        import pyarrow as pa

        if self._pending:
            columns = zip(*self._pending, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)
            ]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._pending.clear()
