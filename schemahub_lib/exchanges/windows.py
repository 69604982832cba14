"""Exchanges that answer with the newest trades before an id, newest first: read forward by windows of ids.

The page after an id cannot be asked for: whatever is asked, a page is cut from the newest end. So the way forward is by
windows that end a page above the last id known.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import ClassVar

from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import Exchange, Verdict, ask_until_believed
from schemahub_lib.exchanges.fields import is_integer, since_epoch
from schemahub_lib.exchanges.rows import Rows, joined
from schemahub_lib.http.messages import Flow, Rejected, Request, Response
from schemahub_lib.watermark import Watermark


@dataclass(frozen=True)
class Window:
    """Trades between two ids, oldest first, each with its id; from `oldest` to `newest` none is missing."""

    rows: Rows
    ids: Sequence[int] = ()
    oldest: int = 0
    newest: int = 0

    def after(self, last: int) -> Window:
        """The trades with greater ids than `last`."""
        first = bisect_right(self.ids, last)
        return Window(self.rows[first:], self.ids[first:], max(self.oldest, last + 1), self.newest)


class NewestFirst(Exchange):
    """An exchange of this kind: it says how a page is asked for and how it is read, and may know how to find a time."""

    bounded_below: ClassVar[bool]  # whether a page can be asked for that ends above an older id

    @abstractmethod
    def page_request(self, product: str, before: int | None = None, after: int = 0) -> Request:
        """Ask for the newest `page_size` trades whose ids are below `before` and, if `bounded_below`, above `after`."""

    @abstractmethod
    def read_rows(self, response: Response) -> Rows:
        """A page's rows as they stand, newest first. Raises UnexpectedResponse."""

    def last_before(self, product: str, start: datetime, head: Window) -> Flow[int]:
        """The id below which every trade is older than `start`; the first that is not comes right after it.

        `head` is the newest page, which has trades. Without a time filter ids are searched: outwards from the head by
        the rate of trades, then between the ends found by interpolation, each time moved a fifth of the way to the
        middle so that both ends close in. Among 10^9 trades of an uneven tape that takes about eleven requests; 45
        minutes back, two or three. Raises UnexpectedResponse.
        """
        since = since_epoch(start)
        if len(head.rows.rejected) == len(head.rows):
            return head.ids[0] - 1  # nothing to go by: the page is handed on, and whoever gets it will complain
        low, low_time, page = 0, None, head  # every trade up to low is older than start
        high = probe = head.newest + 1
        while True:
            times = self.times(page)
            young = [(number, time) for number, time in times if time >= since]
            if not young:
                low, low_time = probe - 1, times[-1][1] if times else None
            elif len(young) < len(times):
                return young[0][0] - 1
            else:
                high, high_time = young[0]
            if high - low <= 1:
                return low
            middle = aim = (low + high) // 2
            if low_time is not None:
                estimate = low + (high - low) * (since - low_time) // max(high_time - low_time, 1)
                aim = estimate + (middle - estimate) // 5
            elif len(young) > 1:
                newest, newest_time = young[-1]
                aim = high - (newest - high) * (high_time - since) // max(newest_time - high_time, 1)
            probe = min(max(aim + self.page_size // 2, low + 2), high)
            page = yield from self.window(product, before=probe, top=probe - 1)

    def ends(self, response: Response, ids: Sequence[int]) -> tuple[int | None, int | None]:
        """A page's newest and oldest id, from those of its rows that can be read, newest first."""
        return next(iter(ids), None), next(reversed(ids), None)

    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        head = yield from self.window(product)
        if not head.ids:
            return
        if isinstance(start, Watermark):
            last = int(start.cursor)
        else:
            last = yield from self.last_before(product, start, head)
        while last < head.newest:
            if head.oldest <= last + 1:
                window = head.after(last)
            else:
                window = yield from self._between_ids(product, last, last + self.page_size + 1)
            if not window.ids:
                if last + self.page_size >= head.oldest:
                    return  # the head is not visible yet where this answer came from: the next run fetches it
                last = (yield from self.next_id(product, last, head.oldest)) - 1
                continue
            kept, ended = self.upto(window.rows, until)
            last = window.ids[len(kept)] - 1 if ended else window.ids[-1]
            if len(kept):
                yield self.page(kept, product, str(last))
            if ended:
                return

    def head(self, product: str) -> Flow[int | None]:
        window = yield from self.window(product)
        return window.newest if window.ids else None

    def position_at(self, product: str, when: datetime) -> Flow[int | None]:
        head = yield from self.window(product)
        if not head.ids:
            return None
        position = 1 + (yield from self.last_before(product, when, head))
        return position if position <= head.newest else None

    def between(self, product: str, low: int, high: int) -> Flow[None]:
        newest = yield from self.window(product, low - 1, high + 1, top=high)
        if newest.newest < high:
            above = yield from self.window(product, after=high)
            if not above.ids:
                raise self.cut_short(self.page_request(product).path, product, high, newest.newest)
        while newest.ids and low < newest.oldest:
            before = min(low + self.page_size, newest.oldest)
            window = yield from self._between_ids(product, low - 1, before, top=before - 1)
            if window.ids:
                yield self.page(window.rows, product, str(before - 1))
            low = before
            if not window.ids and before < newest.oldest:
                low = yield from self.next_id(product, before - 1, newest.oldest)
        if newest.ids:
            yield self.page(newest.rows, product, str(high))

    def times(self, window: Window) -> list[tuple[int, int]]:
        """The ids of a window's trades, each with its time in microseconds; without the rows that are no trades."""
        shown = enumerate(zip(window.ids, window.rows.columns[self.time_column], strict=True))
        return [(number, self.time_of(t)) for place, (number, t) in shown if place not in window.rows.rejected]

    def window(self, product: str, after: int = 0, before: int | None = None, top: int = 0) -> Flow[Window]:
        """The newest trades whose ids are above `after` and below `before`; `top` should be among them."""
        request = self.page_request(product, before, after)
        # Its newest trade is the same one.
        another = replace(request, params={**request.params, "limit": self.page_size - 1})
        expected = top if self.bounded_below else max(top, after + 1)

        def judge(window: Window) -> Verdict:
            below = self.bounded_below and window.oldest <= after
            outside = window.ids and (below or (before is not None and window.newest >= before))
            return "stale" if outside else "good" if window.newest >= expected else "doubtful"

        def newest(window: Window) -> int:
            return window.newest

        found = yield from ask_until_believed(self, request, self.read_window, judge, another, newest)
        return found.after(after)

    def _between_ids(self, product: str, after: int, before: int, top: int = 0) -> Flow[Window]:
        """Every trade between two ids, both exclusive, however small the exchange's pages are.

        What is left out at the upper end because it is not to be seen yet comes with the next window, unless `top`
        says which id must be there.
        """
        parts: list[Window] = []
        while before > after + 1:
            part = yield from self.window(product, after, before, top=before - 1 if parts else top)
            parts.insert(0, part)
            if not part.ids:
                break
            before = part.oldest
        ids = [number for part in parts for number in part.ids]
        return Window(joined([part.rows for part in parts]), ids)

    def next_id(self, product: str, after: int, known: int) -> Flow[int]:
        """The first id above `after`, where a whole window of ids was skipped: found by halving, not by walking."""
        low, high = after + self.page_size, known  # nothing up to low, and high exists
        while True:
            while high - low > 1:
                middle = (low + high) // 2
                found = yield from self.window(product, after, middle + 1)
                if found.ids:
                    high = found.ids[0]
                else:
                    low = middle
            below = yield from self.window(product, after, high, top=high - 1)
            if not below.ids:
                return high
            low, high = after, below.ids[0]

    def read_window(self, response: Response) -> Window:
        """A page as a window. Raises UnexpectedResponse, also where the ids do not fall from row to row."""
        found = self.read_rows(response)
        if not len(found):
            return Window(found)
        # A row that is no trade still may have an id; one whose id is unreadable stands with the newer one.
        ids = [
            self._id_of(found.rejected[place]) if place in found.rejected else int(str(shown))
            for place, shown in enumerate(found.columns[self.id_column])
        ]
        readable = [number for number in ids if number is not None]
        if any(older >= newer for newer, older in pairwise(readable)):
            raise self.unexpected(response, "trade ids that fall from row to row")
        newest, oldest = self.ends(response, readable)
        if newest is None or oldest is None:
            raise self.unexpected(response, f"at least one row with a {self.id_column}")
        newer = newest
        numbers = [newer := newer if number is None else number for number in ids]
        return Window(found[::-1], numbers[::-1], oldest, newest)

    def _id_of(self, rejected: Rejected) -> int | None:
        """The id of a row that is no trade, where it has one."""
        row, _ = rows.parse(f"[{rejected.payload}]")[0]
        (key,) = (expected.key for expected in self.fields if expected.column == self.id_column)
        told = row.get(key) if isinstance(row, dict) else None
        return int(str(told)) if is_integer(told) else None
