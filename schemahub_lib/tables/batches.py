"""Pages of a connector to typed Arrow batches. Values that do not fit are set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from schemahub_lib.exchanges.fields import microseconds
from schemahub_lib.http.messages import Rejected, Value
from schemahub_lib.schemas import INGEST_TS, LEVELS, RAW_PAYLOAD, SOURCE, Column, Table, TimeEncoding
from schemahub_lib.tables.types import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, Sequence[Any]]  # of `Value`s, and of sides of an order book: (price, quantity) texts

_MILLISECONDS_END = 10**14  # larger epoch values are microseconds


def to_arrow(
    table: Table,
    columns: Columns,
    *,
    source: str,
    fetched_at: datetime | Sequence[datetime],
    keep_payload: bool = True,
) -> tuple[pa.Table, list[Rejected]]:
    """Cast the columns of a page to the raw table's types. `fetched_at` is one time for all rows, or one for each.

    Returns the batch (columns in table order, rows in the order given) and the rows that do not fit, each with the
    column, the value and the type it should have had.
    """
    import pyarrow as pa

    misfits = (pa.ArrowInvalid, ValueError, TypeError, OverflowError)
    try:
        return _cast(table, columns, source, fetched_at, keep_payload), []
    except misfits:
        bad: dict[int, Rejected] = {}
        for column in table.columns:
            for place, value in enumerate(columns.get(column.name, ())):
                try:
                    _cast_column(column, [value])
                except misfits:
                    reason = f"{column.name} is {value!r}, not a {column.type}"
                    bad.setdefault(place, Rejected(reason, str(columns[RAW_PAYLOAD.name][place])))
        good = {name: [v for place, v in enumerate(values) if place not in bad] for name, values in columns.items()}
        if not isinstance(fetched_at, datetime):
            fetched_at = [moment for place, moment in enumerate(fetched_at) if place not in bad]
        return _cast(table, good, source, fetched_at, keep_payload), [bad[place] for place in sorted(bad)]


def _cast(
    table: Table, columns: Columns, source: str, fetched_at: datetime | Sequence[datetime], keep_payload: bool
) -> pa.Table:
    import pyarrow as pa

    rows = len(columns[RAW_PAYLOAD.name])
    arrays = []
    for column in table.columns:
        if column == SOURCE:
            array = pa.repeat(pa.scalar(source), rows)
        elif column == INGEST_TS:
            kind = arrow_type("TIMESTAMP")
            one = isinstance(fetched_at, datetime)
            array = pa.repeat(pa.scalar(fetched_at, kind), rows) if one else pa.array(fetched_at, kind)
        elif column == RAW_PAYLOAD and not keep_payload:
            array = pa.nulls(rows, pa.string())
        else:
            array = _cast_column(column, columns[column.name])
        arrays.append(array)
    return pa.table(arrays, names=list(table.column_names))


def _cast_column(column: Column, values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    if column.type == "TIMESTAMP":
        array = _ENCODINGS[column.time_encoding](values)
    elif column.type == "DOUBLE":
        array = _doubles(values)
    elif column.type == LEVELS:
        levels = [level for side in values for level in side]
        numbers = [_doubles([level[place] for level in levels]) for place in (0, 1)]
        kind = arrow_type(LEVELS)
        ends = [0, *accumulate(map(len, values))]
        array = pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(numbers, fields=list(kind.value_type)), kind)
    elif column.type == "BIGINT":
        array = pa.array(values, pa.string()).cast(pa.int64())
    else:
        array = pa.array(values, arrow_type(column.type))
    if column.required and array.null_count:
        raise ValueError("missing")
    return array


def _doubles(values: Sequence[Value]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array(values, pa.string()).cast(pa.float64())
    if pc.any(pc.invert(pc.is_finite(array))).as_py():
        raise ValueError("not a finite number")
    return array


def _iso8601(values: Sequence[Value]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, pa.string()).cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid:  # perhaps only of digits finer than a microsecond
        return _one_by_one(values, "iso8601")


def _epoch_ms_or_us(values: Sequence[Value]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    told = pa.array(values, pa.string()).cast(pa.int64())
    in_milliseconds = pc.less(told, _MILLISECONDS_END)
    return pc.if_else(in_milliseconds, pc.multiply(told, 1000), told).cast(pa.timestamp("us", tz="UTC"))


def _epoch_s(values: Sequence[Value]) -> pa.Array:
    return _one_by_one(values, "epoch_s")


def _one_by_one(values: Sequence[Value], encoding: TimeEncoding) -> pa.Array:
    import pyarrow as pa

    micros = [None if value is None else microseconds(value, encoding) for value in values]
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


_ENCODINGS: dict[str, Callable[[Sequence[Value]], pa.Array]] = {
    "iso8601": _iso8601,
    "epoch_ms_or_us": _epoch_ms_or_us,
    "epoch_s": _epoch_s,
}


def newest(batch: pa.Table, time_column: str) -> datetime:
    """The latest time in a batch that is not empty, aware UTC."""
    import pyarrow.compute as pc

    value: datetime = pc.max(batch[time_column]).as_py()
    return value.astimezone(UTC)
