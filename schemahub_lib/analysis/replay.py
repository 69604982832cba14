"""A window of an asset's trades at its venues, tick by tick: what a replay shows, and what can be said about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from schemahub_lib.analysis.lag import Lag, lag
from schemahub_lib.analysis.money import DOLLARS
from schemahub_lib.analysis.ticks import BASIS_POINTS, F64, I64, Ticks, runs
from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.query import DIALECT, PAGE, Parameter, query
from schemahub_lib.tables.lake import Lake

LONGEST = timedelta(hours=1)

# Of more trades than are kept one by one (`most`), those that are first, last, cheapest and dearest in each stretch of
# time: a line through them looks like one through all. Where several are, their ids decide, so that the same window is
# the same replay.
_TRADES = """
WITH trades AS (
  SELECT exchange, symbol, quote_asset, CAST(round(to_unixtime(trade_ts) * 1e6) AS BIGINT) AS time, price, quantity,
         CASE side WHEN 'BUY' THEN 1e0 WHEN 'SELL' THEN -1e0 ELSE 0e0 END AS side, trade_id,
         coalesce(quote_asset IN (DOLLARS), FALSE) AS for_dollars
  FROM trades_unified
  WHERE trade_ts >= :start AND trade_ts < :end
    -- coalesce(base_asset, symbol) would read every symbol
    AND (base_asset = :asset OR canonical_symbol = :asset OR base_asset IS NULL AND symbol = :asset)
    AND (:venues = '' OR contains(split(:venues, ','), exchange))
),
counted AS (
  SELECT 60000 AS most, for_dollars, count(*) AS number, count(DISTINCT concat(exchange, ' ', symbol)) AS markets,
         min(time) AS begins, max(time) AS ends
  FROM trades GROUP BY for_dollars ORDER BY for_dollars DESC LIMIT 1
),
stretches AS (
  SELECT exchange, symbol,
         min_by(trade_id, ROW(time, trade_id)) AS earliest, max_by(trade_id, ROW(time, trade_id)) AS latest,
         min_by(trade_id, ROW(price, trade_id)) AS cheapest, max_by(trade_id, ROW(price, trade_id)) AS dearest
  FROM trades JOIN counted USING (for_dollars)
  WHERE number > most
  GROUP BY exchange, symbol, floor((time - begins) * floor(most / 4e0 / markets) / (ends - begins + 1))
),
kept AS (
  SELECT DISTINCT exchange, symbol, trade_id, TRUE AS tells
  FROM stretches CROSS JOIN UNNEST(ARRAY[earliest, latest, cheapest, dearest]) AS told (trade_id)
)
SELECT exchange, symbol, quote_asset, time, price, quantity, side, number AS of_trades
FROM trades JOIN counted USING (for_dollars) LEFT JOIN kept USING (exchange, symbol, trade_id)
WHERE number <= most OR tells
ORDER BY exchange, symbol, time, TRY_CAST(trade_id AS DECIMAL(38, 0)), trade_id
""".replace("DOLLARS", ", ".join(f"'{name}'" for name in sorted(DOLLARS)))  # Athena takes parameters in WHERE only


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
    """How far the highest of the venues' middle prices was above the lowest, from each time on, and how far each was
    above the mean of all, NaN before it traded: all in basis points."""

    time: I64  # microseconds since 1970
    apart: F64
    above_mean: F64  # a row for each venue


@dataclass(frozen=True)
class Replay:
    """`start` and `end` bound the window, which may be without a trade. `trades` is how many it has; the venues hold
    fewer where there are too many to show."""

    asset: str
    start: datetime
    end: datetime
    trades: int
    venues: Sequence[Venue]

    @property
    def thinned(self) -> bool:
        """Whether only some of the window's trades are held."""
        return sum(len(venue.ticks) for venue in self.venues) < self.trades

    def movers(self) -> list[Mover]:
        """The venues, who moved first first; none where their trades do not tell, and those that do not at the end."""
        if not self.venues or self.thinned:
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
        """From the first time at which two venues have traded."""
        middles = [venue.ticks.middle() for venue in self.venues]
        if len(middles) < 2:
            return Disagreement(np.array([], dtype=np.int64), np.array([]), np.empty((len(middles), 0)))
        time = np.unique(np.concatenate([at for at, _ in middles]))
        last = np.full((len(middles), len(time)), np.nan)
        for row, (at, log_price) in zip(last, middles, strict=True):
            place = np.searchsorted(at, time, side="right") - 1
            row[place >= 0] = log_price[place[place >= 0]]
        told = np.isfinite(last).sum(axis=0) >= 2
        last = last[:, told] * BASIS_POINTS
        apart = np.nanmax(last, axis=0) - np.nanmin(last, axis=0)
        return Disagreement(np.rint(time[told] * 1e3).astype(np.int64), apart, last - np.nanmean(last, axis=0))


def sentences(shown: Replay, movers: Sequence[Mover]) -> list[str]:
    """Who moved first, in words."""
    if shown.thinned:
        return ["who moved first is not told of so many trades: a shorter window tells"]
    if not movers:
        return ["who moved first cannot be told: too few trades, too little movement, or one venue only"]
    first, *others = movers
    lines = []
    for other in others:
        if other.behind is None:
            lines.append(f"how far {other.exchange} {other.symbol} is behind cannot be told")
        elif other.behind.sure:
            lines.append(
                f"{first.exchange} leads {other.exchange} by {other.behind.ms:.0f} ms ± {other.behind.error:.0f}"
            )
        else:
            span = f"{other.behind.ms:.0f} ms ± {other.behind.error:.0f}"
            lines.append(f"{first.exchange} and {other.exchange} moved together ({span})")
    return lines


def replay(
    lake: Lake,
    asset: str,
    start: datetime,
    length: timedelta = timedelta(seconds=12),
    venues: Sequence[str] = (),
    as_of: datetime | None = None,
) -> Replay:
    """The trades of a window, of all venues or those named (`COINBASE`), now or as the lake knew them at `as_of`.

    Of an asset (`BTC`) they are those for dollars or tokens that stand for one, if there are any; a symbol (`BTC-EUR`,
    as it is canonically spelled) is one market at each venue.

    Of more than 60,000 trades some are kept, that tell how the price went. Raises UsageError for a window that cannot
    be, and without unified trades.
    """
    if not timedelta() < length <= LONGEST:
        raise UsageError("a replay's window is longer than nothing, and an hour at most")
    end = start + length
    parameters: dict[str, Parameter] = {"start": start, "end": end, "asset": asset, "venues": ",".join(venues)}
    rows = query(lake, _TRADES, as_of, parameters=parameters, dialect=DIALECT, limits=PAGE)
    found = []
    for market in runs(rows, "exchange", "symbol"):
        exchange, symbol, quote = (market[name][0].as_py() for name in ("exchange", "symbol", "quote_asset"))
        time, price, side, quantity = (market[name].to_numpy() for name in ("time", "price", "side", "quantity"))
        found.append(Venue(exchange, symbol, quote, Ticks(time, price, side), quantity))
    return Replay(asset, start, end, rows["of_trades"][0].as_py() if found else 0, found)
