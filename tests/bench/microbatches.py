"""Many small publishes, then maintenance: what is left of them."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from statistics import median

from schemahub_lib.pipeline.maintain import maintain
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.pipeline.unify import mappings_for, unify
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.due import figures
from schemahub_lib.tables.lake import TABLE_PROPERTIES, UNIFIED_PROPERTIES, Lake
from tests.bench.unified_tables import append_raw, day, fill, new_lake

BATCHES = int(os.environ.get("SCHEMAHUB_BENCH_BATCHES", "500"))
ROWS = 5_000
# Bytes a file: 500 batches make several of them in three days. Row groups are as much smaller than the shipped ones: a
# file is full when its row group, before compression, is as long as a file should be.
TARGET = 4 * 2**20
ROW_GROUP = (
    int(UNIFIED_PROPERTIES["write.parquet.row-group-size-bytes"])
    * TARGET
    // int(TABLE_PROPERTIES["write.target-file-size-bytes"])
)
QUERIES = 9
NAME = TRADES_UNIFIED.name
OHLCV = (
    "SELECT date_trunc('minute', trade_ts) AS minute, min_by(price, trade_ts) AS open, max(price) AS high, "
    "min(price) AS low, max_by(price, trade_ts) AS close, sum(quantity) AS volume FROM {table} "
    "WHERE symbol = 'S7-USD' AND trade_ts >= '{first}' AND trade_ts < '{last}' GROUP BY 1 ORDER BY 1"
)


def microbatches() -> None:
    """500 publishes of 5k trades, then maintain (targets: files within 2 x of a target, queries 1.2 x a fresh table)"""
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(f"{folder}/batches")
        _aim(lake)
        started = time.perf_counter()
        seconds = []
        for number in range(BATCHES):
            append_raw(lake, number * ROWS, ROWS)
            before = time.perf_counter()
            (spec,) = mappings_for(lake, NAME, ["coinbase"])
            unify(lake, NAME, [spec], new_run_id(), Progress(live=False))
            seconds.append(time.perf_counter() - before)
        print(
            f"  {BATCHES} publishes of {ROWS:,} trades in {time.perf_counter() - started:.0f} s; one takes "
            f"{median(seconds[:20]):.2f} s at first, {median(seconds[-20:]):.2f} s at last"
        )
        _told("before", lake)
        fresh = new_lake(f"{folder}/fresh")
        _aim(fresh)
        fill(fresh, BATCHES * ROWS)
        _told("fresh", fresh)
        _compare("before", lake, fresh)
        started = time.perf_counter()
        maintain(lake, [NAME], timedelta(0), new_run_id(), Progress(live=False), dry_run=False)
        print(f"  maintain: {time.perf_counter() - started:.0f} s")
        _told("after", lake)
        _compare("after", lake, fresh)
        fresh.close()
        lake.close()


def _aim(lake: Lake) -> None:
    lake.spark.sql(
        f"ALTER TABLE {lake.identifier(NAME)} SET TBLPROPERTIES ('write.target-file-size-bytes' = '{TARGET}', "
        f"'write.parquet.row-group-size-bytes' = '{ROW_GROUP}')"
    )


def _told(when: str, lake: Lake) -> None:
    table = lake.find(NAME)
    assert table is not None
    size = figures(table)
    print(
        f"  {when:7} {size.files:5} files of {size.average_file_bytes / 2**20:.2f} MiB on average, "
        f"{size.average_file_bytes / TARGET:.2f} x the target size; {size.snapshots} snapshots"
    )


def _compare(when: str, lake: Lake, fresh: Lake) -> None:
    """A query on both, in turns."""
    spent: dict[Lake, list[float]] = {lake: [], fresh: []}
    for _ in range(QUERIES):
        for one, seconds in spent.items():
            seconds.append(_query(one))
    ours, ideal = (median(seconds[2:]) for seconds in spent.values())
    print(f"  {when:7} a day's OHLCV of a symbol: {ours:.2f} s, freshly written {ideal:.2f} s: {ours / ideal:.2f} x")


def _query(lake: Lake) -> float:
    first, last = day(0)
    query = OHLCV.format(table=lake.identifier(NAME), first=first.isoformat(), last=last.isoformat())
    started = time.perf_counter()
    lake.spark.sql(query).collect()
    return time.perf_counter() - started
