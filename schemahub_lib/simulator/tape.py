"""A listing's tape: every trade since it was listed, made on request from its position alone.

Trades come in blocks of 64. A block always holds 32 aggregates (fills of one order at one price, as Binance counts
them), and each aggregate belongs to a sweep (one order that may eat through several prices). So trade ids, aggregate
ids and times are found from one another without looking at any other block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from schemahub_lib.simulator.listings import Listing, ns
from schemahub_lib.simulator.market import SECOND, SLOT, Market
from schemahub_lib.simulator.noise import F64, I64, Bools, hash64, key, uniform

FAR_FUTURE = ns("2200-01-01")
BLOCK = 64
AGGREGATES = 32
DEPTH_STEP = 0.4  # a sweep's next price is this many half spreads further on


@dataclass(frozen=True)
class Trades:
    """Consecutive trades, or aggregates, of one tape, column by column. Price and size are whole ticks and lots."""

    id: I64
    time_ns: I64
    price: I64
    size: I64
    buy: Bools  # the taker bought
    market_order: Bools
    first_id: I64  # of the trades an aggregate covers; a trade covers itself
    last_id: I64

    def __getitem__(self, part: slice) -> Trades:
        return Trades(*(getattr(self, name)[part] for name in Trades.__dataclass_fields__))


@dataclass(frozen=True)
class _Layout:
    """Where the aggregates and sweeps of some whole blocks begin, and when the sweeps happen."""

    position: I64  # of each trade, from 0
    aggregate: I64  # position of each aggregate's first trade
    sweep: I64  # position of each sweep's first trade
    sweep_of_aggregate: I64  # index into `sweep`
    aggregate_of_trade: I64  # index into `aggregate`
    sweep_time: I64
    time: I64  # of each trade


class Tape:
    """Positions count from 0, ids from 1. `trade_rate` multiplies the listing's usual number of trades."""

    def __init__(self, market: Market, listing: Listing, trade_rate: float = 1.0) -> None:
        self.listing = listing
        self._market = market
        rate = listing.venue.trades_per_second * listing.asset.activity * trade_rate
        self._per_slot = max(1, round(rate * SLOT / SECOND))
        self._first_slot = listing.listed_ns // SLOT
        names = (market.seed, listing.venue.name, listing.symbol)
        self._keys = {
            part: key(*names, part) for part in ("aggregate", "sweep", "time", "side", "size", "round", "order")
        }
        # Clients that follow the tape ask about its newest blocks again and again.
        self._layout = lru_cache(maxsize=16)(self._make_layout)

    def _uniform(self, part: str, numbers: I64) -> F64:
        return uniform(self._keys[part], numbers)

    def _make_layout(self, first_block: int, end_block: int) -> _Layout:
        position = np.arange(first_block * BLOCK, end_block * BLOCK, dtype=np.int64)
        draws = hash64(self._keys["aggregate"], position).reshape(-1, BLOCK)
        draws[:, 0] = 0
        starts = (draws <= np.partition(draws, AGGREGATES - 1, axis=1)[:, AGGREGATES - 1 : AGGREGATES]).ravel()
        aggregate = position[starts]
        sweeps = (aggregate % BLOCK == 0) | (self._uniform("sweep", aggregate) < 0.6)
        sweep = aggregate[sweeps]
        sweep_of_aggregate = np.cumsum(sweeps) - 1
        aggregate_of_trade = np.cumsum(starts) - 1
        # Never closer than a tenth of the usual distance, so that sweeps keep their order to the nanosecond.
        slot, place = np.divmod(sweep, self._per_slot)
        share = (place + 0.05 + 0.9 * self._uniform("time", sweep)) / self._per_slot
        sweep_time = self._market.time_at(self._first_slot + slot, share)
        sweep_of_trade = sweep_of_aggregate[aggregate_of_trade]
        ties = (position - sweep[sweep_of_trade]) * self.listing.venue.ns_between_ties
        time = sweep_time[sweep_of_trade] + ties
        return _Layout(position, aggregate, sweep, sweep_of_aggregate, aggregate_of_trade, sweep_time, time)

    def trades(self, start: int, stop: int) -> Trades:
        """The trades at positions `start` to `stop` (exclusive)."""
        first_block = start // BLOCK
        made = self._make(first_block, -(-stop // BLOCK))[0]
        return made[start - first_block * BLOCK : stop - first_block * BLOCK]

    def aggregates(self, start: int, stop: int) -> Trades:
        """The aggregates at positions `start` to `stop`; their ids are a space of their own."""
        first_block = start // AGGREGATES
        made = self._make(first_block, -(-stop // AGGREGATES))[1]
        return made[start - first_block * AGGREGATES : stop - first_block * AGGREGATES]

    def _make(self, first_block: int, end_block: int) -> tuple[Trades, Trades]:
        """All trades and all aggregates of some blocks."""
        at = self._layout(first_block, end_block)
        buy = self._uniform("side", at.sweep) < 0.5
        market_order = self._uniform("order", at.sweep) < 0.45
        middle, half_spread = self._market.quote(self.listing, at.sweep_time)
        ordinal = np.arange(len(at.aggregate))
        level = ordinal - ordinal[np.searchsorted(at.aggregate, at.sweep)][at.sweep_of_aggregate]
        away = (half_spread * np.where(buy, 1.0, -1.0))[at.sweep_of_aggregate] * (1.0 + DEPTH_STEP * level)
        ticks = 10.0**self.listing.price_decimals
        price = np.maximum(np.rint((middle[at.sweep_of_aggregate] + away) * ticks), 1.0).astype(np.int64)
        size = self._sizes(at.position)

        of_aggregate, of_trade = at.sweep_of_aggregate, at.sweep_of_aggregate[at.aggregate_of_trade]
        ids = at.position + 1
        trades = Trades(
            ids, at.time, price[at.aggregate_of_trade], size, buy[of_trade], market_order[of_trade], ids, ids
        )
        aggregates = Trades(
            id=np.arange(first_block * AGGREGATES, end_block * AGGREGATES, dtype=np.int64) + 1,
            time_ns=at.sweep_time[of_aggregate],
            price=price,
            size=np.add.reduceat(size, at.aggregate - at.position[0]),
            buy=buy[of_aggregate],
            market_order=market_order[of_aggregate],
            first_id=at.aggregate + 1,
            last_id=np.append(at.aggregate[1:], end_block * BLOCK),
        )
        return trades, aggregates

    def _sizes(self, position: I64) -> I64:
        """Mostly small, some a hundred times larger, one in five a power of ten; in lots."""
        draw = np.clip(self._uniform("size", position), 1e-4, 1.0 - 1e-4)
        lots = self.listing.asset.size * 10.0**self.listing.lot_decimals * (draw / (1.0 - draw)) ** 1.1 * 0.3
        plain = self._uniform("round", position) < 0.2
        lots = np.where(plain, 10.0 ** np.rint(np.log10(lots)), lots)
        whole: I64 = np.maximum(np.rint(lots), 1.0).astype(np.int64)
        return whole

    def count(self, time_ns: int) -> int:
        """How many trades have happened by a time, inclusive: the position of the first one after it."""
        time_ns = min(time_ns, self.listing.delisted_ns or FAR_FUTURE)
        block = self._block_at(time_ns)
        at = self._layout(max(block - 1, 0), block + 2)
        return int(at.position[0] + np.searchsorted(at.time, time_ns, side="right"))

    def count_aggregates(self, time_ns: int) -> int:
        """As `count`, of aggregates: a sweep's aggregates all happen at once."""
        trades = self.count(time_ns)
        block = trades // BLOCK
        at = self._layout(block, block + 1)
        return block * AGGREGATES + int(np.searchsorted(at.aggregate, trades, side="left"))

    def _block_at(self, time_ns: int) -> int:
        if time_ns < self._first_slot * SLOT:
            return 0
        share = self._market.share_at(np.array([time_ns], dtype=np.int64))[0]
        return int(((time_ns // SLOT - self._first_slot) + share) * self._per_slot) // BLOCK

    def time_at(self, position: int) -> int:
        """When the trade at a position happened, in nanoseconds since 1970."""
        block = position // BLOCK
        return int(self._layout(block, block + 1).time[position - block * BLOCK])
