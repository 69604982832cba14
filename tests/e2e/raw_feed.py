"""Trades appended to the raw tables by hand, so many at a time, and what `trades_unified` must hold once it has them.

The quantity of a trade is the number of the append it came with: a reader sees by it which appends are there.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.schemas import TRADES_UNIFIED, Table
from schemahub_lib.tables.commits import retrying
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.types import arrow_schema
from tests.e2e.pipelines import Key, Values, rows

DAYS = [datetime(2024, 2, day, tzinfo=UTC) for day in (5, 8)]
FETCHED = datetime(2024, 3, 1, tzinfo=UTC)
GARBAGE = 10**9  # ids from here on are no exchange's
PLANTED = "tests.planted"
SHIPPED = Path(__file__).resolve().parents[2] / "mappings"


@dataclass(frozen=True)
class Trade:
    exchange: str
    id: int
    at: datetime
    buyer_took: bool
    price: float
    append: int

    @property
    def key(self) -> Key:
        return self.exchange.upper(), VENUES[self.exchange].symbol, str(self.id)

    @property
    def values(self) -> Values:
        return "BUY" if self.buyer_took else "SELL", self.price, float(self.append), self.at

    @property
    def raw(self) -> dict[str, Any]:
        common = {"_source": self.exchange, "_source_ingest_ts": FETCHED + timedelta(seconds=self.append)}
        return VENUES[self.exchange].raw(self) | common


@dataclass(frozen=True)
class Venue:
    """`corrects`: what is told later of a known trade takes the place of what was told first."""

    symbol: str
    raw: Callable[[Trade], dict[str, Any]]
    corrects: bool = False


VENUES = {
    "coinbase": Venue(
        "BTC-USD",
        lambda t: {
            **{"trade_id": str(t.id), "product_id": "BTC-USD", "price": t.price, "size": float(t.append)},
            **{"time": t.at, "side": "SELL" if t.buyer_took else "BUY"},  # the maker's
        },
        corrects=True,
    ),
    "binance": Venue(
        "BTCUSDT",
        lambda t: {
            **{"id": str(t.id), "symbol": "BTCUSDT", "price": t.price, "qty": float(t.append)},
            **{"time": t.at, "is_buyer_maker": not t.buyer_took},
        },
    ),
    "kraken": Venue(
        "XBTUSD",
        lambda t: {
            **{"trade_id": str(t.id), "pair": "XBTUSD", "price": t.price, "volume": float(t.append)},
            **{"time": t.at, "side": "b" if t.buyer_took else "s"},
        },
    ),
}


def mappings(folder: Path) -> Path:
    """A folder with the shipped mappings, in which the venues that correct are told to."""
    folder.mkdir()
    for exchange, venue in VENUES.items():
        text = (SHIPPED / f"{exchange}_trades.yaml").read_text()
        (folder / f"{exchange}_trades.yaml").write_text(text + "\non_conflict: update\n" * venue.corrects)
    return folder


def raw_table(exchange: str) -> Table:
    return EXCHANGES[exchange].raw_table


class Feed:
    """What was appended to the raw tables of a lake so far, and planted in `trades_unified`."""

    def __init__(self, lake: Lake, rng: random.Random) -> None:
        self._lake, self._rng = lake, rng
        self.appends: dict[int, list[Trade]] = {}
        self.planted: list[frozenset[Key]] = []
        for exchange in VENUES:
            self.append(exchange)

    def append(self, exchange: str) -> None:
        """New trades of one day, some known ones of it once more, and some of these with another price."""
        rng, number = self._rng, len(self.appends) + 1
        day = rng.choice(DAYS)
        known = {trade.key: trade for trade in self.of(exchange)}
        new = [
            Trade(
                exchange,
                len(known) + place,
                day + timedelta(microseconds=rng.randrange(86_400_000_000)),
                rng.random() < 0.5,
                round(rng.uniform(90, 110), 2),
                number,
            )
            for place in range(1, rng.randint(5, 20))
        ]
        that_day = [trade for trade in known.values() if trade.at.date() == day.date()]
        again = rng.sample(that_day, min(len(that_day), rng.randint(0, 6)))
        corrected = [replace(trade, price=trade.price + 1, append=number) for trade in again[::2]]
        self.appends[number] = [*new, *again[1::2], *corrected]
        self._append(raw_table(exchange), [trade.raw for trade in self.appends[number]])

    def of(self, exchange: str) -> list[Trade]:
        """All that was appended of an exchange, in that order."""
        return [trade for trades in self.appends.values() for trade in trades if trade.exchange == exchange]

    def plant(self) -> None:
        """Put trades that no exchange told of into the unified table, behind everybody's back."""
        first, day = GARBAGE + 10 * len(self.planted), self._rng.choice(DAYS)
        garbage = [Trade("kraken", first + place, day, True, 100.0, GARBAGE) for place in range(5)]
        self.planted.append(frozenset(trade.key for trade in garbage))
        names = TRADES_UNIFIED.key + tuple(column.name for column in TRADES_UNIFIED.compared)
        planted = [dict(zip(names, (*t.key, *t.values), strict=True)) | {"ingest_ts": FETCHED} for t in garbage]
        self._append(TRADES_UNIFIED, planted, {PLANTED: "yes"})

    def _append(self, table: Table, added: list[dict[str, Any]], properties: Mapping[str, str] = {}) -> None:
        values = pa.Table.from_pylist(added, schema=arrow_schema(table))
        # Here no answer gets lost: what failed was not committed.
        retrying(lambda: self._lake.ensure(table), lambda found: found.append(values, dict(properties)))

    def expected(self, appends: Iterable[int]) -> dict[Key, Values]:
        """What these appends come to in the unified table."""
        found: dict[Key, Values] = {}
        for number in sorted(appends):
            for trade in self.appends[number]:
                if VENUES[trade.exchange].corrects or trade.key not in found:
                    found[trade.key] = trade.values
        return found

    def first_appends(self, exchange: str, count: int) -> set[int]:
        """The appends that brought the first `count` rows of an exchange's raw table."""
        numbers: set[int] = set()
        for number, trades in self.appends.items():
            if count and trades[0].exchange == exchange:
                numbers.add(number)
                count -= len(trades)
        assert count == 0, "an append of raw rows was divided"
        return numbers

    def assert_raw_is_as_appended(self) -> None:
        for exchange in VENUES:
            table = raw_table(exchange)
            appended = [dict.fromkeys(table.column_names) | trade.raw for trade in self.of(exchange)]
            assert _counted(rows(self._lake, table.name)) == _counted(appended)


def _counted(found: Iterable[Mapping[str, Any]]) -> Counter[tuple[tuple[str, Any], ...]]:
    return Counter(tuple(sorted(row.items())) for row in found)
