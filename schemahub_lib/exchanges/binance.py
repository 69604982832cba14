"""Binance spot: ids per symbol, pages ascending from an id; a time is found through the aggregated trades."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import Archive, Exchange, Product, Verdict, ask, ask_until_believed, status_trouble
from schemahub_lib.exchanges.books import Books, books_table
from schemahub_lib.exchanges.fields import (
    EPOCH_MS_OR_US,
    FLAG,
    INTEGER,
    NUMBER,
    Field,
    Kind,
    is_integer,
    microseconds,
    moment,
    since_epoch,
)
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Request, Response, Trouble
from schemahub_lib.schemas import RAW_COMMON, Column, Table
from schemahub_lib.watermark import Watermark

TOO_MANY = (-1003,)
HISTORY = "/api/v3/historicalTrades"
# An internal error, an unknown outcome, a timeout, an overload, a service shutting down.
TRANSIENT = (-1000, -1001, -1006, -1007, -1008, -1016)
UNKNOWN_SYMBOL = -1121
CSV_FLAG = Kind(FLAG.read, values={"True": True, "true": True, "False": False, "false": False})
AGGREGATED = "aggregated trades, whose ids are not those of trades"
FUTURES = "trades of futures, whose ids are not those of spot trades"


class Binance(Exchange):
    name = "binance"
    base_url = "https://api.binance.com"
    time_path = "/api/v3/time"
    # The whole minute's weight may come at once; a small burst keeps room for others behind the same IP.
    rate_limit = RateLimit(units=6000, seconds=60, burst=600)
    page_size = 1000
    page_weight = 25
    first_position = 0
    id_column = "id"
    symbol_column = "symbol"
    time_column = "time"
    quote_assets = (
        *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USDS", "USD1", "BFUSD", "RLUSD", "XUSD", "PAX", "UST"),
        *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "DAI", "VAI"),
        *("EUR", "EURI", "AEUR", "GBP", "AUD", "BRL", "TRY", "RUB", "UAH", "NGN", "ZAR", "JPY", "MXN", "ARS", "COP"),
        *("CZK", "PLN", "RON", "KZT", "IDR", "IDRT", "BIDR", "BKRW", "BVND"),
    )
    raw_table = Table(
        "raw_binance_trades",
        (
            Column(
                "id",
                "STRING",
                "unique within a symbol, ascending; not an aggregated trade's id",
                required=True,
                meaning="trade_id",
            ),
            Column("symbol", "STRING", "e.g. BTCUSDT", required=True, meaning="symbol"),
            Column("price", "DOUBLE", "in quote asset", required=True, meaning="price"),
            Column("qty", "DOUBLE", "in base asset", required=True, meaning="base_amount"),
            Column(
                "time",
                "TIMESTAMP",
                "when the trade executed",
                required=True,
                time_encoding="epoch_ms_or_us",
                meaning="time",
            ),
            *RAW_COMMON,
            Column("quote_qty", "DOUBLE", "price times qty, cut to 8 decimals by the exchange", meaning="quote_amount"),
            Column(
                "is_buyer_maker",
                "BOOLEAN",
                "true: the taker sold; false: the taker bought",
                required=True,
                meaning="is_buyer_maker",
            ),
            Column("is_best_match", "BOOLEAN", "whether the trade was at the best price"),
        ),
        partition_by_day="time",
        sort_by=("symbol", "time"),
        key=("symbol", "id"),
    )

    fields = (
        Field("id", "id", INTEGER),
        Field("price", "price", NUMBER),
        Field("qty", "qty", NUMBER),
        Field("time", "time", EPOCH_MS_OR_US),
        Field("quoteQty", "quote_qty", NUMBER, optional=True, since=datetime(2019, 1, 1, tzinfo=UTC)),
        Field("isBuyerMaker", "is_buyer_maker", FLAG),
        Field("isBestMatch", "is_best_match", FLAG, optional=True),
    )

    # 51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True
    archive = Archive(
        names=re.compile(r"(?P<product>[^\W_]+)-trades-\d{4}-\d\d(?:-\d\d)?\.csv"),
        others={
            r".*-aggTrades-.*": AGGREGATED,
            r".*_\w+-trades-.*": FUTURES,
            r"[^-]+-\d+[a-z]+-\d{4}-.*": "candles, not trades",
        },
        published_at="https://data.binance.vision/?prefix=data/spot/",
        fields=(
            Field("id", "id", INTEGER),
            Field("price", "price", NUMBER),
            Field("qty", "qty", NUMBER),
            Field("quoteQty", "quote_qty", NUMBER),
            Field("time", "time", EPOCH_MS_OR_US),
            Field("isBuyerMaker", "is_buyer_maker", CSV_FLAG),
            Field("isBestMatch", "is_best_match", CSV_FLAG),
        ),
        payload=(
            '{"id":<id>,"price":"<price>","qty":"<qty>","quoteQty":"<quoteQty>","time":<time>,'
            '"isBuyerMaker":<isBuyerMaker>,"isBestMatch":<isBestMatch>,"_archive":"<_archive>"}'
        ),
        ascending="id",
        header={"tradeid": "id"},
        # Files of futures have the very names of those of spot trades, but no isBestMatch.
        other_widths={6: FUTURES, 8: AGGREGATED, 12: "candles, not trades"},
        checksums=True,
    )

    # {"lastUpdateId":9699548377,"bids":[["56902.15000000","0.00371500"]],"asks":[["56902.16000000","0.01000000"]]};
    # until 2019 with an empty array behind each quantity. Up to 500 levels cost as much as a page of trades.
    books = Books(
        books_table(name, symbol_column),
        depth=500,
        request=lambda product, depth: Request(
            "/api/v3/depth", {"symbol": product, "limit": depth}, weight=5 if depth <= 100 else 25, product=product
        ),
        fields=(Field("lastUpdateId", "sequence", INTEGER),),
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/api/v3/exchangeInfo", weight=20))
        expected = "an object with symbols, each with symbol, baseAsset, quoteAsset and status"
        listed = self.parse(response, 1, expected)
        try:
            return [self._product(rows.an_object(item)) for item, _ in listed["symbols"]]
        except (TypeError, KeyError, ValueError) as error:
            raise self.unexpected(response, expected) from error

    def _product(self, item: dict[str, Any]) -> Product:
        # {"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC","filters":[...],...}
        status = item["status"]
        spot = item.get("isSpotTradingAllowed", True)  # absent in 2018
        assets = (item["baseAsset"], item["quoteAsset"])
        return Product(item["symbol"], *assets, status, tradable=status == "TRADING", spot=spot)

    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        if isinstance(start, Watermark):
            from_id: int | None = int(start.cursor) + 1
        else:
            from_id = yield from self._first_since(product, start)
        while from_id is not None:
            found = yield from self._from_id(product, from_id)
            fresh = self.since(found, start) if isinstance(start, datetime) else found
            kept, ended = self.upto(fresh, until)
            # The last row's id may be unreadable, but n rows reach n ids up at least.
            last = _ids(fresh[len(kept) :])[0] - 1 if ended else max([*_ids(found), from_id + len(found) - 1])
            if len(kept):
                yield self.page(kept, product, str(last))
            if ended or len(found) < self.page_size:
                return
            from_id = last + 1

    def head(self, product: str) -> Flow[int | None]:
        # A page, as the newest row may be malformed.
        params: dict[str, str | int] = {"symbol": product, "limit": self.page_size}
        response = yield from ask(Request(HISTORY, params, weight=self.page_weight, product=product))
        found = self._read(response)
        if len(found) and not _ids(found):
            raise self.unexpected(response, "at least one trade with an id")
        return max(_ids(found), default=None)

    def position_at(self, product: str, when: datetime) -> Flow[int | None]:
        # The exchange tells times in milliseconds, so a time between two of them is at the later one.
        return (yield from self._first_since(product, moment(-(-since_epoch(when) // 1000) * 1000)))

    def between(self, product: str, low: int, high: int) -> Flow[None]:
        while low <= high:
            found = yield from self._from_id(product, low)
            ids = _ids(found)
            last = max([*ids, low + len(found) - 1])
            kept = found if last <= high else _up_to(found, high)
            if len(kept):
                yield self.page(kept, product, str(min(last, high)))
            if last < high and len(found) < self.page_size:
                raise self.cut_short(HISTORY, product, high, last)
            low = last + 1

    # [{"a":3928743436,"p":"67774.00000000","q":"0.10400000","f":6193332819,"l":6193332823,"T":1775571561875,
    #   "m":false,"M":true}]: one aggregate of the trades f to l
    def _first_since(self, symbol: str, start: datetime) -> Flow[int | None]:
        """The id of the first trade at or after `start`; None when there is none yet."""
        since = since_epoch(start) // 1000
        params: dict[str, str | int] = {"symbol": symbol, "startTime": since, "limit": 1}
        request = Request("/api/v3/aggTrades", params, weight=4, product=symbol)
        expected = "an array of at most one aggregated trade, with f and T"

        def read(response: Response) -> tuple[int, int] | None:
            try:
                found = [rows.an_object(value) for value, _ in self.parse(response, 0, expected)]
                times = [(int(row["f"]), microseconds(row["T"], "epoch_ms_or_us")) for row in found]
            except (TypeError, KeyError, ValueError) as error:
                raise self.unexpected(response, expected) from error
            return next(iter(times), None)

        def judge(found: tuple[int, int] | None) -> Verdict:
            return "stale" if found and found[1] < since * 1000 else "good"

        first = yield from ask_until_believed(self, request, read, judge)
        return first and first[0]

    def _from_id(self, symbol: str, from_id: int) -> Flow[Rows]:
        params: dict[str, str | int] = {"symbol": symbol, "fromId": from_id, "limit": self.page_size}
        request = Request(HISTORY, params, weight=self.page_weight, product=symbol)
        # From one earlier on; before the very first there is none, and one row less is another answer too.
        other = {"fromId": from_id - 1} if from_id else {"limit": self.page_size - 1}
        another = replace(request, params=params | other)

        def judge(found: Rows) -> Verdict:
            ids = _ids(found)
            if ids and ids[0] < from_id:
                return "stale"
            return "doubtful" if _ids(found[:1]) > [from_id] else "good"

        def next_id(found: Rows) -> int | None:
            return next((number for number in _ids(found) if number >= from_id), None)

        return (yield from ask_until_believed(self, request, self._read, judge, another, next_id))

    # [{"id":28457,"price":"0.88780000","qty":"95.00000000","quoteQty":"84.34100000","time":1525447926543,
    #   "isBuyerMaker":false,"isBestMatch":true}]
    def _read(self, response: Response) -> Rows:
        expected = "an array of trades with ascending ids"
        found = self.read_page(response, expected)
        if any(older >= newer for older, newer in pairwise(_ids(found))):
            raise self.unexpected(response, expected)
        return found

    def trouble(self, response: Response) -> Trouble | None:
        if response.status < 300:
            return None
        try:
            answer = json.loads(response.text)
            code, message = int(answer["code"]), str(answer["msg"])
        except (ValueError, TypeError, KeyError):
            return status_trouble(response, repr(response.text[:80]))
        told = status_trouble(response, f"{message} (code {code})")
        if told is None or told.kind != "rejected":
            return told
        if code in TOO_MANY:
            return replace(told, kind="throttled")
        if code in TRANSIENT:
            return replace(told, kind="unavailable")
        if code == UNKNOWN_SYMBOL:
            return replace(told, message=f"{told.message} Symbols have no separator, e.g. BTCUSDT")
        return told

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """Market data needs the key's header alone; nothing of it is signed."""
        return replace(request, headers={**request.headers, "X-MBX-APIKEY": credentials.key})

    def pause_after(self, response: Response) -> float:
        """To the end of the exchange's minute, when it has counted nearly all of the minute's weight."""
        used = response.headers.get("x-mbx-used-weight-1m", "0")
        if not is_integer(used) or int(used) < 0.95 * Binance.rate_limit.units:
            return 0.0
        try:
            return 60.0 - parsedate_to_datetime(response.headers["date"]).second
        except (KeyError, ValueError):
            return 60.0


def _ids(page: Rows) -> list[int]:
    return [int(str(shown)) for place, shown in enumerate(page.columns["id"]) if place not in page.rejected]


def _up_to(page: Rows, high: int) -> Rows:
    """A page's rows before the first id above `high`."""
    for place, shown in enumerate(page.columns["id"]):
        if place not in page.rejected and int(str(shown)) > high:
            return page[:place]
    return page
