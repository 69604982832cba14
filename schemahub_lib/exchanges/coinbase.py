"""Coinbase Exchange (not the Advanced Trade API): ids per product, pages newest first, bounded by ids on both sides.

`before=X` alone is no forward cursor: it filters, but the page is cut from the newest end. So the way forward is by
windows `before=W&after=W+limit+1`, both bounds exclusive.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import (
    Exchange,
    Product,
    Verdict,
    ask,
    ask_until_believed,
    decode_secret,
    status_trouble,
)
from schemahub_lib.exchanges.fields import INTEGER, ISO8601, NUMBER, Field, is_integer, one_of, since_epoch
from schemahub_lib.exchanges.rows import Rows, joined
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Rejected, Request, Response, Trouble
from schemahub_lib.schemas import RAW_COMMON, Column, Table
from schemahub_lib.watermark import Watermark


@dataclass(frozen=True)
class _Window:
    """Rows between two ids, oldest first, each with its id; `oldest` and `newest` are a page's ends as told."""

    rows: Rows
    ids: Sequence[int] = ()
    oldest: int = 0
    newest: int = 0

    def after(self, last: int) -> _Window:
        """The rows with greater ids than `last`."""
        first = bisect_right(self.ids, last)
        return _Window(self.rows[first:], self.ids[first:])


class Coinbase(Exchange):
    name = "coinbase"
    base_url = "https://api.exchange.coinbase.com"
    time_path = "/time"
    rate_limit = RateLimit(units=10, seconds=1, burst=15)
    page_size = 1000
    first_position = 1
    id_column = "trade_id"
    symbol_column = "product_id"
    time_column = "time"
    raw_table = Table(
        "raw_coinbase_trades",
        (
            Column("trade_id", "STRING", "unique within a product, ascending", required=True, meaning="trade_id"),
            Column("product_id", "STRING", "e.g. BTC-USD", required=True, meaning="symbol"),
            Column("price", "DOUBLE", "in quote currency", required=True, meaning="price"),
            Column("size", "DOUBLE", "in base currency", required=True, meaning="base_amount"),
            Column(
                "time",
                "TIMESTAMP",
                "when the trade executed",
                required=True,
                time_encoding="iso8601",
                meaning="time",
            ),
            Column(
                "side",
                "STRING",
                "the maker's side, BUY or SELL: the taker's is the other",
                required=True,
                meaning="maker_side",
            ),
            *RAW_COMMON,
        ),
        partition_by_day="time",
        sort_by=("product_id", "time"),
        key=("product_id", "trade_id"),
    )

    fields = (
        Field("trade_id", "trade_id", INTEGER),
        Field("price", "price", NUMBER),
        Field("size", "size", NUMBER),
        Field("time", "time", ISO8601),
        Field("side", "side", one_of({"buy": "BUY", "sell": "SELL", "BUY": "BUY", "SELL": "SELL"})),
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/products"))
        expected = "an array of products with id, base_currency and quote_currency"
        listed = self.parse(response, 0, expected)
        try:
            return [self._product(rows.an_object(item)) for item, _ in listed]
        except (TypeError, KeyError, ValueError) as error:
            raise self.unexpected(response, expected) from error

    def _product(self, item: dict[str, Any]) -> Product:
        # {"id":"SKL-EUR","base_currency":"SKL","quote_currency":"EUR",...,"status":"online"}; no status in 2017
        status = item.get("status", "online")
        assets = (item["base_currency"], item["quote_currency"])
        return Product(item["id"], *assets, status, tradable=status == "online")

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        base, dash, quoted = symbol.partition("-")
        if not (base and dash and quoted) or "-" in quoted:
            return None
        return base, quoted

    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        product = product.upper()
        head = yield from self._window(product)
        if not head.ids:
            return
        if isinstance(start, Watermark):
            last = int(start.cursor)
        else:
            last = yield from self._last_before(product, start, head)
        while last < head.newest:
            if head.oldest <= last + 1:
                window = head.after(last)
            else:
                window = yield from self._between_ids(product, last, last + self.page_size + 1)
            if not window.ids:
                if last + self.page_size >= head.oldest:
                    return  # the head is not visible yet where this answer came from: the next run fetches it
                last = (yield from self._next_id(product, last, head.oldest)) - 1
                continue
            kept, ended = self.upto(window.rows, until)
            last = window.ids[len(kept)] - 1 if ended else window.ids[-1]
            if len(kept):
                yield self.page(kept, product, str(last))
            if ended:
                return

    def head(self, product: str) -> Flow[int | None]:
        window = yield from self._window(product.upper())
        return window.newest if window.ids else None

    def position_at(self, product: str, when: datetime) -> Flow[int | None]:
        product = product.upper()
        head = yield from self._window(product)
        if not head.ids:
            return None
        position = 1 + (yield from self._last_before(product, when, head))
        return position if position <= head.newest else None

    def between(self, product: str, low: int, high: int) -> Flow[None]:
        product = product.upper()
        newest = yield from self._window(product, low - 1, high + 1, top=high)
        if newest.newest < high:
            above = yield from self._window(product, after=high)
            if not above.ids:
                raise self.cut_short(_path(product), product, high, newest.newest)
        while newest.ids and low < newest.oldest:
            before = min(low + self.page_size, newest.oldest)
            window = yield from self._between_ids(product, low - 1, before, top=before - 1)
            if window.ids:
                yield self.page(window.rows, product, str(before - 1))
            low = before
            if not window.ids and before < newest.oldest:
                low = yield from self._next_id(product, before - 1, newest.oldest)
        if newest.ids:
            yield self.page(newest.rows, product, str(high))

    def _between_ids(self, product: str, after: int, before: int, top: int = 0) -> Flow[_Window]:
        """Every trade between two ids, both exclusive, however small the exchange's pages are.

        What is left out at the upper end because it is not to be seen yet comes with the next window, unless `top`
        says which id must be there.
        """
        parts: list[_Window] = []
        while before > after + 1:
            part = yield from self._window(product, after, before, top=before - 1 if parts else top)
            parts.insert(0, part)
            if not part.ids:
                break
            before = part.oldest
        ids = [number for part in parts for number in part.ids]
        return _Window(joined([part.rows for part in parts]), ids)

    def _next_id(self, product: str, after: int, known: int) -> Flow[int]:
        """The first id above `after`, where a whole window of ids was skipped: found by halving, not by walking."""
        low, high = after + self.page_size, known  # nothing up to low, and high exists
        while True:
            while high - low > 1:
                middle = (low + high) // 2
                found = yield from self._window(product, after, middle + 1)
                if found.ids:
                    high = found.oldest
                else:
                    low = middle
            below = yield from self._window(product, after, high, top=high - 1)
            if not below.ids:
                return high
            low, high = after, below.oldest

    def _last_before(self, product: str, start: datetime, head: _Window) -> Flow[int]:
        """The id below which every trade is older than `start`; the first that is not comes right after it.

        The exchange has no time filter, so ids are searched: outwards from the head by the rate of trades, then between
        the ends found by interpolation, each time moved a fifth of the way to the middle so that both ends close in.
        Among 10^9 trades of an uneven tape that takes about eleven requests; 45 minutes back, two or three.
        """
        since = since_epoch(start)
        if len(head.rows.rejected) == len(head.rows):
            return head.ids[0] - 1  # nothing to go by: the page is handed on, and whoever gets it will complain
        low, low_time, page = 0, None, head  # every trade up to low is older than start
        high = probe = head.newest + 1
        while True:
            shown = enumerate(zip(page.ids, page.rows.columns[self.time_column], strict=True))
            times = [(number, self.time_of(t)) for place, (number, t) in shown if place not in page.rows.rejected]
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
            page = yield from self._window(product, before=probe, top=probe - 1)

    def _window(self, product: str, after: int = 0, before: int | None = None, top: int = 0) -> Flow[_Window]:
        """The newest trades whose ids are above `after` and below `before`; `top` should be among them."""
        params: dict[str, str | int] = {"limit": self.page_size}
        if after:
            params["before"] = after  # sic: in the exchange's words, what is newer stands before
        if before is not None:
            params["after"] = before
        request = Request(_path(product), params, product=product)
        another = replace(request, params=params | {"limit": self.page_size - 1})  # its newest trade is the same one

        def judge(window: _Window) -> Verdict:
            outside = window.ids and (window.oldest <= after or (before is not None and window.newest >= before))
            return "stale" if outside else "good" if window.newest >= top else "doubtful"

        return (yield from ask_until_believed(self, request, self._read, judge, another, lambda window: window.newest))

    # [{"time":"2016-05-12T15:04:30.982824Z","trade_id":8408114,"price":"453.30000000","size":"0.04","side":"buy"},
    #  {"time":"2016-05-12T15:04:30.982654Z","trade_id":8408113,"price":"453.30000000","size":"0.1","side":"buy"}]
    # with CB-BEFORE: 8408114, the newest, and CB-AFTER: 8408113, the oldest
    def _read(self, response: Response) -> _Window:
        found = self.read_page(response, "an array of trades, newest first")
        if not len(found):
            return _Window(found)
        # A row that is no trade still may have an id; one whose id is unreadable stands with the newer one.
        ids = [
            _id_of(found.rejected[place]) if place in found.rejected else int(str(shown))
            for place, shown in enumerate(found.columns[self.id_column])
        ]
        readable = [number for number in ids if number is not None]
        if any(older >= newer for newer, older in pairwise(readable)):
            raise self.unexpected(response, "trade ids that fall from row to row")
        newest = _cursor(response, "cb-before", readable[:1])
        oldest = _cursor(response, "cb-after", readable[-1:])
        if newest is None or oldest is None:
            raise self.unexpected(response, "at least one row with a trade_id")
        newer = newest
        numbers = [newer := newer if number is None else number for number in ids]
        return _Window(found[::-1], numbers[::-1], oldest, newest)

    def trouble(self, response: Response) -> Trouble | None:
        if response.status < 300:
            return None
        try:
            message = str(json.loads(response.text)["message"])
        except (ValueError, TypeError, KeyError):
            message = repr(response.text[:80])
        if response.status == 404:
            message += " (is the product's name spelled as the exchange does, e.g. BTC-USD?)"
        return status_trouble(response, message)

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """CB-ACCESS-* headers: a base64 HMAC-SHA256 of time, method, path with query, and the (empty) body."""
        secret = decode_secret(self, credentials)
        if not credentials.passphrase:
            raise UsageError("coinbase: a key needs its passphrase too: set SCHEMAHUB_COINBASE_PASSPHRASE")
        timestamp = str(int(now))
        target = f"{request.path}?{request.query}" if request.params else request.path
        signature = hmac.digest(secret, f"{timestamp}{request.method}{target}".encode(), hashlib.sha256)
        headers = {
            "CB-ACCESS-KEY": credentials.key,
            "CB-ACCESS-SIGN": base64.b64encode(signature).decode(),
            "CB-ACCESS-TIMESTAMP": timestamp,
            "CB-ACCESS-PASSPHRASE": credentials.passphrase,
        }
        return replace(request, headers={**request.headers, **headers})


def _path(product: str) -> str:
    return f"/products/{quote(product, safe='')}/trades"


def _id_of(rejected: Rejected) -> int | None:
    """The id of a row that is no trade, where it has one."""
    row, _ = rows.parse(f"[{rejected.payload}]")[0]
    told = row.get("trade_id") if isinstance(row, dict) else None
    return int(str(told)) if is_integer(told) else None


def _cursor(response: Response, header: str, otherwise: list[int]) -> int | None:
    told = response.headers.get(header)
    return int(told) if is_integer(told) and told is not None else next(iter(otherwise), None)
