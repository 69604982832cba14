"""OKX spot: ids per instrument, pages newest first, before an id or before a time; three months of history.

Answers come in an envelope whose `code` tells how it went, mostly with HTTP status 200. A page can be bounded by a
newer id, which is documented, but not surely by an older one besides. Everything public is told without a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import Product, ask, ask_until_believed, status_trouble
from schemahub_lib.exchanges.books import Books, books_table
from schemahub_lib.exchanges.fields import EPOCH_MS_OR_US, INTEGER, NUMBER, TEXT, Field, one_of, since_epoch
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.exchanges.windows import NewestFirst, Window
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Request, Response, Trouble
from schemahub_lib.schemas import RAW_COMMON, Column, Table

HISTORY = "/api/v5/market/history-trades"
BY_TIME = 2  # `type`: `after` is a time in milliseconds, and not an id
THROTTLED = "50011"
# Temporarily unavailable, an endpoint that timed out, busy systems, a system error.
UNAVAILABLE = ("50001", "50004", "50013", "50026")
UNKNOWN_INSTRUMENT = "51001"
_no_error = re.compile(r'\s*\{\s*"code"\s*:\s*"0"').match


def _book(text: str) -> dict[str, Any]:
    ((_, book),) = rows.parse(text, 1)["data"]
    return rows.an_object(rows.parse(book, 1))


class Okx(NewestFirst):
    name = "okx"
    base_url = "https://openapi.okx.com"
    time_path = "/api/v5/public/time"
    # 20 in 2 seconds are documented. At that very rate OKX refuses some, and ccxt keeps a tenth away (#26973).
    rate_limit = RateLimit(units=18, seconds=2, burst=1)
    page_size = 100
    first_position = 1
    bounded_below = False
    id_column = "trade_id"
    symbol_column = "inst_id"
    time_column = "ts"
    separator = "-"
    raw_table = Table(
        "raw_okx_trades",
        (
            Column("trade_id", "STRING", "unique within an instrument, ascending", required=True, meaning="trade_id"),
            Column("inst_id", "STRING", "e.g. BTC-USDT", required=True, meaning="symbol"),
            Column("px", "DOUBLE", "in quote currency", required=True, meaning="price"),
            Column("sz", "DOUBLE", "in base currency", required=True, meaning="base_amount"),
            Column(
                "ts",
                "TIMESTAMP",
                "when the trade executed",
                required=True,
                time_encoding="epoch_ms_or_us",
                meaning="time",
            ),
            Column("side", "STRING", "the taker's side: buy or sell", required=True, meaning="taker_side"),
            Column("source", "STRING", "the order's: 0 normal, 1 of the Enhanced Liquidity Program"),
            *RAW_COMMON,
        ),
        partition_by_day="ts",
        sort_by=("inst_id", "ts"),
        key=("inst_id", "trade_id"),
    )

    fields = (
        Field("tradeId", "trade_id", INTEGER, json="string"),
        Field("instId", "inst_id", TEXT),
        Field("px", "px", NUMBER),
        Field("sz", "sz", NUMBER),
        Field("ts", "ts", EPOCH_MS_OR_US, json="string"),
        Field("side", "side", one_of({"buy": "buy", "sell": "sell"})),
        Field("source", "source", TEXT, optional=True, since=datetime(2022, 1, 1, tzinfo=UTC)),
    )

    # {"code":"0","msg":"","data":[{"asks":[["41006.8","0.60038921","0","1"]],"bids":[["41006.3","0.30178218","0","2"]],
    #  "ts":"1629966436396"}]}: price, size, nothing any more, orders
    books = Books(
        books_table(name, symbol_column, "epoch_ms_or_us"),
        depth=400,
        request=lambda product, depth: Request(
            "/api/v5/market/books", {"instId": product, "sz": depth}, product=product
        ),
        fields=(Field("ts", "time", EPOCH_MS_OR_US),),
        find=_book,
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/api/v5/public/instruments", {"instType": "SPOT"}))
        expected = "data: an array of instruments with instId, baseCcy, quoteCcy and state"
        listed = self._data(response, expected)
        try:
            return [self._product(item) for item, _ in listed if rows.an_object(item)["state"] != "preopen"]
        except (TypeError, KeyError, ValueError) as error:
            raise self.unexpected(response, expected) from error

    # {"instType":"SPOT","instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT","state":"live",...}
    # What is still to open lacks some of that, and has no trades.
    def _product(self, item: Mapping[str, Any]) -> Product:
        status = item["state"]
        return Product(item["instId"], item["baseCcy"], item["quoteCcy"], status, tradable=status == "live")

    def page_request(self, product: str, before: int | None = None, after: int = 0) -> Request:
        params: dict[str, str | int] = {"instId": product, "limit": self.page_size}
        if before is not None:
            params["after"] = before  # sic: in the exchange's words, what is older comes after
        return Request(HISTORY, params, product=product)

    # {"code":"0","msg":"","data":[
    #  {"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"0","px":"29963.2","tradeId":"242720720",
    #   "ts":"1654161646974"},
    #  {"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"0","px":"29964.1","tradeId":"242720719",
    #   "ts":"1654161641568"}]}
    def read_rows(self, response: Response) -> Rows:
        return rows.read(self._data(response, "data: an array of trades, newest first"), self.fields)

    def last_before(self, product: str, start: datetime, head: Window) -> Flow[int]:
        since = since_epoch(start)
        # The exchange tells times in milliseconds; the page has what is older than the one asked for.
        request = self.page_request(product, before=-(-since // 1000))
        request = replace(request, params={**request.params, "type": BY_TIME})
        another = replace(request, params={**request.params, "limit": self.page_size - 1})
        # Nothing in a page tells that it is the right one, so two are asked for.
        page = yield from ask_until_believed(
            self, request, self.read_window, lambda window: "doubtful", another, lambda window: window.newest
        )
        while page.ids:
            times = self.times(page)
            young = [number for number, time in times if time >= since]
            if len(young) < len(times):
                return young[0] - 1 if young else page.newest
            page = yield from self.window(product, before=page.oldest, top=page.oldest - 1)
        return 0

    def count(self, product: str, low: int, high: int) -> Flow[int | None]:
        # Ids count all trades there ever were, but the oldest are not told any more.
        oldest = yield from self.window(product, low - 1, low + self.page_size)
        first = oldest.ids[0] if oldest.ids else (yield from self.next_id(product, low - 1, high))
        return high - first + 1

    def _data(self, response: Response, expected: str) -> list[rows.Row]:
        body = self.parse(response, 1, expected)
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list):
            raise self.unexpected(response, expected)
        return data

    def trouble(self, response: Response) -> Trouble | None:
        if response.status < 300 and _no_error(response.text):
            return None
        try:
            answer = json.loads(response.text)
            code, message = str(answer["code"]), f"{answer['msg']} (code {answer['code']})"
        except (ValueError, TypeError, KeyError):
            return status_trouble(response, repr(response.text[:80]))  # a good status: what reads it will say so
        told = status_trouble(response, message)
        if code == "0":
            return told
        told = told or Trouble("rejected", message)
        if code == THROTTLED:
            return replace(told, kind="throttled")
        if code in UNAVAILABLE:
            return replace(told, kind="unavailable")
        if code == UNKNOWN_INSTRUMENT:
            message = f"{told.message} (delisted, or mistyped: instruments are spelled as in BTC-USDT)"
            return replace(told, message=message)
        return told

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """Public endpoints know no keys, and count by IP address alone: their requests stay as they are."""
        return request
