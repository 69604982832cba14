"""Trades in Coinbase's raw table, published as an ingest does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.state import read_state

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

RAW = EXCHANGES["coinbase"].raw_table
START = datetime(2024, 2, 8, tzinfo=UTC)


def rows(first: int, last: int, symbol: str = "BTC-USD", every: timedelta = timedelta(seconds=1)) -> pa.Table:
    """Trades `first..last`, one `every` so often; the id tells the time."""
    numbers = range(first, last + 1)
    chance = random.Random(f"{symbol} {first}")  # rows that compress no better than trades do
    columns = {
        "trade_id": [str(number) for number in numbers],
        "product_id": [symbol for _ in numbers],
        "price": [f"{chance.uniform(40_000, 50_000):.2f}" for _ in numbers],
        "size": [f"{chance.random():.8f}" for _ in numbers],
        "time": [(START + number * every).isoformat() for number in numbers],
        "side": ["BUY" for _ in numbers],
        "_raw_payload": ["{}" for _ in numbers],
    }
    found, unfit = to_arrow(RAW, columns, source="coinbase", fetched_at=START)
    assert not unfit
    return found


def ingest(lake: Lake, run_id: str, first: int, last: int, symbol: str = "BTC-USD") -> int:
    """Publish trades after those that are there; main's new head."""
    start = read_state(lake.ensure(RAW)).watermark(symbol)
    published = append_raw(lake, RAW, run_id, {symbol: Fetched(rows(first, last, symbol), start, str(last))})
    assert published.snapshot_id is not None
    return published.snapshot_id


def head(lake: Lake, name: str = RAW.name) -> int:
    table = lake.find(name)
    assert table is not None
    assert table.metadata.current_snapshot_id is not None
    return table.metadata.current_snapshot_id


def at(table: IcebergTable, snapshot_id: int) -> datetime:
    """When a snapshot was made."""
    snapshot = table.snapshot_by_id(snapshot_id)
    assert snapshot is not None
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
