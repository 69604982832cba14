"""What it costs to merge a million new trades: against a plain append, and whether it grows with the table."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from schemahub_lib.mapping.compiler import batch_sql
from schemahub_lib.pipeline.increments import read_increment
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.unify import mappings_for, unify
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.unified import ROWS, Batch
from tests.bench.unified_tables import A_DAY, RAW, append_raw, day, fill, new_lake

SIZES = tuple(int(size) * 1_000_000 for size in os.environ.get("SCHEMAHUB_BENCH_MERGE_MILLIONS", "1,20").split(","))
BATCH = 1_000_000
TIMES = 3
REST = ("branch", "audit", "mark", "fast-forward")
NAME = TRADES_UNIFIED.name


def merge() -> None:
    """the MERGE of 1M new trades into 1M and 20M (targets: 1.5 x an append, 1.2 x one another, a re-run 1.2 x)"""
    merged: dict[int, float] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            lake = new_lake(folder)
            fill(lake, size)
            merged[size] = _into(lake, size)
            if size == max(SIZES):
                _naively(lake, size)
                _elsewhere(lake, folder, size)
            lake.close()
    if len(merged) > 1:
        ratio = merged[max(SIZES)] / merged[min(SIZES)]
        print(f"  MERGE into {max(SIZES):,} / into {min(SIZES):,}: {ratio:.2f} x (target: 1.2)")


def _into(lake: Lake, size: int) -> float:
    appends: list[float] = []
    news: list[Report] = []
    again: list[Report] = []
    for turn in range(TIMES + 1):  # the first one warms the JVM up
        first = size + turn * BATCH
        start = _head(lake)
        append_raw(lake, first, BATCH)
        plain = _plain_append(lake, start)
        new = _unify(lake)
        assert new.rows == BATCH, new
        append_raw(lake, first, BATCH)
        repeated = _unify(lake)
        assert (repeated.rows, repeated.duplicates) == (0, BATCH), repeated
        if turn:
            appends.append(plain)
            news.append(new)
            again.append(repeated)
    print(f"  into {size:,} trades, medians of {TIMES}:")
    append, merge = median(appends), median(report.steps["merge"] for report in news)
    rerun = median(report.steps["merge"] for report in again)
    print(f"    plain append of the same rows      {append:6.2f} s")
    print(f"    MERGE                              {merge:6.2f} s: {merge / append:.2f} x (target: 1.5)")
    print(f"    MERGE of the same million again    {rerun:6.2f} s: {rerun / append:.2f} x (target: 1.2)")
    rest = {step: median(report.steps[step] for report in news) for step in REST}
    told = ", ".join(f"{step} {seconds:.2f}" for step, seconds in rest.items())
    whole = sum(rest.values())
    print(f"    rest of the publish                {whole:6.2f} s: {whole / merge:.2f} x MERGE (target: 1): {told}")
    read = median(report.steps["read"] for report in news)
    print(f"    reading, mapping, deduplicating    {read:6.2f} s")
    return merge


def _plain_append(lake: Lake, start: int | None) -> float:
    """Seconds that Spark takes to append the rows of the increment, once they are read and mapped."""
    (spec,) = mappings_for(lake, NAME, ["coinbase"])
    end = _head(lake)
    assert end is not None
    read_increment(lake, RAW.name, start, end).createOrReplaceTempView("appended")
    now = datetime.now(UTC)
    with Batch(lake, TRADES_UNIFIED, batch_sql([(spec, "appended")], TRADES_UNIFIED, _products(lake), now), now):
        branch = Branch(lake, NAME)
        seconds = _seconds(
            lambda: lake.spark.table(ROWS).select(*TRADES_UNIFIED.column_names).writeTo(branch.identifier).append()
        )
        branch.drop()
    return seconds


def _naively(lake: Lake, size: int) -> None:
    """What a job costs that reads all of raw and compares by key alone."""
    append_raw(lake, size + 100 * BATCH, BATCH)
    (spec,) = mappings_for(lake, NAME, ["coinbase"])
    head = _head(lake)
    assert head is not None
    read_increment(lake, RAW.name, None, head).createOrReplaceTempView("everything")
    now = datetime.now(UTC)
    rows = batch_sql([(spec, "everything")], TRADES_UNIFIED, _products(lake), now)
    columns = ", ".join(TRADES_UNIFIED.column_names)
    values = ", ".join(f"s.{name}" for name in TRADES_UNIFIED.column_names)
    key = " AND ".join(f"t.{name} = s.{name}" for name in TRADES_UNIFIED.key)
    branch = Branch(lake, NAME)
    naive = _seconds(
        lambda: lake.spark.sql(
            f"MERGE INTO {branch.identifier} t USING (SELECT {columns} FROM ({rows}) WHERE _rank = 1) s ON {key} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
        )
    )
    branch.drop()
    started = time.perf_counter()
    report = _unify(lake)
    ours = time.perf_counter() - started
    steps = report.steps["read"] + report.steps["merge"]
    print(
        f"    the naive job (all of raw, by key)  {naive:6.2f} s: {naive / steps:.1f} x reading and MERGE "
        f"({steps:.2f} s), {naive / ours:.1f} x the whole audited publish ({ours:.2f} s)"
    )


def _elsewhere(lake: Lake, folder: str, size: int) -> None:
    """The same million into the same rows, held by other engines."""
    first, last = day(size // A_DAY)
    table = lake.find(NAME)
    assert table is not None
    window = f"trade_ts >= '{first.isoformat()}' and trade_ts < '{last.isoformat()}'"
    million = table.scan(row_filter=window).to_arrow()
    before = table.scan(row_filter=f"trade_ts < '{first.isoformat()}'").to_arrow()
    assert (million.num_rows, before.num_rows) == (BATCH, size)
    _in_duckdb(folder, before, million)
    _in_delta(folder, before, million, (first, last))


def _in_duckdb(folder: str, before, million) -> None:  # type: ignore[no-untyped-def]
    import duckdb

    with duckdb.connect(f"{folder}/trades.duckdb") as connection:
        connection.execute("SET threads = 2")
        connection.register("before", before)
        connection.execute("CREATE TABLE trades AS SELECT * FROM before")
        connection.register("million", million)
        key = " AND ".join(f"t.{name} = s.{name}" for name in TRADES_UNIFIED.key)
        statement = f"MERGE INTO trades t USING million s ON {key} WHEN NOT MATCHED THEN INSERT BY NAME"
        print(f"    DuckDB MERGE, a file of its own    {_seconds(lambda: connection.execute(statement)):6.2f} s")
        print(f"    DuckDB, the same million again     {_seconds(lambda: connection.execute(statement)):6.2f} s")


def _in_delta(folder: str, before, million, window) -> None:  # type: ignore[no-untyped-def]
    try:
        from deltalake import DeltaTable, write_deltalake
    except ImportError:
        print("    delta-rs: not installed (pip install deltalake)")
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    def dated(rows: pa.Table) -> pa.Table:
        return rows.append_column("day", pc.strftime(rows["trade_ts"], "%Y-%m-%d"))

    write_deltalake(f"{folder}/delta", dated(before), partition_by=["day"])
    key = " AND ".join(f"t.{name} = s.{name}" for name in TRADES_UNIFIED.key)
    source = dated(million)

    def merge() -> None:
        merging = DeltaTable(f"{folder}/delta").merge(
            source, f"t.day = '{window[0]:%Y-%m-%d}' AND {key}", source_alias="s", target_alias="t"
        )
        merging.when_not_matched_insert_all().execute()

    print(f"    delta-rs MERGE, day in ON          {_seconds(merge):6.2f} s")
    print(f"    delta-rs, the same million again   {_seconds(merge):6.2f} s")


def _unify(lake: Lake) -> Report:
    return unify(lake, NAME, mappings_for(lake, NAME, ["coinbase"]), new_run_id(), Progress(live=False))


def _head(lake: Lake) -> int | None:
    raw = lake.find(RAW.name)
    assert raw is not None
    return raw.metadata.current_snapshot_id


def _products(lake: Lake) -> str:
    return lake.identifier(PRODUCTS.name)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
