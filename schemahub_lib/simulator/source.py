"""Where an exchange's answers come from: the model here, recorded files in `recorded`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from schemahub_lib.simulator.clock import Clock
from schemahub_lib.simulator.listings import Listing, listings
from schemahub_lib.simulator.market import SECOND, Market
from schemahub_lib.simulator.noise import I64, key, uniform
from schemahub_lib.simulator.tape import Tape, Trades

Json = Any
Render = Callable[[Listing, Trades], list[str]]


class Stream(Protocol):
    """The trades of one product in order of id, as JSON texts. Positions count from 0."""

    def end(self, now_ns: int) -> int:
        """How many trades there are at a time."""

    def find_id(self, trade_id: int) -> int:
        """The position of the first trade with this id or a higher one."""

    def find_time(self, time_ns: int) -> int:
        """The position of the first trade at this time or later."""

    def id_at(self, position: int) -> int: ...

    def time_at(self, position: int) -> int:
        """Nanoseconds since 1970."""

    def rows(self, start: int, stop: int) -> list[str]: ...


class Source(Protocol):
    """One exchange's data."""

    def products(self) -> dict[str, Json]:
        """What is listed now, in the exchange's own shape, by its own keys."""

    def assets(self) -> dict[str, Json]: ...

    def trades(self, symbol: str, render: Render) -> Stream | None:
        """None for a product that never was. `render` writes the model's rows; recorded rows have their own text."""

    def aggregates(self, symbol: str, render: Render) -> Stream | None: ...

    def book(self, symbol: str, depth: int, now_ns: int) -> tuple[list[Json], list[Json]]:
        """Bids and asks, best first, in the exchange's own shape."""


@dataclass(frozen=True)
class Dialect:
    """How one exchange describes its products, its currencies and a book level of price, size and time."""

    name: str
    product: Callable[[Listing, bool], Json | None]  # a listing and whether it is delisted; None where it vanishes
    assets: Callable[[Listing], dict[str, Json]]
    level: Callable[[str, str, int], Json]


def decimals(values: I64, value_places: int, text_places: int) -> tuple[list[int], list[int]]:
    """Whole numbers of `10**-value_places` as the digits before and after the point, for `%d.%08d`."""
    whole, part = np.divmod(values * 10 ** (text_places - value_places), 10**text_places)
    return whole.tolist(), part.tolist()


class ModelSource:
    """One exchange of the model market."""

    def __init__(self, market: Market, dialect: Dialect, clock: Clock, trade_rate: float) -> None:
        self._market, self._dialect, self._clock = market, dialect, clock
        self._tapes = {listing.symbol: Tape(market, listing, trade_rate) for listing in listings(dialect.name)}

    def listings(self) -> dict[str, Listing]:
        """What is traded now."""
        now = self._clock.now_ns()
        listed = (tape.listing for tape in self._tapes.values())
        return {one.symbol: one for one in listed if one.listed_ns <= now and not one.is_delisted(now)}

    def products(self) -> dict[str, Json]:
        products = {symbol: self._product(tape.listing) for symbol, tape in self._tapes.items()}
        return {symbol: product for symbol, product in products.items() if product is not None}

    def _product(self, listing: Listing) -> Json | None:
        """None before it is listed, and where the exchange forgets what it delists."""
        now = self._clock.now_ns()
        return self._dialect.product(listing, listing.is_delisted(now)) if listing.listed_ns <= now else None

    def _tape(self, symbol: str) -> Tape | None:
        tape = self._tapes.get(symbol)
        return tape if tape is not None and self._product(tape.listing) is not None else None

    def assets(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for tape in self._tapes.values():
            found.update(self._dialect.assets(tape.listing))
        return found

    def trades(self, symbol: str, render: Render) -> Stream | None:
        tape = self._tape(symbol)
        return ModelStream(tape, render) if tape else None

    def aggregates(self, symbol: str, render: Render) -> Stream | None:
        tape = self._tape(symbol)
        return AggregateStream(tape, render) if tape else None

    def book(self, symbol: str, depth: int, now_ns: int) -> tuple[list[Json], list[Json]]:
        listing = self._tapes[symbol].listing
        middle, half_spread = (
            float(value[0]) for value in self._market.quote(listing, np.array([now_ns], dtype=np.int64))
        )
        if listing.is_delisted(now_ns):
            return [], []
        tick, lot = 10.0**-listing.price_decimals, 10.0**-listing.lot_decimals
        step = max(round(half_spread / tick), 1)
        levels = np.arange(depth, dtype=np.int64)
        sides = []
        for name, best, away in (
            ("bid", int((middle - half_spread) / tick), -1),
            ("ask", int((middle + half_spread) / tick) + 1, 1),
        ):
            draws = uniform(key(self._market.seed, listing.venue.name, symbol, name), levels + now_ns // SECOND)
            ticks = best + away * step * levels
            lots = np.maximum((listing.asset.size * 10.0 * draws / lot).astype(np.int64), 1)
            prices = zip(*decimals(ticks[ticks > 0], listing.price_decimals, 8), strict=True)
            sizes = zip(*decimals(lots[ticks > 0], listing.lot_decimals, 8), strict=True)
            sides.append(
                [
                    self._dialect.level("%d.%08d" % price, "%d.%08d" % size, now_ns)  # noqa: UP031
                    for price, size in zip(prices, sizes, strict=True)
                ]
            )
        return sides[0], sides[1]


class ModelStream:
    def __init__(self, tape: Tape, render: Render) -> None:
        self._tape, self._render = tape, render

    def end(self, now_ns: int) -> int:
        return self._tape.count(now_ns)

    def find_id(self, trade_id: int) -> int:
        return max(trade_id - 1, 0)

    def find_time(self, time_ns: int) -> int:
        return self._tape.count(time_ns - 1)

    def id_at(self, position: int) -> int:
        return position + 1

    def time_at(self, position: int) -> int:
        return self._tape.time_at(position)

    def rows(self, start: int, stop: int) -> list[str]:
        return self._render(self._tape.listing, self._tape.trades(start, stop)) if start < stop else []


class AggregateStream(ModelStream):
    def end(self, now_ns: int) -> int:
        return self._tape.count_aggregates(now_ns)

    def find_time(self, time_ns: int) -> int:
        return self._tape.count_aggregates(time_ns - 1)

    def time_at(self, position: int) -> int:
        return int(self._tape.aggregates(position, position + 1).time_ns[0])

    def rows(self, start: int, stop: int) -> list[str]:
        return self._render(self._tape.listing, self._tape.aggregates(start, stop)) if start < stop else []
