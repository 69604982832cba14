"""What is in a landed object: one JSON record a line, or Parquet; the same values in both, as the exchange sent them.

    {"trade_id":"123456","product_id":"BTC-USD","price":"43210.50","size":"0.01","time":"2025-12-15T10:30:45.123456Z",
     "side":"BUY","_source":"coinbase","_source_ingest_ts":"2025-12-15T10:30:50.000000Z","_raw_payload":"{...}"}

Ids, prices, sizes and times stay text, so nothing is rounded. Measured on a simulated Coinbase tape, bytes a trade and
microseconds to write it: JSONL 356 and 1.1, gzip 29 and 2.3, zstd 23 and 1.5, Parquet 20 and 1.1; without payload
JSONL 209 and 0.8, gzip 17 and 1.5, zstd 13 and 1.1, Parquet 8 and 0.7.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal

from schemahub_lib.http.messages import Rejected, Value
from schemahub_lib.landing.store import Sink
from schemahub_lib.schemas import RAW_PAYLOAD

Format = Literal["jsonl", "parquet"]
Compression = Literal["none", "gzip", "zstd"]

GZIP_LEVEL = 3  # 6 takes three times as long for a seventh less


@dataclass(frozen=True)
class Layout:
    """A source's record: column of the raw table -> the exchange's own name of it, in the record's order, without the
    columns that SchemaHub adds. `flags` are the columns that hold booleans."""

    source: str
    names: Mapping[str, str]
    flags: frozenset[str] = frozenset()


@dataclass
class Batch:
    """Records read: columns by the raw table's names, with `_raw_payload`; when each was fetched; lines that are no
    records. What a file leaves out is None, or the time of reading."""

    columns: dict[str, list[Value]]
    fetched_at: list[datetime] = field(default_factory=list)
    bad: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.fetched_at)


def suffix(format: Format, compress: Compression) -> str:
    """What an object's key ends with. Parquet is compressed inside."""
    return ".parquet" if format == "parquet" else ".jsonl" + {"none": "", "gzip": ".gz", "zstd": ".zst"}[compress]


def open_writer(
    sink: Sink, layout: Layout, format: Format, compress: Compression, keep_payload: bool = True
) -> RecordWriter:
    """A writer of records into `sink`. Parquet has zstd inside, unless it is to have gzip."""
    from schemahub_lib.landing.lines import LineWriter
    from schemahub_lib.landing.parquet import ParquetWriter

    kind = ParquetWriter if format == "parquet" else LineWriter
    return kind(sink, layout, compress, keep_payload)


class RecordWriter(ABC):
    """Pages into a sink. `rows` counts trades."""

    def __init__(self, sink: Sink, layout: Layout, keep_payload: bool) -> None:
        self.rows = 0
        self._sink, self._layout, self._keep_payload = sink, layout, keep_payload

    @property
    def size(self) -> int:
        """Bytes of the object so far, compressed; the last two million or so may still be missing."""
        return self._sink.size

    def add(self, columns: Mapping[str, Sequence[Value]], fetched_at: datetime) -> None:
        """Append a page: its columns by the raw table's names, with `_raw_payload`. Raises StoreError."""
        parts = {name: columns[column] for column, name in self._layout.names.items()}
        if self._keep_payload:
            parts[RAW_PAYLOAD.name] = columns[RAW_PAYLOAD.name]
        rows = len(columns[RAW_PAYLOAD.name])
        if rows:
            self._add(parts, rows, fetched_at.astimezone(UTC))
            self.rows += rows

    def close(self) -> None:
        """End the format; the sink stays open. Raises StoreError."""
        if self._sink.ended:
            raise ValueError("the sink ended before what is in it")
        self._close()

    @abstractmethod
    def _add(self, parts: dict[str, Sequence[Value]], rows: int, fetched_at: datetime) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class Forward:
    """A sink as the file that pyarrow writes to. Closing it leaves the sink open; what pyarrow's writers still write
    when they are thrown away after an abort goes nowhere."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Any) -> int:
        if not self._sink.ended:
            self._sink.write(bytes(data))
        return len(data)

    def tell(self) -> int:
        return self._sink.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Whoever opened the sink ends it."""


def read_records(file: BinaryIO, suffix: str, layout: Layout, batch: int = 50_000) -> Iterator[Batch]:
    """The records of an object, in batches of at most `batch`; `file` must be seekable.

    Other tools' files are read too: keys unknown to `layout` are ignored, and numbers come as their text. Raises
    ValueError, with what is wrong, for an object that is cut off, damaged or something else.
    """
    from schemahub_lib.landing.lines import read_lines
    from schemahub_lib.landing.parquet import read_parquet

    if suffix == ".parquet":
        return read_parquet(file, layout, batch)
    return read_lines(file, suffix, layout, batch)


@contextmanager
def damage_told(suffix: str) -> Iterator[None]:
    """Raise what decoders raise as ValueError; what the store raises passes."""
    try:
        yield
    except (EOFError, zlib.error, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"it is no whole {suffix} file ({error})") from error


def empty(layout: Layout) -> Batch:
    """A batch to be filled."""
    return Batch({column: [] for column in (*layout.names, RAW_PAYLOAD.name)})
