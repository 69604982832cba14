"""A window of an asset's trades at its venues, tick by tick: what a replay shows, and what can be said about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from schemahub_lib.analysis.lag import Lag, lag
from schemahub_lib.analysis.ticks import BASIS_POINTS, F64, I64, Ticks
from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.query import query
from schemahub_lib.tables.lake import Lake

LONGEST = timedelta(hours=1)

_TRADES = """
SELECT exchange, symbol, quote_asset, epoch_us(trade_ts) AS time, price, quantity,
       (CASE side WHEN 'BUY' THEN 1 WHEN 'SELL' THEN -1 ELSE 0 END)::DOUBLE AS side
FROM trades_unified
WHERE trade_ts >= $start AND trade_ts < $end AND coalesce(base_asset, symbol) = $asset
  AND (len($venues) = 0 OR list_contains($venues, exchange))
ORDER BY exchange, symbol, trade_ts, try_cast(trade_id AS HUGEINT), trade_id
"""


@dataclass(frozen=True)
class Venue:
    """One exchange's market of the asset within the window."""

    exchange: str
    symbol: str
    quote: str | None
    ticks: Ticks
    quantity: F64  # in base asset


@dataclass(frozen=True)
class Mover:
    """A venue in the order in which they moved. `behind` is how far it is behind the first; None for the first itself,
    and for those whose trades do not tell."""

    exchange: str
    symbol: str
    behind: Lag | None


@dataclass(frozen=True)
class Disagreement:
    """How far the highest of the venues' middle prices was above the lowest, in basis points, from each time on."""

    time: I64  # microseconds since 1970
    apart: F64


@dataclass(frozen=True)
class Replay:
    """`start` and `end` bound the window, which may be without a trade."""

    asset: str
    start: datetime
    end: datetime
    venues: Sequence[Venue]

    def movers(self) -> list[Mover]:
        """The venues, who moved first first; none where their trades do not tell, and those that do not at the end."""
        if not self.venues:
            return []
        first = max(self.venues, key=lambda venue: len(venue.ticks))
        found = self._behind(first)
        earliest, ahead = min(found, key=lambda one: one[1].ms if one[1] else 0.0, default=(first, None))
        if ahead is not None and ahead.ms < 0:
            first, found = earliest, self._behind(earliest)
        told = sorted(((venue, behind) for venue, behind in found if behind), key=lambda one: one[1].ms)
        untold = [(venue, None) for venue, behind in found if not behind]
        if not told:
            return []
        return [Mover(venue.exchange, venue.symbol, behind) for venue, behind in ((first, None), *told, *untold)]

    def _behind(self, first: Venue) -> list[tuple[Venue, Lag | None]]:
        return [(venue, lag(first.ticks, venue.ticks)) for venue in self.venues if venue is not first]

    def disagreement(self) -> Disagreement:
        """From the first time at which two venues have traded. Venues that quote in other assets (USD, USDT) are
        compared as if these were one, so that what stands between these counts too."""
        middles = [venue.ticks.middle() for venue in self.venues if len(venue.ticks)]
        if len(middles) < 2:
            return Disagreement(np.array([], dtype=np.int64), np.array([]))
        time = np.unique(np.concatenate([at for at, _ in middles]))
        last = np.full((len(middles), len(time)), np.nan)
        for row, (at, log_price) in zip(last, middles, strict=True):
            place = np.searchsorted(at, time, side="right") - 1
            row[place >= 0] = log_price[place[place >= 0]]
        told = np.isfinite(last).sum(axis=0) >= 2
        apart = np.nanmax(last[:, told], axis=0) - np.nanmin(last[:, told], axis=0)
        return Disagreement(np.rint(time[told] * 1e3).astype(np.int64), apart * BASIS_POINTS)


def replay(
    lake: Lake,
    asset: str,
    start: datetime,
    length: timedelta = timedelta(seconds=12),
    venues: Sequence[str] = (),
    as_of: datetime | None = None,
) -> Replay:
    """The trades of a window, of all venues or those named (`COINBASE`), now or as the lake knew them at `as_of`.

    Raises UsageError for a window that cannot be, and without unified trades.
    """
    if not timedelta() < length <= LONGEST:
        raise UsageError(f"a replay's window is longer than nothing, and {LONGEST} at most")
    end = start + length
    parameters = {"start": start, "end": end, "asset": asset, "venues": list(venues)}
    rows = query(lake, _TRADES, as_of, parameters=parameters)
    names = list(zip(rows["exchange"].to_pylist(), rows["symbol"].to_pylist(), strict=True))
    edges = [0, *(place for place, (one, next_) in enumerate(pairwise(names), 1) if one != next_), len(names)]
    columns = {name: rows[name].to_numpy() for name in ("time", "price", "side", "quantity")}
    found = []
    for first, after in pairwise(edges) if names else ():
        part = {name: column[first:after] for name, column in columns.items()}
        ticks = Ticks(part["time"], part["price"], part["side"])
        found.append(Venue(*names[first], rows["quote_asset"][first].as_py(), ticks, part["quantity"]))
    return Replay(asset, start, end, found)
