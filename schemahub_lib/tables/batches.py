"""Records of a connector to typed Arrow batches, and Arrow batches to Spark. Values that do not fit are set aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.http.messages import Record, Rejected
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, SOURCE, Column, Table
from schemahub_lib.tables.lake import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

ROWS_PER_TASK = 250_000

_SECONDS = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")
_MILLISECONDS_END = 10**14  # larger epoch values are microseconds


def to_arrow(
    table: Table, records: Sequence[Record], *, source: str, fetched_at: datetime, keep_payload: bool = True
) -> tuple[pa.Table, list[Rejected]]:
    """Cast records to the raw table's column types.

    Returns the batch (columns in table order, rows in the order given) and the rows that do not fit, each with the
    column, the value and the type it should have had.
    """
    import pyarrow as pa

    try:
        return _cast(table, records, source, fetched_at, keep_payload), []
    except (pa.ArrowInvalid, ValueError, TypeError, OverflowError):
        good: list[Record] = []
        bad: list[Rejected] = []
        for record in records:
            reason = _misfit(table, record)
            if reason is None:
                good.append(record)
            else:
                bad.append(Rejected(reason, str(record[RAW_PAYLOAD.name])))
        return _cast(table, good, source, fetched_at, keep_payload), bad


def _cast(table: Table, records: Sequence[Record], source: str, fetched_at: datetime, keep_payload: bool) -> pa.Table:
    import pyarrow as pa

    rows = len(records)
    arrays = []
    for column in table.columns:
        if column == SOURCE:
            array = pa.repeat(pa.scalar(source), rows)
        elif column == INGEST_TS:
            array = pa.repeat(pa.scalar(fetched_at, arrow_type("TIMESTAMP")), rows)
        elif column == RAW_PAYLOAD and not keep_payload:
            array = pa.nulls(rows, pa.string())
        else:
            array = _cast_column(column, [record[column.name] for record in records])
        arrays.append(array)
    return pa.table(arrays, names=list(table.column_names))


def _misfit(table: Table, record: Record) -> str | None:
    """Why a single record does not fit the table; None when it does."""
    import pyarrow as pa

    for column in table.columns:
        if column.name in record:
            value = record[column.name]
            try:
                _cast_column(column, [value])
            except (pa.ArrowInvalid, ValueError, TypeError, OverflowError):
                return f"{column.name} is {value!r}, not a {column.type}"
    return None


def _cast_column(column: Column, values: list[Any]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == "TIMESTAMP":
        array = _ENCODINGS[column.time_encoding](values)
    elif column.type == "DOUBLE":
        array = pa.array(values, pa.string()).cast(pa.float64())
        if pc.any(pc.invert(pc.is_finite(array))).as_py():
            raise ValueError("not a finite number")
    else:
        array = pa.array(values, arrow_type(column.type))
    if column.required and array.null_count:
        raise ValueError("missing")
    return array


def _iso8601(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string()).cast(pa.timestamp("us", tz="UTC"))


def _epoch_ms_or_us(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    micros = [v if v is None or v >= _MILLISECONDS_END else v * 1000 for v in values]
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _epoch_s(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if v is None else _micros(str(v)) for v in values], pa.int64()).cast(
        pa.timestamp("us", tz="UTC")
    )


def _micros(seconds: str) -> int:
    """Exact decimal seconds to whole microseconds, cut and not rounded, so that no trade moves to a later one."""
    match = _SECONDS.fullmatch(seconds)
    if match is None:
        raise ValueError(f"{seconds!r} is not a time in seconds")
    return int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0")[:6])


_ENCODINGS: dict[str, Callable[[list[Any]], pa.Array]] = {
    "iso8601": _iso8601,
    "epoch_ms_or_us": _epoch_ms_or_us,
    "epoch_s": _epoch_s,
}


def to_spark(spark: SparkSession, table: Table, batch: pa.Table) -> DataFrame:
    """The batch as a DataFrame of the table's columns. Nothing is staged on disk, so it works on any cluster."""
    import pandas as pd
    from pyspark.sql import types

    spark_types: dict[str, types.DataType] = {
        "STRING": types.StringType(),
        "DOUBLE": types.DoubleType(),
        "BIGINT": types.LongType(),
        "BOOLEAN": types.BooleanType(),
        "TIMESTAMP": types.TimestampType(),
    }
    schema = types.StructType([types.StructField(c.name, spark_types[c.type]) for c in table.columns])
    # pandas only carries the Arrow columns across: with ArrowDtype nothing is converted or copied.
    frame = batch.combine_chunks().to_pandas(types_mapper=pd.ArrowDtype)
    tasks = 1 + batch.num_rows // ROWS_PER_TASK
    return spark.createDataFrame(frame, schema=schema).coalesce(tasks)


def newest(batch: pa.Table, time_column: str) -> datetime:
    """The latest time in a batch that is not empty, aware UTC."""
    import pyarrow.compute as pc

    value: datetime = pc.max(batch[time_column]).as_py()
    return value.astimezone(UTC)
