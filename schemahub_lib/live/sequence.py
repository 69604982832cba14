"""What of a stream's trades came: ids go up by one from trade to trade, so one that is skipped is a trade missed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import since_epoch
from schemahub_lib.http.messages import Record
from schemahub_lib.live.feeds.base import Trade
from schemahub_lib.tables.state import Intervals, cover
from schemahub_lib.watermark import Watermark

KEPT = 100  # stretches of ids that are remembered
GAP_MOST = 50_000  # trades of a gap that are fetched; what is more is an ingest's work
WAITING_MOST = 2 * GAP_MOST  # trades of a stream that wait to be recorded; what is dropped is fetched again
APART = 4  # microseconds: the feed and the REST API may tell the time of one trade a microsecond apart


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids that were skipped, `low` to `high`, and when the trades before and after them executed."""

    symbol: str
    low: int
    high: int
    since: int
    until: int

    def __len__(self) -> int:
        return self.high - self.low + 1


class Ids:
    """The ids of a stream that came, in whatever order and however often."""

    def __init__(self) -> None:
        self._known: Intervals = ()
        self._last: Trade | None = None

    @property
    def last(self) -> Trade | None:
        """The trade with the highest id."""
        return self._last

    def saw(self, trade: Trade) -> bool:
        """Note a trade; whether it is new."""
        if any(low <= trade.id <= high for low, high in self._known):
            return False
        self._known = cover(self._known, trade.id, trade.id)[-KEPT:]
        if self._last is None or trade.id > self._last.id:
            self._last = trade
        return True

    def skipped(self, before: Trade | None, trade: Trade) -> Gap | None:
        """What is missing between the last trade there was and a new one."""
        if before is None or trade.id <= before.id + 1:
            return None
        return Gap(trade.symbol, before.id + 1, trade.id - 1, before.time, trade.time)


class Tape:
    """A stream's trades that are not recorded yet. Only such are handed out as follow each other without a gap."""

    def __init__(self, exchange: Exchange, symbol: str) -> None:
        self._exchange, self._symbol = exchange, symbol
        # By id: when, and what; None where there is no trade.
        self._waiting: OrderedDict[int, tuple[int, Record | None]] = OrderedDict()

    def add(self, trade: Trade) -> None:
        self._waiting[trade.id] = (trade.time, trade.record)
        if len(self._waiting) > WAITING_MOST:
            self._waiting.popitem(last=False)

    def settled(self, gap: Gap, trades: Iterable[Trade]) -> None:
        """Take in all the trades that there are of a gap: its other ids have none."""
        came = {trade.id: (trade.time, trade.record) for trade in trades}
        for number in range(gap.low, gap.high + 1):
            self._waiting.setdefault(number, came.get(number, (gap.since, None)))

    def forget(self) -> None:
        """Wait for no trade any more."""
        self._waiting.clear()

    def behind(self, mark: Watermark | None) -> Gap | None:
        """What is missing between a watermark and the first trade after it that waits."""
        if mark is None or not mark.last_trade_id.isdecimal():
            return None
        last = int(mark.last_trade_id)
        first = min((number for number in self._waiting if number > last), default=last + 1)
        if first == last + 1:
            return None
        return Gap(self._symbol, last + 1, first - 1, since_epoch(mark.last_ts), self._waiting[first][0])

    def ready(self, mark: Watermark | None) -> list[Record]:
        """The trades that follow a watermark without a gap, or each other where there is none yet; those up to the
        watermark are forgotten.

        Where positions are times, a time at either end may be that of another trade too, unless the neighbour is apart:
        the newest are held back until then, and the oldest left out where no watermark says what is before them.
        """
        if mark is not None and not mark.last_trade_id.isdecimal():
            return []
        last = min(self._waiting, default=0) - 1 if mark is None else int(mark.last_trade_id)
        self._waiting = OrderedDict((number, told) for number, told in self._waiting.items() if number > last)
        following: list[tuple[int, Record | None]] = []
        while (told := self._waiting.get(last + 1 + len(following))) is not None:
            following.append(told)
        if self._exchange.raw_table.position == "time":
            apart = [n for n in range(1, len(following)) if following[n][0] - following[n - 1][0] >= APART] or [0]
            following = following[apart[0] if mark is None else 0 : apart[-1]]
        return [record for _, record in following if record is not None]
