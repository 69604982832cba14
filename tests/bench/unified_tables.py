"""Large unified tables made in a moment by Spark, and the raw rows that are merged into them.

Trades look like those of an exchange where it matters to storage: a few symbols have most of them, the fills of one
order share their time and side, prices walk from tick to tick, sizes have few digits and round ones come again and
again, ids go up by one a symbol.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake

RAW = EXCHANGES["coinbase"].raw_table
SYMBOLS = 50
A_DAY = 1_000_000  # trades
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
FIRST_ID = 10_000_000
LARGEST, MIDDLE, LAST = "S0-USD", f"S{SYMBOLS // 2}-USD", f"S{SYMBOLS - 1}-USD"

# Trade `id` of Spark's range() is the one in slot `id % CYCLE`: 86,400 µs a trade, or for a fill what its order has.
CYCLE = 1000
_SLOTS = "slot INT, number INT, fill INT, place INT, trades INT, usual DOUBLE, ticks DOUBLE, size DOUBLE, lots DOUBLE"
_ORDER = "(id - fill)"
_TIME = f"timestamp_micros({int(FIRST_DAY.timestamp())}000000 + {_ORDER} * 86400 + pmod(xxhash64({_ORDER}), 86400))"
_BUY = f"(pmod(xxhash64({_ORDER}, 1), 2) = 0)"
_WALK = " + ".join(
    f"{height} * sin({_ORDER} * 8.64e-2 / {seconds} + number)"
    for height, seconds in (("3e-2", 41003), ("8e-3", 5077), ("2e-3", 613), ("6e-4", 71), ("2e-4", 7))
)
_PRICE = f"round(usual * (1 + {_WALK} + if({_BUY}, 5e-5, -5e-5)) * ticks) / ticks"
_DRAW = "((pmod(xxhash64(id, 2), 999999) + 1) / 1e6)"
_SIZE = f"(size * pow({_DRAW} / (1 - {_DRAW}), 1.1D))"
_ROUND_SIZE = f"pow(10D, round(log10({_SIZE})))"
_QUANTITY = f"greatest(round(if(pmod(xxhash64(id, 3), 5) = 0, {_ROUND_SIZE}, {_SIZE}) * lots) / lots, 1 / lots)"
_ID = f"CAST({FIRST_ID} + cast(id / {CYCLE} AS LONG) * trades + place AS STRING)"
_SYMBOL = "concat('S', number, '-USD')"


def new_lake(folder: str) -> Lake:
    lake = Lake(Settings.load(warehouse=folder, environment={"SCHEMAHUB_DRIVER_MEMORY": "4g"}))
    for table in (TRADES_UNIFIED, PRODUCTS, RAW):
        lake.ensure(table)
    lake.spark.sparkContext.setLogLevel("ERROR")
    lake.spark.createDataFrame(_slots(), _SLOTS).createOrReplaceTempView("slots")
    return lake


def _slots() -> list[tuple[int | float, ...]]:
    """What each slot of a cycle holds: the number of a symbol, which fill of its order, which of the symbol's trades in
    the cycle and of how many, and the symbol's usual price and size with the steps to one of each.

    The symbols' shares fall as 1 / number, from 23 % to a fifth of a percent.
    """
    draw = random.Random(1)
    orders = [number for number in range(SYMBOLS) for _ in range(round(100 / (number + 1)))]
    fills: list[tuple[int, int]] = []
    while len(fills) < CYCLE:
        draw.shuffle(orders)
        for number in orders:
            fills += [(number, fill) for fill in range(draw.choice((1, 1, 1, 2, 2, 4)))]
    del fills[CYCLE:]
    trades = Counter(number for number, _ in fills)
    seen: Counter[int] = Counter()
    slots: list[tuple[int | float, ...]] = []
    for slot, (number, fill) in enumerate(fills):
        usual, size = 60_000 / (number + 1) ** 2, 0.003 * (number + 1) ** 2
        ticks, lots = (100.0, 1e6) if number < 5 else (1000.0, 1000.0)
        slots.append((slot, number, fill, seen[number], trades[number], usual, ticks, size, lots))
        seen[number] += 1
    return slots


def _trades(first: int, end: int) -> str:
    return f"(SELECT /*+ BROADCAST(slots) */ * FROM range({first}, {end}) JOIN slots ON id % {CYCLE} = slot)"


def trades_sql(first: int, end: int) -> str:
    """A SELECT of the unified rows of some trades, by number; they were written half an hour at a time."""
    half_hour = f"timestamp_seconds((floor(unix_seconds({_TIME}) / 1800) + 1) * 1800)"
    return (
        f"SELECT 'COINBASE' exchange, {_SYMBOL} symbol, {_ID} trade_id, if({_BUY}, 'BUY', 'SELL') side, "
        f"{_PRICE} price, {_QUANTITY} quantity, {_TIME} trade_ts, {half_hour} ingest_ts, {_SYMBOL} canonical_symbol, "
        f"concat('S', number) base_asset, 'USD' quote_asset FROM {_trades(first, end)}"
    )


def fill(lake: Lake, rows: int) -> None:
    """Put the first `rows` trades into the unified table, one file a day."""
    lake.spark.sql(f"INSERT INTO {lake.identifier(TRADES_UNIFIED.name)} {trades_sql(0, rows)}")


def append_raw(lake: Lake, first: int, rows: int) -> None:
    """One snapshot of Coinbase's raw table with so many trades from the one numbered `first` on."""
    lake.spark.sql(
        f"INSERT INTO {lake.identifier(RAW.name)} SELECT {_ID}, {_SYMBOL}, {_PRICE}, {_QUANTITY}, {_TIME}, "
        f"if({_BUY}, 'SELL', 'BUY'), 'coinbase', TIMESTAMP'2024-06-01T00:00:00Z', "
        f"concat('{{\"trade_id\":', {_ID}, '}}') FROM {_trades(first, first + rows)}"
    )


def day(number: int) -> tuple[datetime, datetime]:
    start = FIRST_DAY + timedelta(days=number)
    return start, start + timedelta(days=1)


def row_groups(lake: Lake, name: str) -> tuple[int, int, int]:
    """A table's data files, their row groups and their bytes."""
    table = lake.find(name)
    assert table is not None
    files = [task.file for task in table.scan().plan_files()]
    return len(files), sum(len(file.split_offsets or ()) for file in files), sum(f.file_size_in_bytes for f in files)
