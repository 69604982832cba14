"""What a trade takes in Parquet, and why: codecs, orders, encodings, and how real the trades are that tell so.

A day of trades comes from Spark once; everything here is written by pyarrow, as pyiceberg does. Sizes are exact and the
same in every run; CPU is told as ratios within a run, medians of three.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemahub_lib.schemas import TRADES_UNIFIED
from tests.bench.unified_tables import A_DAY, LARGEST, fill, new_lake

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT.parent / "shared/data/recorded"
TIMES = 3
BY_SYMBOL = [("symbol", "ascending"), ("trade_ts", "ascending")]
BY_TIME = [("trade_ts", "ascending")]
CODECS = (
    *(("none", None), ("snappy", None), ("gzip", 6)),
    *(("zstd", level) for level in (1, 3, 6, 9, 19)),
)
ENCODINGS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("PLAIN", "dictionary"),
    "trade_id": ("PLAIN", "dictionary", "DELTA_BYTE_ARRAY"),
    "side": ("PLAIN", "dictionary"),
    "price": ("PLAIN", "dictionary", "BYTE_STREAM_SPLIT"),
    "quantity": ("PLAIN", "dictionary", "BYTE_STREAM_SPLIT"),
    "trade_ts": ("PLAIN", "dictionary", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"),
    "ingest_ts": ("PLAIN", "dictionary", "DELTA_BINARY_PACKED"),
}
UNBOUNDED = 2**30


def storage_compression() -> None:
    """bytes a trade by codec and order, 1M trades; CPU to write and to read them all, in snappy's"""
    by_symbol, by_time = (_a_day().sort_by(order) for order in (BY_SYMBOL, BY_TIME))
    with tempfile.TemporaryDirectory() as folder:
        sizes, spent = {}, {}
        for codec, level in CODECS:
            file = Path(folder) / f"{codec}-{level}"
            written = _cpu(lambda codec=codec, level=level, file=file: _write(by_symbol, file, codec, level))
            spent[codec, level] = written, _cpu(lambda file=file: pq.read_table(file, use_threads=False))
            sizes[codec, level] = file.stat().st_size, _write(by_time, file, codec, level)
        print(f"  {'':12}{'by symbol, time':>17}{'by time':>9}{'write':>8}{'read':>7}")
        write, read = spent["snappy", None]
        for (codec, level), (sorted_size, unsorted_size) in sizes.items():
            name = codec if level is None else f"{codec} {level}"
            written, was_read = spent[codec, level]
            print(
                f"  {name:12}{sorted_size / A_DAY:17.2f}{unsorted_size / A_DAY:9.2f}"
                f"{written / write:8.2f}{was_read / read:7.2f}"
            )


def storage_encodings() -> None:
    """bytes a trade of each column by encoding, without compression / with zstd 3; sorted by symbol and time"""
    trades = _a_day().sort_by(BY_SYMBOL)
    with tempfile.TemporaryDirectory() as folder:
        for column, encodings in ENCODINGS.items():
            one = trades.select([column])
            told = []
            for encoding in encodings:
                plain, packed = (_encoded(one, Path(folder) / "one", encoding, codec) for codec in ("none", "zstd"))
                told.append(f"{encoding} {plain / A_DAY:.3f} / {packed / A_DAY:.3f}")
            print(f"  {column:10} {', '.join(told)}")


def storage_realism() -> None:
    """bytes a value of recorded trades and of as many of the benchmarks' (zstd 3, one symbol)"""
    if not RECORDED.exists():
        print("  not measured: there are no recorded trades at ../shared/data/recorded")
        return
    names = ("trade_id", "price", "quantity", "trade_ts")
    recorded = {
        name: pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
        for name, rows in (("Binance BTCUSDT, 2020", _binance()), ("Kraken XBTUSDT, 2025", _kraken()))
    }
    trades = _a_day().sort_by(BY_SYMBOL).filter(pc.field("symbol") == LARGEST).select(names)
    ours = {f"{LARGEST}, trades {first:,} on": trades.slice(first, 1000) for first in (0, 100_000)}
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (recorded | ours).items():
            told = []
            for column in names:
                values = rows.select([column])
                if column == "trade_ts":
                    values = values.set_column(0, column, values[column].cast(pa.int64()))
                _write(values, Path(folder) / "one", "zstd", 3)
                chunk = pq.read_metadata(Path(folder) / "one").row_group(0).column(0)
                told.append(f"{column} {chunk.total_compressed_size / rows.num_rows:.2f}")
            print(f"  {name:28} {rows.num_rows:,} rows: {', '.join(told)}")


def _binance() -> list[tuple[Any, ...]]:
    rows = json.loads((RECORDED / "binance/trades/2020-10-26_BTCUSDT_limit1000.json").read_text())
    return [(str(row["id"]), float(row["price"]), float(row["qty"]), row["time"] * 1000) for row in rows]


def _kraken() -> list[tuple[Any, ...]]:
    told = json.loads((RECORDED / "kraken/trades/2025-11-10_XBTUSDT_tradeid.json").read_text())["result"]["XBTUSDT"]
    return [
        (str(trade_id), float(price), float(volume), round(float(moment) * 1e6))
        for price, volume, moment, _, _, _, trade_id in told
    ]


def _encoded(one: pa.Table, file: Path, encoding: str, codec: str) -> int:
    options: dict[str, Any] = {"use_dictionary": encoding == "dictionary"}
    if encoding != "dictionary":
        options["column_encoding"] = encoding
    pq.write_table(
        one,
        file,
        compression=codec,
        compression_level=3 if codec == "zstd" else None,
        dictionary_pagesize_limit=UNBOUNDED,
        **options,
    )
    return file.stat().st_size


def _write(rows: pa.Table, file: Path, codec: str, level: int | None) -> int:
    pq.write_table(rows, file, compression=codec, compression_level=level, dictionary_pagesize_limit=16 * 2**10)
    return file.stat().st_size


def _cpu(action: Callable[[], object]) -> float:
    spent = []
    for _ in range(TIMES):
        started = time.process_time()
        action()
        spent.append(time.process_time() - started)
    return median(spent)


def _a_day() -> pa.Table:
    """A million unified trades, one day's."""
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        fill(lake, A_DAY)
        table = lake.find(TRADES_UNIFIED.name)
        assert table is not None
        rows = table.scan().to_arrow()
        lake.close()
    return rows
