"""Bursts of volatility: where an asset's price moved far more than it usually does, found and kept in a table.

Realised volatility is the root of the sum of squared returns. Returns are between averages of a second's trades,
weighed by their size, so that prices that jump between bid and ask do not count as movement; those of an asset's venues
are averaged by their share of its trades.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from schemahub_lib.analysis.ticks import F64, I64
from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import EVENTS
from schemahub_lib.tables.lake import Lake

FEWEST_TRADES = 20  # in a burst: a few trades of a sleepy coin are none
HELD = 0.9  # of a burst's squared returns lie between its start and its end
BASIS_POINTS = 1e4

# An asset's venues, and of each its seconds in order.
_SECONDS = """
SELECT asset, exchange, symbol, list(second ORDER BY second) AS seconds, list(log_price ORDER BY second) AS log_prices,
       list(trades ORDER BY second) AS trades
FROM (
    SELECT coalesce(base_asset, symbol) AS asset, exchange, symbol,
           epoch(date_trunc('second', trade_ts))::BIGINT AS second,
           ln(sum(price * quantity) / sum(quantity)) AS log_price, count(*) AS trades
    FROM trades_unified
    WHERE trade_ts >= $start AND trade_ts < $end
    GROUP BY ALL
)
WHERE len($assets) = 0 OR list_contains($assets, asset)
GROUP BY ALL ORDER BY asset, exchange, symbol
"""


@dataclass(frozen=True)
class Search:
    """`start` and `end` bound the time looked at; without them it is the last day there is. `window` is the time over
    which volatility is realised, `threshold` how many times the median of all windows a burst's is at least."""

    start: datetime | None = None
    end: datetime | None = None
    assets: Sequence[str] = ()
    window: timedelta = timedelta(seconds=12)
    threshold: float = 8.0


@dataclass(frozen=True)
class Event:
    """One burst, of the asset's venues together. `peak_at` is where its busiest window begins; `volatility` is that
    window's and `usual` the median of all, `move` goes from its lowest to its highest price: all in basis points."""

    asset: str
    starts_at: datetime
    ends_at: datetime
    peak_at: datetime
    volatility: float
    usual: float
    ratio: float
    move: float
    trades: int
    venues: str


@dataclass(frozen=True)
class _Venue:
    """One venue's trades of an asset by seconds since the search's start."""

    exchange: str
    second: I64
    log_price: F64
    trades: I64


def find_events(lake: Lake, search: Search) -> list[Event]:
    """The bursts of a time, the most unusual first. In the table they take the place of those found there before.

    Raises UsageError without unified trades, and for a search that cannot be.
    """
    if search.window < timedelta(seconds=2) or search.threshold <= 1:
        raise UsageError("bursts are looked for in windows of at least 2 s, and above 1 times the usual")
    start, end = _period(lake, search)
    parameters = {"start": start, "end": end, "assets": list(search.assets)}
    rows = query(lake, _SECONDS, parameters=parameters).to_pylist()
    found = {
        asset: list(_bursts(asset, [_venue(row, start) for row in listed], start, end, search))
        for asset, listed in groupby(rows, itemgetter("asset"))
    }
    for asset in {*found, *search.assets}:
        _keep(lake, asset, found.get(asset, []), start, end)
    return sorted((event for events in found.values() for event in events), key=lambda event: -event.ratio)


def _period(lake: Lake, search: Search) -> tuple[datetime, datetime]:
    end = search.end
    if end is None:
        (newest,) = query(lake, "SELECT max(trade_ts) AS newest FROM trades_unified").to_pylist()
        if newest["newest"] is None:
            raise UsageError("trades_unified is empty: run the pipeline first")
        end = newest["newest"] + timedelta(microseconds=1)
    start = search.start or end - timedelta(days=1)
    if start >= end:
        raise UsageError(f"there is no trade from {start:%Y-%m-%dT%H:%M:%SZ} on")
    return start.replace(microsecond=0), end


def _venue(row: dict[str, Any], start: datetime) -> _Venue:
    second = np.asarray(row["seconds"], dtype=np.int64) - int(start.timestamp())
    return _Venue(row["exchange"], second, np.asarray(row["log_prices"]), np.asarray(row["trades"], dtype=np.int64))


def _bursts(asset: str, venues: Sequence[_Venue], start: datetime, end: datetime, search: Search) -> Iterator[Event]:
    length = int((end - start).total_seconds()) + 1
    window = min(int(search.window.total_seconds()), length)
    squares, trades = np.zeros(length), np.zeros(length, dtype=np.int64)
    for venue in venues:
        trades[venue.second] += venue.trades
    total = trades.sum()
    for venue in venues:
        # A return over a longer silence is no movement within a window.
        near = np.flatnonzero(np.diff(venue.second) < window)
        returns = np.diff(venue.log_price)[near] * BASIS_POINTS
        squares[venue.second[near + 1]] += returns**2 * (venue.trades.sum() / total)
    volatility = np.sqrt(_sums(squares, window))  # of the window that begins at each second
    usual = float(np.median(volatility[_sums(trades, window) > 0]))
    unusual = np.flatnonzero((volatility >= search.threshold * usual) & (usual > 0))
    if not len(unusual):
        return
    for run in np.split(unusual, np.flatnonzero(np.diff(unusual) > window) + 1):
        peak = int(run[volatility[run].argmax()])
        first, last = _held(squares, int(run[0]), int(run[-1]) + window)
        count = int(trades[first : last + 1].sum())
        if count < FEWEST_TRADES:
            continue
        within = [(venue, (venue.second >= first) & (venue.second <= last)) for venue in venues]
        yield Event(
            asset,
            starts_at=start + timedelta(seconds=first),
            ends_at=start + timedelta(seconds=last + 1),
            peak_at=start + timedelta(seconds=peak),
            volatility=float(volatility[peak]),
            usual=usual,
            ratio=float(volatility[peak] / usual),
            move=max(float(np.ptp(v.log_price[inside])) for v, inside in within if inside.any()) * BASIS_POINTS,
            trades=count,
            venues=",".join(sorted({venue.exchange for venue, inside in within if inside.any()})),
        )


def _sums(values: F64 | I64, window: int) -> F64:
    """The sum of each `window` values that follow each other, by the first of them."""
    until: F64 = np.concatenate([[0.0], np.cumsum(values)])
    return until[window:] - until[:-window]


def _held(squares: F64, first: int, end: int) -> tuple[int, int]:
    """The seconds from which to which most of the movement between two was."""
    share = np.cumsum(squares[first:end]) / squares[first:end].sum()
    low, high = np.searchsorted(share, [(1 - HELD) / 2, (1 + HELD) / 2])
    return first + int(low), first + int(high)


def _keep(lake: Lake, asset: str, events: Sequence[Event], start: datetime, end: datetime) -> None:
    def renewed(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        others = [row for row in rows if not start <= row["starts_at"] < end]
        found_at = {"found_at": datetime.now(UTC)}
        return [*others, *(asdict(event) | found_at for event in events)] if events or len(others) < len(rows) else None

    lake.update_partition(EVENTS, asset, renewed)
