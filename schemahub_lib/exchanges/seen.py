"""Kraken's rows that come again, told from new ones: by their ids, or where there are none by all that they show."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

from schemahub_lib.exchanges.fields import microseconds
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.http.messages import Record, Value
from schemahub_lib.watermark import Watermark

ROUNDING = 100_000  # nanoseconds: the coarsest grid Kraken has printed row times on


class Seen:
    """What of a pair's tape is known already, so that a row that comes again is dropped and a new one gets its id.

    A row without an id gets `x<microseconds>-<price>-<volume>-<side><type>-<n>`, n counting equal rows from 0.
    """

    def __init__(self, start: Watermark | datetime) -> None:
        self.last_id = -1  # while none was seen
        self.moment = 0  # microseconds: the time of the last row without an id
        self.equal: Counter[str] = Counter()  # rows at that moment, by all that they show
        self.repeated: Counter[str] = Counter()  # those of them that the exchange will send again
        if isinstance(start, Watermark):
            if start.last_trade_id.isdecimal():
                self.last_id = int(start.last_trade_id)
            else:
                shown = [trade_id.rpartition("-")[0] for trade_id in start.tail or (start.last_trade_id,)]
                self.moment = int(shown[0][1:].partition("-")[0])
                self.equal = Counter(shown)
                if int(start.cursor) <= self.moment * 1000 - ROUNDING:  # made from the row's time, see _cursor_at
                    self.repeated = Counter(shown)

    def misses_ids_before(self, page: Rows) -> bool:
        """Whether the first id of `page` does not come right after the last one seen."""
        ids = (int(str(shown)) for shown in page.columns["trade_id"] if shown is not None)
        return self.last_id >= 0 and next(ids, 0) > self.last_id + 1

    def fresh(self, page: Rows) -> Rows:
        """The rows not seen before, each with an id."""
        seen_before = self.last_id
        ids: list[Value] = [None] * len(page)
        kept: list[int] = []
        for place, shown in enumerate(page.columns["trade_id"]):
            if place in page.rejected:
                kept.append(place)
            elif shown is None:
                ids[place] = self._made_id({name: values[place] for name, values in page.columns.items()})
                if ids[place] is not None:
                    kept.append(place)
            elif (number := int(str(shown))) > seen_before:
                self.last_id = max(number, self.last_id)
                ids[place] = shown
                kept.append(place)
        return page.with_column("trade_id", ids).only(kept)

    def _made_id(self, record: Record) -> str | None:
        """The id of a row without one; None when the row was seen before."""
        printed = microseconds(record["time"], "epoch_s")
        if printed < self.moment and self.repeated:
            return None
        if printed != self.moment:
            self.moment = printed
            self.equal.clear()
            self.repeated.clear()
        price, volume = (f"{Decimal(str(record[name])).normalize():f}" for name in ("price", "volume"))
        shown = f"x{printed}-{price}-{volume}-{record['side']}{record['order_type']}"
        if self.repeated[shown] > 0:
            self.repeated[shown] -= 1
            return None
        self.equal[shown] += 1
        return f"{shown}-{self.equal[shown] - 1}"
