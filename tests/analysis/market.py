"""Unified trades of simulated venues, and snapshots of order books, written into a lake without fetching them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.simulator.listings import Listing, listings
from schemahub_lib.simulator.market import SCENARIOS, SECOND, Market
from schemahub_lib.simulator.tape import Tape
from schemahub_lib.tables.books import append_books
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.types import arrow_schema

BURST = SCENARIOS["burst-2024-02-08"].burst
Levels = Sequence[tuple[float, float]]  # prices and quantities
VENUES = ("coinbase", "binance", "kraken")


def lake_with(
    warehouse: Path | str,
    start: datetime,
    end: datetime,
    *assets: str,
    venues: tuple[str, ...] = VENUES,
    **environment: str,
) -> Lake:
    """A lake whose `trades_unified` holds what the venues traded of these assets."""
    lake = Lake(Settings.load(warehouse=str(warehouse), environment=environment))
    table = lake.ensure(TRADES_UNIFIED)
    for venue in venues:
        for listing in listings(venue):
            if listing.asset.code in assets:
                table.append(_trades(listing, start, end))
    return lake


def _trades(listing: Listing, start: datetime, end: datetime) -> pa.Table:
    tape = Tape(Market(seed=7, burst=BURST), listing)
    found = tape.trades(*(tape.count(int(moment.timestamp()) * SECOND - 1) for moment in (start, end)))
    count = len(found.id)
    time = pa.array(found.time_ns // 1000, pa.timestamp("us", "UTC"))
    columns = {
        "exchange": pa.array([listing.venue.name.upper()] * count),
        "symbol": pa.array([listing.symbol] * count),
        "trade_id": pa.array(found.id).cast(pa.string()),
        "side": pa.array(["BUY" if buy else "SELL" for buy in found.buy.tolist()]),
        "price": pa.array(found.price / 10.0**listing.price_decimals),
        "quantity": pa.array(found.size / 10.0**listing.lot_decimals),
        "trade_ts": time,
        "ingest_ts": time,
        "canonical_symbol": pa.array([f"{listing.asset.code}-{listing.venue.quote}"] * count),
        "base_asset": pa.array([listing.asset.code] * count),
        "quote_asset": pa.array([listing.venue.quote] * count),
    }
    return pa.table(columns, schema=arrow_schema(TRADES_UNIFIED))


def lake_where(warehouse: Path, trades: Iterable[tuple[datetime, float]]) -> Lake:
    """A lake in which one venue traded BTC at these times and prices, one coin each."""
    lake = Lake(Settings.load(warehouse=str(warehouse), environment={}))
    told = {"exchange": "COINBASE", "symbol": "BTC-USD", "canonical_symbol": "BTC-USD"}
    told |= {"base_asset": "BTC", "quote_asset": "USD"}
    rows = [
        told | {"trade_id": str(number), "price": price, "quantity": 1.0, "trade_ts": moment, "ingest_ts": moment}
        for number, (moment, price) in enumerate(trades)
    ]
    lake.append(TRADES_UNIFIED, rows)
    return lake


def snapshot(lake: Lake, exchange: str, symbol: str, at: datetime, bids: Levels, asks: Levels) -> None:
    """Write an order book into the table of an exchange's."""
    row = {EXCHANGES[exchange].symbol_column: symbol, "_source": exchange, "_source_ingest_ts": at, "sequence": 5}
    sides = {
        name: [{"price": price, "quantity": quantity} for price, quantity in levels]
        for name, levels in (("bids", bids), ("asks", asks))
    }
    books = EXCHANGES[exchange].books
    assert books is not None
    append_books(lake, books.table, "test", pa.Table.from_pylist([row | sides], schema=arrow_schema(books.table)))
