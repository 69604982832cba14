"""Bursts of volatility: where an asset's price moved far more than it usually does, found and kept in a table.

Realised volatility is the root of the sum of squared returns. Returns are between averages of a second's trades,
weighed by their size, so that prices that jump between bid and ask do not count as movement; those of an asset's venues
are averaged by their share of its trades.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from schemahub_lib.analysis.ticks import BASIS_POINTS, F64, I64, runs
from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.query import DIALECT, Parameter, query
from schemahub_lib.schemas import EVENTS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

LONGEST = timedelta(days=31)
MARGIN = 5  # windows before and after the time looked at
FEWEST_TRADES = 20  # in a burst's busiest window: a few trades of a sleepy coin are none
HELD = 0.9  # of a burst's squared returns lie between its start and its end

# The seconds with trades of an asset's venues, those of each venue in order.
_SECONDS = """
SELECT coalesce(base_asset, symbol) AS asset, exchange, symbol, CAST(floor(to_unixtime(trade_ts)) AS BIGINT) AS second,
       ln(sum(price * quantity) / sum(quantity)) AS log_price, count(*) AS trades
FROM trades_unified
WHERE trade_ts >= :start AND trade_ts < :end
  AND (:assets = '' OR contains(split(:assets, ','), coalesce(base_asset, symbol)))
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
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
    """One venue's trades of an asset by the seconds in which there were any, counted from where the search begins.
    `returns` go from each of these seconds to the next, in basis points."""

    exchange: str
    second: I64
    returns: F64
    trades: I64

    def traded(self, first: int, last: int) -> bool:
        return bool(((self.second >= first) & (self.second <= last)).any())

    def moved(self, first: int, last: int) -> float:
        """From the lowest to the highest price, from the one before a second to that of another."""
        within = (self.second[1:] >= first) & (self.second[1:] <= last)
        return float(np.ptp(np.concatenate([[0.0], np.cumsum(self.returns[within])])))


def find_events(lake: Lake, search: Search) -> list[Event]:
    """The bursts that begin within a time, the most unusual first. In the table they take the place of those that were
    found to begin there before.

    Raises UsageError where there is no table of unified trades, and for a search that cannot be.
    """
    if search.window < timedelta(seconds=2) or search.threshold <= 1:
        raise UsageError("bursts are looked for in windows of at least 2 s, and above 1 times the usual")
    start, end = _period(lake, search)
    # What is under way when the time begins began before it, and what begins within it may go on after it.
    around = (start - MARGIN * search.window, end + MARGIN * search.window)
    parameters: dict[str, Parameter] = {"start": around[0], "end": around[1], "assets": ",".join(search.assets)}
    found = {}
    for rows in runs(query(lake, _SECONDS, parameters=parameters, dialect=DIALECT), "asset"):
        asset = rows["asset"][0].as_py()
        found[asset] = [event for event in _bursts(asset, rows, *around, search) if start <= event.starts_at < end]
    for asset in {*found, *(search.assets or _assets_kept(lake))}:
        _keep(lake, asset, found.get(asset, []), start, end)
    return sorted((event for events in found.values() for event in events), key=lambda event: -event.ratio)


def _period(lake: Lake, search: Search) -> tuple[datetime, datetime]:
    end = search.end
    if end is None:
        newest = _newest(existing(lake, TRADES_UNIFIED.name))
        if newest is None:
            raise UsageError("trades_unified is empty: run the pipeline first")
        end = newest + timedelta(microseconds=1)
    start = (search.start or end - timedelta(days=1)).replace(microsecond=0)
    if start >= end:
        raise UsageError(f"there is no trade from {start:%Y-%m-%dT%H:%M:%SZ} on")
    if end - start > LONGEST:
        raise UsageError(f"bursts are looked for in {LONGEST.days} days at a time")
    return start, end


def _newest(table: IcebergTable) -> datetime | None:
    """The time of the newest trade, as the table's manifests tell it."""
    from pyiceberg.conversions import from_bytes

    field = table.schema().find_field("trade_ts")
    kind: Any = field.field_type
    highs = [(task.file.upper_bounds or {}).get(field.field_id) for task in table.scan().plan_files()]
    times: list[Any] = [from_bytes(kind, high) for high in highs if high is not None]
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=max(times)) if times else None


def _bursts(asset: str, rows: pa.Table, start: datetime, end: datetime, search: Search) -> Iterator[Event]:
    length = int((end - start).total_seconds()) + 1
    window = int(search.window.total_seconds())
    venues = [_venue(seconds, start, window) for seconds in runs(rows, "exchange", "symbol")]
    squares, trades = np.zeros(length), np.zeros(length, dtype=np.int64)
    for venue in venues:
        trades[venue.second] += venue.trades
    total = trades.sum()
    for venue in venues:
        squares[venue.second[1:]] += venue.returns**2 * (venue.trades.sum() / total)
    volatility, count = (
        np.sqrt(_sums(squares, window)),
        _sums(trades, window),
    )  # of the window that begins at each second
    moving = volatility[volatility > 0]
    if not len(moving):
        return
    usual = float(np.median(moving))
    unusual = np.flatnonzero(volatility >= search.threshold * usual)
    for run in np.split(unusual, np.flatnonzero(np.diff(unusual) > window) + 1) if len(unusual) else ():
        peak = int(run[volatility[run].argmax()])
        if count[peak] < FEWEST_TRADES:
            continue
        first, last = _held(squares, int(run[0]), int(run[-1]) + window)
        yield Event(
            asset,
            starts_at=start + timedelta(seconds=first),
            ends_at=start + timedelta(seconds=last + 1),
            peak_at=start + timedelta(seconds=peak),
            volatility=float(volatility[peak]),
            usual=usual,
            ratio=float(volatility[peak] / usual),
            move=max(venue.moved(first, last) for venue in venues),
            trades=int(trades[first : last + 1].sum()),
            venues=",".join(sorted({venue.exchange for venue in venues if venue.traded(first, last)})),
        )


def _venue(rows: pa.Table, start: datetime, window: int) -> _Venue:
    second = rows["second"].to_numpy() - int(start.timestamp())
    returns = np.diff(rows["log_price"].to_numpy()) * BASIS_POINTS
    returns[np.diff(second) >= window] = 0.0  # what changed over a longer silence did not move within a window
    return _Venue(rows["exchange"][0].as_py(), second, returns, rows["trades"].to_numpy())


def _sums(values: F64 | I64, window: int) -> F64:
    """The sum of each `window` values that follow each other, by the first of them."""
    until = np.concatenate([[0.0], np.cumsum(values)])
    sums: F64 = until[window:] - until[:-window]
    return np.where(sums > 1e-9, sums, 0.0)  # what is left of sums that should cancel out


def _held(squares: F64, first: int, end: int) -> tuple[int, int]:
    """The seconds from which to which most of the movement between two was."""
    share = np.cumsum(squares[first:end]) / squares[first:end].sum()
    low, high = np.searchsorted(share, [(1 - HELD) / 2, (1 + HELD) / 2])
    return first + int(low), first + int(high)


def _assets_kept(lake: Lake) -> set[str]:
    found = lake.find(EVENTS.name)
    return set(found.scan(selected_fields=("asset",)).to_arrow()["asset"].to_pylist()) if found else set()


def _keep(lake: Lake, asset: str, events: Sequence[Event], start: datetime, end: datetime) -> None:
    found_at = datetime.now(UTC)

    def renewed(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        within = {row["starts_at"]: row for row in rows if start <= row["starts_at"] < end}
        fresh = [asdict(event) for event in events]
        if [{**row, "found_at": None} for row in within.values()] == [{**row, "found_at": None} for row in fresh]:
            return None
        others = [row for row in rows if row["starts_at"] not in within]
        return [*others, *(row | {"found_at": found_at} for row in fresh)]

    lake.update_partition(EVENTS, asset, renewed)
