"""Loading an official bulk file, against Spark reading the same lines and appending them."""

from __future__ import annotations

import tempfile
import threading
import time
import zipfile
from pathlib import Path
from statistics import median

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.archive import load_archives
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.tables.lake import Lake
from tests.archives import write_checksum

ROWS = 2_000_000
WARM_ROWS = 20_000
TIMES = 2
DAY = 1_707_350_400_000  # 2024-02-08, in milliseconds
STEP = 43  # milliseconds from trade to trade: the whole file is of one day
NAME = "BTCUSDT-trades-2024-02-08"
LINES = "id STRING, price STRING, qty STRING, quote_qty STRING, time STRING, maker STRING, best STRING"
COLUMNS = {
    "id": "id",
    "symbol": "'BTCUSDT'",
    "price": "CAST(price AS DOUBLE)",
    "qty": "CAST(qty AS DOUBLE)",
    "time": "timestamp_millis(CAST(time AS BIGINT))",
    "_source": "'binance'",
    "_source_ingest_ts": "current_timestamp()",
    "_raw_payload": (
        """concat('{"id":', id, ',"price":"', price, '","qty":"', qty, '","quoteQty":"', quote_qty, '","time":',"""
        f"""time, ',"isBuyerMaker":', lower(maker), ',"isBestMatch":', lower(best), ',"_archive":"{NAME}.zip"}}')"""
    ),
    "quote_qty": "CAST(quote_qty AS DOUBLE)",
    "is_buyer_maker": "CAST(maker AS BOOLEAN)",
    "is_best_match": "CAST(best AS BOOLEAN)",
}


def archive_speed() -> None:
    """backfill --from-archive of two million trades, against a plain Spark append of the same lines (target: 0.5 x)"""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {"as the table says": [], "unordered": []}
    with tempfile.TemporaryDirectory() as folder:
        warm, whole = _archive(Path(folder) / "warm", WARM_ROWS), _archive(Path(folder) / "whole", ROWS)
        for turn in range(TIMES):
            place = f"{folder}/{turn}"
            _load(f"{place}-warm-ours", warm, WARM_ROWS)
            ours.append(_load(f"{place}-ours", whole, ROWS))
            for how, spent in theirs.items():
                _append(f"{place}-warm-{how}", warm, WARM_ROWS, how)
                spent.append(_append(f"{place}-{how}", whole, ROWS, how))
    print(f"  backfill --from-archive            {ROWS / median(ours):10,.0f} rows/s")
    for how, spent in theirs.items():
        ratio = median(b / a for a, b in zip(ours, spent, strict=True))
        print(f"  Spark append, {how:20} {ROWS / median(spent):10,.0f} rows/s   ours is {ratio:.2f} x")


def _archive(folder: Path, rows: int) -> Path:
    """A zip as published, and the CSV out of it beside it, for Spark."""
    folder.mkdir()
    text = "".join(
        f"{5_000_000_000 + n},{43000 + n * 7919 % 90000 / 100:.8f},0.{n * 48271 % 10**8:08},"
        f"{n * 104729 % 10**6}.{n * 7907 % 10**8:08},{DAY + n * STEP},{bool(n % 3)},True\n"
        for n in range(rows)
    )
    (folder / f"{NAME}.csv").write_text(text, encoding="ascii")
    path = folder / f"{NAME}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        opened.write(folder / f"{NAME}.csv", f"{NAME}.csv")
    write_checksum(path)
    return path


def _load(warehouse: str, path: Path, rows: int) -> float:
    lake = Lake(Settings.load(warehouse=warehouse, environment={}))
    started = time.perf_counter()
    with Progress(live=False) as progress:
        (outcome,) = load_archives(
            *(lake, EXCHANGES["binance"], [path], (), new_run_id(), progress, threading.Event()), keep_payload=True
        )
    spent = time.perf_counter() - started
    assert (outcome.status, outcome.trades) == ("complete", rows), outcome
    return spent


def _append(warehouse: str, path: Path, rows: int, how: str) -> float:
    """Into a table that is made as ours is. 'unordered' leaves out the shuffle and the sort it asks for."""
    lake = Lake(Settings.load(warehouse=warehouse, environment={}))
    table = EXCHANGES["binance"].raw_table
    lake.ensure(table)
    spark = lake.spark
    selected = [f"{COLUMNS[name]} AS `{name}`" for name in table.column_names]
    started = time.perf_counter()
    lines = spark.read.schema(LINES).csv(str(path.with_suffix(".csv")))
    writer = lines.selectExpr(*selected).writeTo(lake.identifier(table.name))
    if how == "unordered":
        writer = writer.option("use-table-distribution-and-ordering", "false").option("fanout-enabled", "true")
    writer.append()
    spent = time.perf_counter() - started
    assert spark.table(lake.identifier(table.name)).count() == rows
    return spent
