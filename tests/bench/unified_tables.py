"""Large unified tables made in a moment by Spark, and the raw rows that are merged into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake

RAW = EXCHANGES["coinbase"].raw_table
SYMBOLS = 50
A_DAY = 1_000_000  # trades
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
FIRST_ID = 10_000_000

# Trade `id` of Spark's range(): 50 symbols in turn, one every 86,400 µs; sizes look random.
_SYMBOL = f"concat('S', id % {SYMBOLS}, '-USD')"
_ID = f"CAST({FIRST_ID} + id AS STRING)"
_PRICE = f"100 + (id % {SYMBOLS}) * 10 + (id % 977) / 100"
_QUANTITY = "(id * 48271 % 100000000) / 1e8 + 0.001"
_TIME = f"timestamp_micros({int(FIRST_DAY.timestamp())}000000 + id * 86400)"


def new_lake(folder: str) -> Lake:
    lake = Lake(Settings.load(warehouse=folder, environment={"SCHEMAHUB_DRIVER_MEMORY": "4g"}))
    for table in (TRADES_UNIFIED, PRODUCTS, RAW):
        lake.ensure(table)
    lake.spark.sparkContext.setLogLevel("ERROR")
    return lake


def fill(lake: Lake, rows: int) -> None:
    """Put the first `rows` trades into the unified table, one file a day."""
    lake.spark.sql(
        f"INSERT INTO {lake.identifier(TRADES_UNIFIED.name)} SELECT 'COINBASE', {_SYMBOL}, {_ID}, "
        f"if(id % 3 = 0, 'BUY', 'SELL'), {_PRICE}, {_QUANTITY}, {_TIME}, TIMESTAMP'2024-06-01T00:00:00Z', "
        f"NULL, NULL, NULL FROM range({rows})"
    )


def append_raw(lake: Lake, first: int, rows: int) -> None:
    """One snapshot of Coinbase's raw table with so many trades from the one numbered `first` on."""
    lake.spark.sql(
        f"INSERT INTO {lake.identifier(RAW.name)} SELECT {_ID}, {_SYMBOL}, {_PRICE}, {_QUANTITY}, {_TIME}, "
        f"if(id % 3 = 0, 'SELL', 'BUY'), 'coinbase', TIMESTAMP'2024-06-01T00:00:00Z', "
        f"concat('{{\"trade_id\":', id, '}}') FROM range({first}, {first + rows})"
    )


def day(number: int) -> tuple[datetime, datetime]:
    start = FIRST_DAY + timedelta(days=number)
    return start, start + timedelta(days=1)


def table_bytes(folder: str, table: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob(f"*{table}/data/**/*.parquet"))
