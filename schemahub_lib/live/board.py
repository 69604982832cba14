"""What every venue shows of every market now: the latest quote and trade, and what to think of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Literal

from schemahub_lib.analysis.money import money
from schemahub_lib.analysis.ticks import BASIS_POINTS
from schemahub_lib.live.feeds.base import Market, Quote, Status, Trade

SECOND = 1_000_000  # microseconds
HISTORY = 600  # samples of each market that are kept: one a second, the last ten minutes

FeedState = Literal["connecting", "live", "polled", "down"]
Doubt = Literal["halt", "stale feed", "gap"]


@dataclass
class Line:
    """One exchange's connection, and what came over it."""

    exchange: str
    state: FeedState = "connecting"
    words: str = ""
    since: int = 0  # when the present connection was opened
    missed: int = 0  # trades that the feed left out
    fetched: int = 0  # trades that came over REST
    unreadable: int = 0  # frames
    refused: dict[str, str] = field(default_factory=dict)  # why, by market

    @property
    def live(self) -> bool:
        return self.state == "live"


@dataclass
class Row:
    """One market at one venue. Times are in microseconds since 1970."""

    market: Market
    line: Line
    quote: Quote | None = None
    quoted: int = 0  # when the quote came
    trade: Trade | None = None
    traded: int = 0  # when the trade came
    side: str | None = None  # of the taker
    halted: str = ""
    missing: int = 0  # trades that are being fetched over REST
    history: deque[tuple[int, float | None]] = field(default_factory=lambda: deque(maxlen=HISTORY))

    @property
    def mid(self) -> Decimal | None:
        """None without a quote, and where a side is empty, which some exchanges tell as a price of zero."""
        return self.quote.mid if self.quote and self.quote.bid and self.quote.ask else None

    @property
    def spread(self) -> float | None:
        """In basis points of the middle."""
        if self.quote is None or self.mid is None:
            return None
        return float((self.quote.ask - self.quote.bid) / self.mid) * BASIS_POINTS

    @property
    def lag(self) -> float | None:
        """Seconds between the exchange's time of what came last and its coming; None where it tells no time, and for
        what is older than the connection: it was not told when it happened."""
        came, time = self.traded, self.trade.time if self.trade is not None else None
        if self.quote is not None and self.quote.time is not None and self.quoted >= self.traded:
            came, time = self.quoted, self.quote.time
        if time is None or time < self.line.since or not self.line.live:
            return None
        return (came - time) / SECOND

    def age(self, now: int) -> float | None:
        """Seconds since the quote came."""
        return (now - self.quoted) / SECOND if self.quote else None


class Board:
    """The rows by exchange and symbol. `stale_after` is how many seconds a quote may stand before it is not believed
    any more."""

    def __init__(self, markets: Sequence[Market], stale_after: float = 60.0) -> None:
        self.stale_after = stale_after
        self.lines = {name: Line(name) for name in dict.fromkeys(market.exchange for market in markets)}
        self.rows = {(m.exchange, m.symbol): Row(m, self.lines[m.exchange]) for m in markets}

    def quoted(self, exchange: str, quote: Quote, now: int) -> None:
        row = self.rows[exchange, quote.symbol]
        row.quote, row.quoted = quote, now

    def traded(self, exchange: str, trade: Trade, side: str | None, now: int) -> None:
        row = self.rows[exchange, trade.symbol]
        row.trade, row.side, row.traded = trade, side, now

    def status(self, exchange: str, status: Status) -> None:
        for row in self.rows.values():
            if row.market.exchange == exchange and status.symbol in (None, row.market.symbol):
                row.halted = status.halted

    def opened(self, exchange: str, now: int) -> None:
        """A connection is there."""
        line = self.lines[exchange]
        line.since = now
        line.refused.clear()

    def moved(self, exchange: str, state: FeedState, words: str) -> None:
        """A connection's state has changed."""
        line = self.lines[exchange]
        line.state, line.words = state, words

    def doubt(self, row: Row, now: int) -> tuple[Doubt, str] | None:
        """Why a row's quote is not to be believed now, with a sentence; None when it is."""
        venue, market = row.market.venue, row.market.symbol
        if row.halted:
            return "halt", f"{venue} does not trade {market}: {row.halted}"
        if row.line.state in ("connecting", "down"):
            why = f": {row.line.words}" if row.line.words else ""
            return "stale feed", f"the feed of {venue} is {row.line.state}{why}"
        if row.line.state == "polled":
            return "stale feed", f"{venue} is asked over REST every few seconds, as its feed is away"
        age = row.age(now)
        if age is not None and age > self.stale_after:
            return "stale feed", f"{venue} has not quoted {market} for {age:.0f} s"
        if row.line.live and row.quote and row.quoted < row.line.since:
            return "stale feed", f"{venue} has not quoted {market} on its present connection yet"
        if row.missing:
            return "gap", f"{row.missing} trades of {market} were missed at {venue} and are being fetched"
        return None

    def middles(self, now: int) -> Mapping[tuple[str, str], Decimal]:
        """The middle across the venues of each asset and what it is quoted in, from the quotes that are believed."""
        found: dict[tuple[str, str], list[Decimal]] = {}
        for row in self.rows.values():
            if row.mid is not None and self.doubt(row, now) is None:
                found.setdefault(group(row.market), []).append(row.mid)
        return {name: median(mids) for name, mids in found.items() if len(mids) > 1}

    def sample(self, now: int) -> None:
        """Keep the middles of now, for a chart. To be called at a fixed rate."""
        for row in self.rows.values():
            mid = row.mid if self.doubt(row, now) is None else None
            row.history.append((now, None if mid is None else float(mid)))


def group(market: Market) -> tuple[str, str]:
    """What a market is compared with: the same asset in the same money."""
    return market.base, money(market.quote)


def deviation(mid: Decimal | None, middle: Decimal | None) -> float | None:
    """In basis points of the middle across the venues."""
    return float((mid - middle) / middle) * BASIS_POINTS if mid is not None and middle else None
