"""Coinbase Exchange (not the Advanced Trade API): ids per product, pages newest first, bounded by ids on both sides.

`before=X` alone is no forward cursor: it filters, but the page is cut from the newest end. So the way forward is by
windows `before=W&after=W+limit+1`, both bounds exclusive.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
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
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Record, Rejected, Request, Response, Trouble
from schemahub_lib.schemas import RAW_COMMON, Column, Table
from schemahub_lib.watermark import Watermark


@dataclass(frozen=True)
class _Window:
    """Trades between two ids, oldest first, each with its id; `oldest` and `newest` are the ids at its ends."""

    entries: Sequence[tuple[int, rows.Entry]] = ()
    oldest: int = 0
    newest: int = 0


class Coinbase(Exchange):
    name = "coinbase"
    base_url = "https://api.exchange.coinbase.com"
    time_path = "/time"
    rate_limit = RateLimit(units=10, seconds=1, burst=15)
    page_size = 1000
    id_column = "trade_id"
    symbol_column = "product_id"
    time_column = "time"
    tickers = {"CGLD": "CELO"}  # noqa: RUF012 - a constant of the class
    raw_table = Table(
        "raw_coinbase_trades",
        (
            Column("trade_id", "STRING", "unique within a product, ascending", required=True),
            Column("product_id", "STRING", "e.g. BTC-USD", required=True),
            Column("price", "DOUBLE", "in quote currency", required=True),
            Column("size", "DOUBLE", "in base currency", required=True),
            Column("time", "TIMESTAMP", "when the trade executed", required=True, time_encoding="iso8601"),
            Column("side", "STRING", "the maker's side, BUY or SELL: the taker's is the other", required=True),
            *RAW_COMMON,
        ),
        partition_by_day="time",
        sort_by=("product_id", "time"),
        key=("product_id", "trade_id"),
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/products"))
        expected = "an array of products with id, base_currency and quote_currency"
        listed = self.parse(response, 0, expected)
        try:
            return [self._product(rows.fields(item)) for item, _ in listed]
        except (TypeError, KeyError, ValueError) as error:
            raise self.unexpected(response, expected) from error

    def _product(self, item: dict[str, Any]) -> Product:
        # {"id":"SKL-EUR","base_currency":"SKL","quote_currency":"EUR",...,"status":"online"}; no status in 2017
        status = item.get("status", "online")
        base, quoted = self.ticker(item["base_currency"]), self.ticker(item["quote_currency"])
        return Product(item["id"], base, quoted, status, tradable=status == "online")

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        base, dash, quoted = symbol.partition("-")
        if not (base and dash and quoted) or "-" in quoted:
            return None
        return self.ticker(base), self.ticker(quoted)

    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        product = product.upper()
        head = yield from self._window(product)
        if not head.entries:
            return
        if isinstance(start, Watermark):
            last = int(start.cursor)
        else:
            last = yield from self._last_before(product, start, head)
        while last < head.newest:
            if head.oldest <= last + 1:
                window = [entry for entry in head.entries if entry[0] > last]
            else:
                window = yield from self._between_ids(product, last, last + self.page_size + 1, head.newest)
            if not window:
                if last + self.page_size >= head.oldest:
                    return  # the head is not visible yet where this answer came from: the next run fetches it
                last = (yield from self._next_id(product, last, head.oldest)) - 1
                continue
            kept, ended = self.upto([entry for _, entry in window], until)
            last = window[len(kept)][0] - 1 if ended else window[-1][0]
            if kept:
                yield rows.page(kept, str(last))
            if ended:
                return

    def _between_ids(self, product: str, after: int, before: int, head: int) -> Flow[list[tuple[int, rows.Entry]]]:
        """Every trade between two ids, both exclusive, however small the exchange's pages are."""
        parts: list[Sequence[tuple[int, rows.Entry]]] = []
        while before > after + 1:
            part = yield from self._window(product, after, before, top=min(before - 1, head))
            if not part.entries:
                break
            parts.append(part.entries)
            before = part.oldest
        return [entry for part in reversed(parts) for entry in part]

    def _next_id(self, product: str, after: int, known: int) -> Flow[int]:
        """The first id above `after`, where a whole window of ids was skipped: found by halving, not by walking."""
        low, high = after + self.page_size, known  # nothing up to low, and high exists
        while True:
            while high - low > 1:
                middle = (low + high) // 2
                found = yield from self._window(product, after, middle + 1)
                if found.entries:
                    high = found.oldest
                else:
                    low = middle
            below = yield from self._window(product, after, high, top=high - 1)
            if not below.entries:
                return high
            low, high = after, below.oldest

    def _last_before(self, product: str, start: datetime, head: _Window) -> Flow[int]:
        """The id below which every trade is older than `start`; the first that is not comes right after it.

        The exchange has no time filter, so ids are searched: outwards from the head by the rate of trades, then between
        the ends found by interpolation, each time moved a fifth of the way to the middle so that both ends close in.
        Among 10^9 trades of an uneven tape that takes about eleven requests; 45 minutes back, two or three.
        """
        since = rows.since_epoch(start)
        low, low_time, page = 0, None, head  # every trade up to low is older than start
        high = probe = head.newest + 1
        while True:
            times = [(number, self.time_of(e)) for number, e in page.entries if not isinstance(e, Rejected)]
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
        request = Request(f"/products/{quote(product, safe='')}/trades", params, product=product)

        def judge(window: _Window) -> Verdict:
            outside = window.entries and (window.oldest <= after or (before is not None and window.newest >= before))
            return "stale" if outside else "good" if window.newest >= top else "doubtful"

        return (yield from ask_until_believed(self, request, self._read, judge))

    # [{"time":"2016-05-12T15:04:30.982824Z","trade_id":8408114,"price":"453.30000000","size":"0.04","side":"buy"},
    #  {"time":"2016-05-12T15:04:30.982654Z","trade_id":8408113,"price":"453.30000000","size":"0.1","side":"buy"}]
    # with CB-BEFORE: 8408114, the newest, and CB-AFTER: 8408113, the oldest
    def _read(self, response: Response) -> _Window:
        expected = "an array of trades, newest first"
        found = self.parse(response, 0, expected)
        if not isinstance(found, list):
            raise self.unexpected(response, expected)
        if not found:
            return _Window()
        product = response.request.product

        def trade(value: Any, text: str) -> Record:
            row = rows.fields(value)
            side = row["side"].upper() if isinstance(row["side"], str) else row["side"]
            return {
                "trade_id": rows.integer(row["trade_id"], "trade_id"),
                "product_id": product,
                "price": rows.number(row["price"], "price"),
                "size": rows.number(row["size"], "size"),
                "time": rows.time_text(row["time"], "iso8601"),
                "side": rows.one_of(side, "side", ("BUY", "SELL")),
                "_raw_payload": text,
            }

        entries = rows.read(found, trade)
        ids = [
            _trade_id(value) if isinstance(e, Rejected) else int(str(e["trade_id"]))
            for (value, _), e in zip(found, entries, strict=True)
        ]
        readable = [number for number in ids if number is not None]
        if any(older >= newer for newer, older in pairwise(readable)):
            raise self.unexpected(response, "trade ids that fall from row to row")
        newest = _cursor(response, "cb-before", readable[:1])
        oldest = _cursor(response, "cb-after", readable[-1:])
        if newest is None or oldest is None:
            raise self.unexpected(response, "at least one row with a trade_id")
        numbered: list[tuple[int, rows.Entry]] = []
        newer = newest
        for number, entry in zip(ids, entries, strict=True):
            newer = newer if number is None else number  # a row whose id is unreadable stands with the newer one
            numbered.append((newer, entry))
        return _Window(numbered[::-1], oldest, newest)

    def trouble(self, response: Response) -> Trouble | None:
        if response.status < 300:
            return None
        try:
            message = json.loads(response.text)["message"]
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


def _trade_id(row: Any) -> int | None:
    """The id of a row that is no trade, where it has one."""
    told = row.get("trade_id") if isinstance(row, dict) else None
    return int(str(told)) if rows.is_integer(told) else None


def _cursor(response: Response, header: str, otherwise: list[int]) -> int | None:
    told = response.headers.get(header)
    return int(told) if rows.is_integer(told) and told is not None else next(iter(otherwise), None)
