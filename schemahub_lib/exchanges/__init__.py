"""The exchanges SchemaHub knows. A new one is a file beside this one and a line in `EXCHANGES`."""

from __future__ import annotations

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.binance import Binance
from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.exchanges.kraken import Kraken
from schemahub_lib.exchanges.okx import Okx
from schemahub_lib.schemas import Table

EXCHANGES: dict[str, Exchange] = {
    "coinbase": Coinbase(),
    "binance": Binance(),
    "kraken": Kraken(),
    "okx": Okx(),
}


def by_raw_table() -> dict[str, Exchange]:
    """The exchanges by the names of their raw tables."""
    return {exchange.raw_table.name: exchange for exchange in EXCHANGES.values()}


def book_tables() -> dict[str, Table]:
    """The tables of order books by their names."""
    tables = (exchange.books.table for exchange in EXCHANGES.values() if exchange.books is not None)
    return {table.name: table for table in tables}


def raw_tables() -> dict[str, Table]:
    """Every exchange's raw table of trades by its name: what mappings may read."""
    return {name: exchange.raw_table for name, exchange in by_raw_table().items()}
