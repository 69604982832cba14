"""Order books side by side: each venue's latest snapshot of an asset, or the one it had at a time. Starts no JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from schemahub_lib.analysis.ticks import BASIS_POINTS, F64
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.pipeline.products import known_symbols
from schemahub_lib.schemas import INGEST_TS
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


@dataclass(frozen=True)
class Side:
    """One side's levels, best first: prices in quote asset, quantities in base asset."""

    price: F64
    quantity: F64

    @property
    def depth(self) -> F64:
        """The quantity offered up to each level, in base asset."""
        return np.cumsum(self.quantity)

    @property
    def best(self) -> float | None:
        """The first level's price; None where nothing is offered."""
        return float(self.price[0]) if len(self.price) else None


@dataclass(frozen=True)
class Book:
    """A snapshot. `time` and `sequence` are the exchange's own; not all tell them."""

    exchange: str  # in capitals
    symbol: str
    quote: str | None
    fetched_at: datetime
    time: datetime | None
    sequence: int | None
    bids: Side
    asks: Side

    @property
    def middle(self) -> float | None:
        """Halfway between the best bid and the best ask; None where one side is empty."""
        bid, ask = self.bids.best, self.asks.best
        return (bid + ask) / 2 if bid is not None and ask is not None else None

    @property
    def spread(self) -> float | None:
        """Between the best bid and the best ask, in basis points of the middle; below zero in a crossed book, as
        exchanges show them in auctions."""
        if self.middle is None or self.asks.best is None or self.bids.best is None:
            return None
        return (self.asks.best - self.bids.best) / self.middle * BASIS_POINTS


def books(lake: Lake, name: str, at: datetime | None = None) -> list[Book]:
    """The latest snapshot of each venue's markets of an asset (`BTC`), or of a symbol as the venue or canonically
    spelled; with `at`, the latest fetched by then. None of a venue that has none."""
    by = at or datetime.now(UTC)
    found = []
    for exchange, table in _tables(lake):
        known = known_symbols(lake, exchange.name)
        named = {symbol for symbol, row in known.items() if name in (row["base_asset"], row["canonical_symbol"])}
        for row in _latest(exchange, table, named | {name}, by):
            symbol = row[exchange.symbol_column]
            quote = known[symbol]["quote_asset"] if symbol in known else None
            found.append(
                Book(
                    *(exchange.name.upper(), symbol, quote),
                    *(row[column] for column in (INGEST_TS.name, "time", "sequence")),
                    *(_side(row[side]) for side in ("bids", "asks")),
                )
            )
    return found


def compared(found: Sequence[Book]) -> tuple[float, float] | None:
    """The prices between which every book that has two sides tells what is offered; None where there are no such."""
    whole = [book for book in found if book.middle is not None]
    low = max((float(book.bids.price[-1]) for book in whole), default=0.0)
    high = min((float(book.asks.price[-1]) for book in whole), default=0.0)
    return (low, high) if low < high else None


def assets(lake: Lake) -> list[str]:
    """The base assets of which there are snapshots."""
    found = set()
    for exchange, table in _tables(lake):
        symbols = table.scan(selected_fields=(exchange.symbol_column,)).to_arrow()[exchange.symbol_column].unique()
        known = known_symbols(lake, exchange.name)
        found |= {known[symbol]["base_asset"] for symbol in symbols.to_pylist() if symbol in known}
    return sorted(found)


def _tables(lake: Lake) -> Iterator[tuple[Exchange, IcebergTable]]:
    for exchange in EXCHANGES.values():
        table = lake.find(exchange.books.table.name) if exchange.books is not None else None
        if table is not None:
            yield exchange, table


def _latest(exchange: Exchange, table: IcebergTable, symbols: set[str], by: datetime) -> list[dict[str, Any]]:
    """The newest row of each of the symbols that was fetched by then."""
    from pyiceberg.expressions import And, EqualTo, In, LessThanOrEqual

    column = exchange.symbol_column
    # pyiceberg's types want an unbound term here, its documentation a column's name
    fetched = And(In(column, symbols), LessThanOrEqual(INGEST_TS.name, by.isoformat()))  # type: ignore[call-arg,arg-type]
    times = table.scan(fetched, selected_fields=(column, INGEST_TS.name)).to_arrow().group_by(column)
    rows: list[dict[str, Any]] = []
    for newest in times.aggregate([(INGEST_TS.name, "max")]).sort_by(column).to_pylist():
        at = newest[f"{INGEST_TS.name}_max"].isoformat()
        one = And(EqualTo(column, newest[column]), EqualTo(INGEST_TS.name, at))  # type: ignore[call-arg,arg-type]
        rows += table.scan(one).to_arrow().to_pylist()
    return rows


def _side(levels: list[dict[str, float]]) -> Side:
    return Side(*(np.array([level[name] for level in levels]) for name in ("price", "quantity")))
