"""What a feed is: what is said to an exchange, and what its frames tell. No I/O here.

Prices and sizes are decimals, exactly as sent; times are UTC in microseconds since 1970.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from schemahub_lib.exchanges import EXCHANGES, rows
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import microseconds
from schemahub_lib.exchanges.rows import Row
from schemahub_lib.http.messages import Record, Value

DIGITS = 99  # before or behind a point: what has more is no price, and sums of such overflow
Json = dict[str, Any]  # a message, its numbers as text


@dataclass(frozen=True, slots=True)
class Market:
    """`symbol` is spelled as in the raw table; `base` and `quote` are common tickers, `listed` the exchange's names."""

    exchange: str
    symbol: str
    base: str
    quote: str
    listed: tuple[str, str]

    @property
    def venue(self) -> str:
        """The exchange as `trades_unified` calls it."""
        return self.exchange.upper()

    @property
    def canonical(self) -> str:
        return f"{self.base}-{self.quote}"


@dataclass(frozen=True, slots=True)
class Quote:
    """The best prices; `time` is None where the exchange tells none."""

    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    time: int | None

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade; `record` is its row by the columns of the raw table, as the REST connector would make it."""

    symbol: str
    id: int
    time: int
    price: Decimal
    size: Decimal
    record: Record


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a market trades, or all where `symbol` is None: `halted` says why not, and is empty when it does."""

    symbol: str | None
    halted: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the exchange says to a subscription, of a market or of all."""

    accepted: bool
    symbol: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Another connection is wanted, and why."""

    why: str


Event = Quote | Trade | Status | Answer | Goodbye


class Feed(ABC):
    """One exchange's feed of some markets. Differences are class attributes; code only where frames differ."""

    name: ClassVar[str]
    base_url: ClassVar[str]
    path: ClassVar[str]
    silence: ClassVar[float]  # seconds without a frame after which a connection is given up
    between: ClassVar[float]  # least seconds between two connections

    def __init__(self, markets: Sequence[Market]) -> None:
        self.exchange: Exchange = EXCHANGES[self.name]
        self.markets = {self.named(market): market for market in markets}
        self._price, self._size = (
            next(column.name for column in self.exchange.raw_table.columns if column.meaning == meaning)
            for meaning in ("price", "base_amount")
        )

    @abstractmethod
    def named(self, market: Market) -> str:
        """What the feed calls a market."""

    @abstractmethod
    def opened(self) -> list[str]:
        """What is said first on a new connection; whatever was known of the one before is forgotten."""

    @abstractmethod
    def read(self, frame: str) -> list[Event]:
        """What a frame tells; nothing of what is not known. Raises ValueError or KeyError for one of another shape."""

    def members(self, told: Json) -> Json:
        """A trade of the feed by the keys that the REST API has for it."""
        return told

    def trades(self, told: Iterable[Row], symbol: str) -> list[Trade]:
        """Trades of a market, by id. Raises ValueError, also where the REST connector would set one aside."""
        page = rows.read(told, self.exchange.fields, lambda value: self.members(rows.an_object(value)))
        for rejected in page.rejected.values():
            raise ValueError(rejected.reason)
        return sorted(map(self.trade, page.with_column(self._symbol, [symbol] * len(page)).page("").records), key=_id)

    def trade(self, record: Record) -> Trade:
        """A row of the raw table's columns as a trade."""
        exchange = self.exchange
        return Trade(
            str(record[self._symbol]),
            int(str(record[exchange.id_column])),
            exchange.time_of(record[exchange.time_column]),
            decimal(record[self._price]),
            decimal(record[self._size]),
            record,
        )

    @property
    def _symbol(self) -> str:
        return self.exchange.symbol_column


def quote(symbol: str, prices: Sequence[Value], time: str | None = None) -> Quote:
    """A quote of bid, its size, ask and its size; `time` is ISO 8601. Raises ValueError."""
    bid, bid_size, ask, ask_size = map(decimal, prices)
    return Quote(symbol, bid, bid_size, ask, ask_size, iso(time) if time else None)


def loads(text: str) -> Any:
    """JSON with its numbers as text, exactly."""
    return json.loads(text, parse_float=str, parse_int=str)


def decimal(text: Value) -> Decimal:
    """Raises ValueError for what is no price and no size."""
    try:
        number = Decimal(str(text))
    except ArithmeticError:
        raise ValueError(f"{text!r:.60} is not a number") from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > DIGITS:
        raise ValueError(f"{text!r:.60} is no price and no size")
    return number


def iso(text: str) -> int:
    return microseconds(text, "iso8601")


def _id(trade: Trade) -> int:
    return trade.id
