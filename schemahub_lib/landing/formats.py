"""Landed objects' insides: one JSON record a line, or Parquet; the same values in both, as the exchange sent them.

    {"trade_id":"123456","product_id":"BTC-USD","price":"43210.50","size":"0.01","time":"2025-12-15T10:30:45.123456Z",
     "side":"BUY","_source":"coinbase","_source_ingest_ts":"2025-12-15T10:30:50.000000Z","_raw_payload":"{...}"}

Prices, sizes and times stay text, so that nothing is rounded. Measured, bytes (mean of the exchanges) and microseconds
of CPU for writing a trade: JSONL 374 and 1.0, gzip 36 and 2.0, zstd 27 and 1.4; Parquet 25 and 0.9, without payload 10
and 0.8.
"""

from __future__ import annotations

import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from schemahub_lib.http.messages import Rejected, Value
from schemahub_lib.landing.store import Sink
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["jsonl", "parquet"]
Compression = Literal["none", "gzip", "zstd"]

GROUP_ROWS = 100_000  # of Parquet's row groups
GZIP_LEVEL = 1  # higher ones save a tenth and take several times as long
# Few different values: Parquet's dictionaries are for these. Ids and times have long beginnings in common.
_REPEATED = ("price", "side", "pair", "symbol", "product_id", "order_type", "misc", SOURCE.name, INGEST_TS.name)


@dataclass(frozen=True)
class Layout:
    """A source's record: the raw table's columns in the record's order, each with the exchange's own name for it,
    without those that SchemaHub adds. `flags` are the columns that hold booleans."""

    source: str
    names: Mapping[str, str]
    flags: frozenset[str] = frozenset()


@dataclass
class Batch:
    """Records read: columns by the raw table's names, `_raw_payload` among them; when each trade was fetched; and the
    lines that are no records."""

    columns: dict[str, list[Value]]
    fetched_at: list[datetime] = field(default_factory=list)
    bad: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.fetched_at)


def suffix(format: Format, compress: Compression) -> str:
    """What an object's key ends with. Parquet is compressed inside."""
    return ".parquet" if format == "parquet" else ".jsonl" + {"none": "", "gzip": ".gz", "zstd": ".zst"}[compress]


class RecordWriter(ABC):
    """Writes pages into a sink. `rows` so far; `size` in bytes, as far as they have left the compressor."""

    def __init__(self, sink: Sink, layout: Layout, keep_payload: bool) -> None:
        self.rows = 0
        self._sink, self._layout, self._keep_payload = sink, layout, keep_payload

    @property
    def size(self) -> int:
        return self._sink.size

    @abstractmethod
    def add(self, columns: Mapping[str, Sequence[Value]], fetched_at: datetime) -> None:
        """Append a page's trades. Raises StoreError."""

    @abstractmethod
    def close(self) -> None:
        """End the format; the sink stays open. Raises StoreError."""


def open_writer(
    sink: Sink, layout: Layout, format: Format, compress: Compression, keep_payload: bool = True
) -> RecordWriter:
    """A writer of records into `sink`. Parquet takes zstd unless told gzip."""
    if format == "parquet":
        return _ParquetWriter(sink, layout, keep_payload, "gzip" if compress == "gzip" else "zstd")
    return _JsonWriter(sink, layout, keep_payload, compress)


class _JsonWriter(RecordWriter):
    def __init__(self, sink: Sink, layout: Layout, keep_payload: bool, compress: Compression) -> None:
        super().__init__(sink, layout, keep_payload)
        self._gzip = zlib.compressobj(GZIP_LEVEL, wbits=31) if compress == "gzip" else None
        self._zstd: Any = None
        if compress == "zstd":
            import pyarrow as pa

            self._zstd = pa.CompressedOutputStream(pa.PythonFile(_Forward(sink), "w"), "zstd")

    def add(self, columns: Mapping[str, Sequence[Value]], fetched_at: datetime) -> None:
        from orjson import dumps

        rows = len(columns[RAW_PAYLOAD.name])
        fetched = f"{fetched_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        own = dumps({SOURCE.name: self._layout.source, INGEST_TS.name: fetched})[1:-1]
        # A column at a time: what stands before its values, which is the same in every line, and they.
        parts: list[Sequence[bytes]] = []
        before = b"{"
        for column, name in self._layout.names.items():
            quote, values = _as_json(columns[column])
            parts += [before + dumps(name) + b":" + quote] * rows, values
            before = quote + b","
        before += own
        if self._keep_payload:
            quote, values = _as_json(columns[RAW_PAYLOAD.name])
            parts += [before + b"," + dumps(RAW_PAYLOAD.name) + b":" + quote] * rows, values
            before = quote
        parts.append([before + b"}\n"] * rows)
        cells = [b""] * (rows * len(parts))
        for place, part in enumerate(parts):
            cells[place :: len(parts)] = part
        text = b"".join(cells)
        self.rows += rows
        if self._zstd is not None:
            self._zstd.write(text)
        else:
            self._sink.write(self._gzip.compress(text) if self._gzip else text)

    def close(self) -> None:
        if self._gzip is not None:
            self._sink.write(self._gzip.flush())
        if self._zstd is not None:
            self._zstd.close()


def _as_json(values: Sequence[Value]) -> tuple[bytes, Sequence[bytes]]:
    """Values as JSON, and the quote that has to stand around each."""
    from orjson import dumps

    if values and set(map(type, values)) == {str}:
        texts = dumps(values)
        # A quote inside a JSON string has a backslash before it; without that, these characters only part two strings.
        if b'\\","' not in texts:
            return b'"', texts[2:-2].split(b'","')
    return b"", [dumps(value) for value in values]


class _ParquetWriter(RecordWriter):
    def __init__(self, sink: Sink, layout: Layout, keep_payload: bool, codec: str) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        super().__init__(sink, layout, keep_payload)
        kinds = {name: pa.bool_() if column in layout.flags else pa.string() for column, name in layout.names.items()}
        kinds |= {SOURCE.name: pa.string(), INGEST_TS.name: pa.timestamp("us", "UTC")}
        if keep_payload:
            kinds[RAW_PAYLOAD.name] = pa.string()
        self._schema = pa.schema(list(kinds.items()))
        texts = [name for name, kind in kinds.items() if kind == pa.string() and name not in _REPEATED]
        self._writer = parquet.ParquetWriter(
            pa.PythonFile(_Forward(sink), "w"),
            self._schema,
            compression=codec,
            compression_level=1 if codec == "zstd" else GZIP_LEVEL,
            use_dictionary=[name for name in kinds if name in _REPEATED],
            column_encoding=dict.fromkeys(texts, "DELTA_BYTE_ARRAY"),
        )
        self._waiting: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[Value]], fetched_at: datetime) -> None:
        import pyarrow as pa

        rows = len(columns[RAW_PAYLOAD.name])
        parts: dict[str, Any] = {name: columns[column] for column, name in self._layout.names.items()}
        parts[SOURCE.name] = pa.repeat(pa.scalar(self._layout.source), rows)
        parts[INGEST_TS.name] = pa.repeat(pa.scalar(fetched_at, pa.timestamp("us", "UTC")), rows)
        if self._keep_payload:
            parts[RAW_PAYLOAD.name] = columns[RAW_PAYLOAD.name]
        self._waiting.append(pa.table(parts, schema=self._schema))
        self.rows += rows
        if sum(table.num_rows for table in self._waiting) >= GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._writer.close()


class _Forward:
    """A sink as a file that pyarrow writes to; closing it leaves the sink open."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Any) -> int:
        self._sink.write(bytes(data))
        return len(data)

    def tell(self) -> int:
        return self._sink.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The sink is closed by whoever opened it."""


def read_records(file: BinaryIO, suffix: str, layout: Layout, batch: int = 50_000) -> Iterator[Batch]:
    """The records of an object, at most `batch` at a time.

    Numbers where the layout has text are taken as their text. Raises ValueError when the object is cut off, damaged or
    of another format.
    """
    yield from _read_parquet(file, layout, batch) if suffix == ".parquet" else _read_lines(file, suffix, layout, batch)


def _read_lines(file: BinaryIO, suffix: str, layout: Layout, size: int) -> Iterator[Batch]:
    batch = _empty(layout)
    for line in _lines(file, suffix):
        try:
            _take(batch, _record(line), layout)
        except ValueError as error:
            if not line.endswith(b"\n"):
                raise ValueError("its last line is cut off") from error
            batch.bad.append(Rejected(str(error), line.decode("utf-8", "replace").rstrip("\n")))
        if len(batch) + len(batch.bad) >= size:
            yield batch
            batch = _empty(layout)
    yield batch


def _lines(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    import gzip
    import io

    import pyarrow as pa

    try:
        if suffix.endswith(".gz"):
            with gzip.open(file) as unpacked:
                yield from unpacked
        elif suffix.endswith(".zst"):
            stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
            yield from io.BufferedReader(stream, 1 << 20)
        else:
            yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
        raise ValueError(f"it is no whole {suffix.rpartition('.')[2]} file ({error})") from error
    except OSError as error:  # as pyarrow reports a damaged stream
        if error.errno is not None:
            raise
        raise ValueError(f"it is no whole {suffix.rpartition('.')[2]} file ({error})") from error


def _record(line: bytes) -> dict[str, Any]:
    import orjson

    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in record.values()):
        exact: dict[str, Any] = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        return exact
    return record


def _take(batch: Batch, record: Mapping[str, Any], layout: Layout) -> None:
    """Append a record. Raises ValueError, before anything is appended, when it is none of this source."""
    if record.get(SOURCE.name, layout.source) != layout.source:
        raise ValueError(f"_source is {record[SOURCE.name]!r:.60}, not {layout.source}")
    values = {column: record.get(name) for column, name in layout.names.items()}
    values[RAW_PAYLOAD.name] = record.get(RAW_PAYLOAD.name)
    for column, value in values.items():
        if value is not None and not isinstance(value, bool if column in layout.flags else str):
            raise ValueError(f"{layout.names.get(column, column)} is {value!r:.60}, which no exchange sends there")
    told = record.get(INGEST_TS.name)
    moment = _moment(told) if isinstance(told, str) else datetime.now(UTC)
    for column, value in values.items():
        batch.columns[column].append(value)
    batch.fetched_at.append(moment)


@lru_cache(maxsize=1024)
def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_parquet(file: BinaryIO, layout: Layout, size: int) -> Iterator[Batch]:
    import pyarrow as pa
    from pyarrow import parquet

    wanted = {name: column for column, name in layout.names.items()}
    wanted |= {own: own for own in (SOURCE.name, INGEST_TS.name, RAW_PAYLOAD.name)}
    try:
        opened = parquet.ParquetFile(pa.PythonFile(file, "r"))
        there = [name for name in wanted if name in opened.schema_arrow.names]
        for rows in opened.iter_batches(size, columns=there):
            yield _batch_of(rows, layout)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"it is no whole Parquet file ({error})") from error


def _batch_of(rows: pa.RecordBatch, layout: Layout) -> Batch:
    import pyarrow as pa

    def values(name: str, kind: pa.DataType) -> list[Any]:
        found = name in rows.schema.names
        listed: list[Any] = rows.column(name).cast(kind).to_pylist() if found else [None] * rows.num_rows
        return listed

    sources = values(SOURCE.name, pa.string())
    if other := next((told for told in sources if told not in (None, layout.source)), None):
        raise ValueError(f"its _source is {other!r:.60}, not {layout.source}")
    columns: dict[str, list[Value]] = {
        column: values(name, pa.bool_() if column in layout.flags else pa.string())
        for column, name in layout.names.items()
    }
    columns[RAW_PAYLOAD.name] = values(RAW_PAYLOAD.name, pa.string())
    now = datetime.now(UTC)
    return Batch(columns, [moment or now for moment in values(INGEST_TS.name, pa.timestamp("us", "UTC"))])


def _empty(layout: Layout) -> Batch:
    return Batch({column: [] for column in (*layout.names, RAW_PAYLOAD.name)})
