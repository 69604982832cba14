"""Coinbase trades of chosen days, published as `run ingest` does, for tests that look at tables and not at fetching."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.state import read_state

RAW = EXCHANGES["coinbase"].raw_table
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=10)  # a trade of each product


def publish_trades(lake: Lake, first: int, last: int, products: tuple[str, ...] = ("BTC-USD", "ETH-USD")) -> int:
    """Publish trades `first..last` (ids) of each product, in one snapshot; it. Trade n is of n * `EVERY` after the
    first day began, so a day has 144 of them."""
    numbers = range(first, last + 1)
    watermarks = read_state(lake.ensure(RAW))
    fetched = {}
    for product in products:
        columns = {
            "trade_id": [str(n) for n in numbers],
            "product_id": [product for _ in numbers],
            "price": ["100.5" for _ in numbers],
            "size": ["0.01" for _ in numbers],
            "time": [(FIRST_DAY + n * EVERY).isoformat() for n in numbers],
            "side": ["BUY" for _ in numbers],
            "_raw_payload": ["{}" for _ in numbers],
        }
        rows, unfit = to_arrow(RAW, columns, source="coinbase", fetched_at=FIRST_DAY)
        assert not unfit
        fetched[product] = Fetched(rows, watermarks.watermark(product), str(last))
    snapshot_id = append_raw(lake, RAW, "test", fetched).snapshot_id
    assert snapshot_id is not None
    return snapshot_id


def keys(lake: Lake, table: str) -> list[tuple[str, str]]:
    """Product and trade id of every row, sorted; the same row twice is there twice."""
    found = lake.find(table)
    assert found is not None
    columns = RAW.key if table == RAW.name else ("symbol", "trade_id")
    rows = found.scan(selected_fields=columns).to_arrow().to_pylist()
    return sorted((row[columns[0]], row[columns[1]]) for row in rows)
