"""Many small publishes, then maintenance: what is left of them."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from statistics import median

from schemahub_lib.pipeline.maintain import maintain
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.runs import new_run_id
from schemahub_lib.pipeline.unify import mappings_for, unify
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.due import figures
from schemahub_lib.tables.lake import Lake
from tests.bench.unified_tables import append_raw, day, fill, new_lake

BATCHES = int(os.environ.get("SCHEMAHUB_BENCH_BATCHES", "500"))
ROWS = 5_000
TARGET = 4 * 2**20  # bytes a file: 500 batches make several of them in three days
QUERIES = 7
NAME = TRADES_UNIFIED.name
OHLCV = (
    "SELECT date_trunc('minute', trade_ts) AS minute, min_by(price, trade_ts) AS open, max(price) AS high, "
    "min(price) AS low, max_by(price, trade_ts) AS close, sum(quantity) AS volume FROM {table} "
    "WHERE symbol = 'S7-USD' AND trade_ts >= '{first}' AND trade_ts < '{last}' GROUP BY 1 ORDER BY 1"
)


def microbatches() -> None:
    """500 publishes of 5k trades, then maintain (targets: files within 2 x of their target, queries 1.2 x a fresh table)"""
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
        slow = _queries(lake)
        started = time.perf_counter()
        maintain(lake, [NAME], timedelta(0), new_run_id(), Progress(live=False), dry_run=False)
        print(f"  maintain: {time.perf_counter() - started:.0f} s")
        _told("after", lake)
        kept = _queries(lake)
        lake.close()
        fresh = new_lake(f"{folder}/fresh")
        _aim(fresh)
        fill(fresh, BATCHES * ROWS)
        _told("fresh", fresh)
        ideal = _queries(fresh)
        fresh.close()
    print(
        f"  a day's OHLCV of a symbol in Spark: {slow:.2f} s before, {kept:.2f} s after, {ideal:.2f} s freshly written: "
        f"{kept / ideal:.2f} x (target: 1.2)"
    )


def _aim(lake: Lake) -> None:
    lake.spark.sql(
        f"ALTER TABLE {lake.identifier(NAME)} SET TBLPROPERTIES ('write.target-file-size-bytes' = '{TARGET}')"
    )


def _told(when: str, lake: Lake) -> None:
    table = lake.find(NAME)
    assert table is not None
    size = figures(table)
    print(
        f"  {when:7} {size.files:5} files of {size.average_file_bytes / 2**20:.2f} MiB on average, "
        f"{size.average_file_bytes / TARGET:.2f} x the target size; {size.snapshots} snapshots"
    )


def _queries(lake: Lake) -> float:
    first, last = day(0)
    query = OHLCV.format(table=lake.identifier(NAME), first=first.isoformat(), last=last.isoformat())
    spent = []
    for _ in range(QUERIES):
        started = time.perf_counter()
        lake.spark.sql(query).collect()
        spent.append(time.perf_counter() - started)
    return median(spent[1:])
