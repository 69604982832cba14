"""Landed objects of one JSON record a line, plain or compressed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import NoneType
from typing import Any, BinaryIO

from schemahub_lib.http.messages import Rejected, Value
from schemahub_lib.landing.formats import (
    GZIP_LEVEL,
    Batch,
    Compression,
    Forward,
    Layout,
    RecordWriter,
    damage_told,
    empty,
)
from schemahub_lib.landing.store import Sink
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, SOURCE

STEP = 1000  # lines read at once; ten times as many take three times as long each, as malloc gives memory back


class LineWriter(RecordWriter):
    """Compression is of whole pages, so that other threads go on meanwhile."""

    def __init__(self, sink: Sink, layout: Layout, compress: Compression, keep_payload: bool) -> None:
        super().__init__(sink, layout, keep_payload)
        # zlib's gzip header has no time in it: equal records are equal bytes.
        self._gzip = zlib.compressobj(GZIP_LEVEL, wbits=31) if compress == "gzip" else None
        self._zstd: Any = None
        if compress == "zstd":
            import pyarrow as pa

            self._zstd = pa.CompressedOutputStream(pa.PythonFile(Forward(sink), "w"), "zstd")

    def _add(self, parts: dict[str, Sequence[Value]], rows: int, fetched_at: datetime) -> None:
        fixed = {SOURCE.name: self._layout.source, INGEST_TS.name: f"{fetched_at:%Y-%m-%dT%H:%M:%S.%fZ}"}
        payloads = parts.pop(RAW_PAYLOAD.name, None)
        members, columns = _templates(parts)
        members += [f"{_json(name)}:{_json(value)}".replace("%", "%%") for name, value in fixed.items()]
        if payloads is not None:
            more, texts = _templates({RAW_PAYLOAD.name: payloads})
            members, columns = members + more, columns + texts
        line = f"{{{','.join(members)}}}\n"
        text = "".join(map(line.__mod__, zip(*columns, strict=True))).encode()
        if self._zstd is not None:
            self._zstd.write(text)
        else:
            self._sink.write(self._gzip.compress(text) if self._gzip else text)

    def _close(self) -> None:
        if self._gzip is not None:
            self._sink.write(self._gzip.flush())
        if self._zstd is not None:
            self._zstd.close()


def _templates(parts: Mapping[str, Sequence[Value]]) -> tuple[list[str], list[list[str]]]:
    """A record's members with %s in their values' place, and what stands there, row by row.

    A third of the time of one `dumps` a record: a column of texts is one call, and its array is split between the
    texts, unless one of them ends in what looks like it.
    """
    members, columns = [], []
    for name, values in parts.items():
        key = _json(name).replace("%", "%%")
        if set(map(type, values)) == {str} and '\\","' not in (texts := _json(values)):
            members.append(f'{key}:"%s"')
            columns.append(texts[2:-2].split('","'))
        else:
            members.append(f"{key}:%s")
            columns.append([_json(value) for value in values])
    return members, columns


def _json(value: object) -> str:
    from orjson import dumps

    return dumps(value).decode()


def read_lines(file: BinaryIO, suffix: str, layout: Layout, size: int) -> Iterator[Batch]:
    lines = _lines(file, suffix)
    batch = empty(layout)
    while some := list(islice(lines, min(size - len(batch) - len(batch.bad), STEP))):
        if not _take_at_once(batch, some, layout):
            for line in some:
                if not line.isspace():
                    _take(batch, line, layout)
        if len(batch) + len(batch.bad) >= size:
            yield batch
            batch = empty(layout)
    if len(batch) + len(batch.bad):
        yield batch


def _take_at_once(batch: Batch, lines: Sequence[bytes], layout: Layout) -> bool:
    """Append all `lines` when they are sound and as we write them; False when they must be looked at singly."""
    from orjson import JSONDecodeError, loads

    try:
        records = [loads(line) for line in lines]
        columns = {
            column: [record.get(name) for record in records]
            for column, name in (*layout.names.items(), (RAW_PAYLOAD.name, RAW_PAYLOAD.name))
        }
        if {record[SOURCE.name] for record in records} != {layout.source}:
            return False
        fetched_at = [_moment_of(record[INGEST_TS.name]) for record in records]
    except (JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return False
    for column, values in columns.items():
        if not set(map(type, values)) <= {bool if column in layout.flags else str, NoneType}:
            return False
    if all(None in columns[column] for column in layout.names):
        return False  # one of them may have nothing but None
    for column, values in columns.items():
        batch.columns[column] += values
    batch.fetched_at += fetched_at
    return True


def _lines(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    if suffix == ".jsonl":
        yield from file
        return
    with damage_told(suffix):
        if not file.read(1):
            raise ValueError("nothing in it")
        file.seek(0)
        if suffix == ".jsonl.gz":
            import gzip

            yield from gzip.GzipFile(fileobj=file)
        else:
            import io

            import pyarrow as pa

            yield from io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"), 1 << 20)


def _take(batch: Batch, line: bytes, layout: Layout) -> None:
    """Append a line, wherever it belongs. Raises ValueError when it is the last and cut off."""
    try:
        _append(batch, line, layout)
    except ValueError as error:
        if not line.endswith(b"\n"):
            raise ValueError(f"its last line is cut off ({error})") from error
        batch.bad.append(Rejected(str(error), line.decode(errors="replace").rstrip("\r\n")))


def _append(batch: Batch, line: bytes, layout: Layout) -> None:
    """Raises ValueError, and appends nothing, when the line is no record of this source."""
    import orjson

    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    values = _values(record, layout)
    if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()):
        try:
            values = _values(json.loads(line, parse_float=str, parse_int=str), layout)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    for column, value in values.items():
        if value is not None and not isinstance(value, bool if column in layout.flags else str):
            raise ValueError(f"{layout.names.get(column, column)} is {value!r:.60}, which is not a trade's")
    if all(values[column] is None for column in layout.names):
        raise ValueError("none of a trade's fields")
    if record.get(SOURCE.name, layout.source) != layout.source:
        raise ValueError(f"{SOURCE.name} is {record[SOURCE.name]!r:.60}, not {layout.source}")
    told = record.get(INGEST_TS.name)
    fetched_at = datetime.now(UTC) if told is None else _moment(told)
    for column, value in values.items():
        batch.columns[column].append(value)
    batch.fetched_at.append(fetched_at)


def _values(record: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    values = {column: record.get(name) for column, name in layout.names.items()}
    values[RAW_PAYLOAD.name] = record.get(RAW_PAYLOAD.name)
    return values


def _moment(told: object) -> datetime:
    if not isinstance(told, str):
        raise ValueError(f"{INGEST_TS.name} is {told!r:.60}, not a time")
    return _moment_of(told)


@lru_cache(maxsize=1024)
def _moment_of(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
