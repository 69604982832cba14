"""One symbol's day by the minute, out of a table of twenty days: what each engine reads for it, and how fast."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from tests.bench.reading import jvm, reads
from tests.bench.unified_tables import LARGEST, LAST, MIDDLE, day, fill, new_lake, row_groups

ROWS = int(os.environ.get("SCHEMAHUB_BENCH_OHLCV_MILLIONS", "20")) * 1_000_000
NAME = TRADES_UNIFIED.name
Candles = Sequence[tuple[Any, ...]]


def ohlcv() -> None:
    """a day's OHLCV by minute of one symbol over 20M trades (target: 3 % of the table's bytes)"""
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        fill(lake, ROWS)
        files, groups, size = row_groups(lake, NAME)
        print(f"  {ROWS:,} trades in {files} files, {groups} row groups, {size / 1e6:.1f} MB")
        for symbol in (LARGEST, MIDDLE, LAST):
            _compare(lake, symbol, size)
        lake.close()


def _compare(lake: Lake, symbol: str, size: int) -> None:
    expected = _in_duckdb(lake, symbol)
    for engine, how, process in (
        ("schemahub query (DuckDB)", _in_duckdb, "self"),
        ("pyiceberg", _in_pyiceberg, "self"),
        ("Spark", _in_spark, jvm(lake)),
    ):
        assert _same(how(lake, symbol), expected), (engine, symbol)
        found = reads(partial(how, lake, symbol), process)
        print(
            f"  {symbol:7} {engine:25} {len(expected):5} minutes, reads {found.bytes / 1e6:5.2f} MB: "
            f"{found.bytes / size:.2%} of the table, {found.seconds:5.2f} s"
        )


def _day(function: str) -> str:
    first, last = day(7)
    return f"trade_ts >= {function} '{first.isoformat()}' AND trade_ts < {function} '{last.isoformat()}'"


def _in_duckdb(lake: Lake, symbol: str) -> Candles:
    rows = query(
        lake,
        "SELECT time_bucket(INTERVAL 1 MINUTE, trade_ts) AS minute, arg_min(price, (trade_ts, trade_id)), max(price), "
        f"min(price), arg_max(price, (trade_ts, trade_id)), sum(quantity) FROM {NAME} "
        f"WHERE symbol = '{symbol}' AND {_day('TIMESTAMPTZ')} GROUP BY ALL ORDER BY ALL",
    )
    return list(zip(*(column.to_pylist() for column in rows.columns[1:]), strict=True))


def _in_pyiceberg(lake: Lake, symbol: str) -> Candles:
    import pyarrow.compute as pc

    table = lake.find(NAME)
    assert table is not None
    fields = ("trade_ts", "trade_id", "price", "quantity")
    rows = table.scan(f"symbol = '{symbol}' AND {_day('')}", selected_fields=fields).to_arrow()
    rows = rows.append_column("minute", pc.floor_temporal(rows["trade_ts"], unit="minute"))
    rows = rows.sort_by([("trade_ts", "ascending"), ("trade_id", "ascending")])
    wanted: list[tuple[str, str]] = [("price", how) for how in ("first", "max", "min", "last")]
    found = rows.group_by("minute", use_threads=False).aggregate([*wanted, ("quantity", "sum")])
    names = ("price_first", "price_max", "price_min", "price_last", "quantity_sum")
    return list(zip(*(found[name].to_pylist() for name in names), strict=True))


def _in_spark(lake: Lake, symbol: str) -> Candles:
    when = "struct(trade_ts, trade_id)"
    rows = lake.spark.sql(
        f"SELECT date_trunc('MINUTE', trade_ts) AS minute, min_by(price, {when}), max(price), min(price), "
        f"max_by(price, {when}), sum(quantity) FROM {lake.identifier(NAME)} "
        f"WHERE symbol = '{symbol}' AND {_day('TIMESTAMP')} GROUP BY 1 ORDER BY 1"
    ).collect()
    return [tuple(row)[1:] for row in rows]


def _same(one: Candles, other: Candles) -> bool:
    """Whether candles are equal but for the order in which volumes were added up."""
    return len(one) == len(other) and all(
        a[:-1] == b[:-1] and math.isclose(a[-1], b[-1], rel_tol=1e-9) for a, b in zip(one, other, strict=True)
    )
