"""Kraken spot: pages ascending from a time in nanoseconds, errors with HTTP status 200, no trade ids before late 2022.

Row times are rounded (to 100 microseconds in 2013-2020, to a double's printing since), only `last` is exact. So
`last` is the cursor, verbatim; a cursor made from a row's time starts early, and what it repeats is dropped by id or,
for rows without one, by the watermark's tail.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import TRIES, Archive, Exchange, Product, ask, decode_secret, status_trouble
from schemahub_lib.exchanges.books import Books, books_table
from schemahub_lib.exchanges.fields import (
    EPOCH_S,
    INTEGER,
    NUMBER,
    TEXT,
    Field,
    Kind,
    is_integer,
    moment,
    one_of,
    since_epoch,
)
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.exchanges.seen import ROUNDING, Seen
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Request, Response, Trouble, Value
from schemahub_lib.schemas import RAW_COMMON, RAW_PAYLOAD, Column, Table
from schemahub_lib.watermark import Watermark

TRADES = "/0/public/Trades"
REPEATS = 3  # how often a page that cannot be the next one is asked for again
THROTTLED = ("Too many requests", "Rate limit exceeded", "Temporary lockout")
UNAVAILABLE = ("EService:", "EGeneral:Internal error")
UNKNOWN_PAIR = "EQuery:Unknown asset pair"
WITH_SIDES = "trades with sides and ids, which SchemaHub reads from the API only"
CSV_SECONDS = Kind(EPOCH_S.read, bare=r"[1-9]\d{8,9}(?:\.\d{1,18})?")
_no_error = re.compile(r'\s*\{\s*"error"\s*:\s*\[\s*\]').match
_legacy_key = re.compile(r"[XZ][A-Z]{3}[XZ][A-Z]{3}").fullmatch


def _book(text: str) -> dict[str, Any]:
    (book,) = rows.parse(text, 3)["result"].values()
    return rows.an_object(book)


class Kraken(Exchange):
    name = "kraken"
    base_url = "https://api.kraken.com"
    time_path = "/0/public/Time"
    rate_limit = RateLimit(units=1, seconds=1, burst=1, per_scope=True)
    page_size = 1000
    first_position = since_epoch(datetime(2011, 1, 1, tzinfo=UTC))  # the exchange is younger than that
    id_column = "trade_id"
    symbol_column = "pair"
    time_column = "time"
    quote_assets = (
        *("USD", "EUR", "GBP", "CAD", "JPY", "CHF", "AUD", "AED", "KRW"),
        *("USDT", "USDC", "DAI", "PYUSD", "USDG", "USDQ", "USDR", "RLUSD", "EURQ", "EURR", "XBT", "ETH", "DOT"),
    )
    raw_table = Table(
        "raw_kraken_trades",
        (
            Column(
                "trade_id",
                "STRING",
                "unique within a pair; made from the row where Kraken gave none",
                required=True,
                meaning="trade_id",
            ),
            Column("pair", "STRING", "the altname, e.g. XBTUSD", required=True, meaning="symbol"),
            Column("price", "DOUBLE", "in quote asset", required=True, meaning="price"),
            Column("volume", "DOUBLE", "in base asset", required=True, meaning="base_amount"),
            Column(
                "time", "TIMESTAMP", "when the trade executed", required=True, time_encoding="epoch_s", meaning="time"
            ),
            Column("side", "STRING", "the taker's side: b or s", required=True, meaning="taker_code"),
            Column("order_type", "STRING", "the taker's order: m (market) or l (limit)"),
            Column("misc", "STRING", "as the exchange sends it, mostly empty"),
            *RAW_COMMON,
        ),
        partition_by_day="time",
        sort_by=("pair", "time"),
        key=("pair", "trade_id"),
        position="time",
    )

    fields = (
        Field("price", "price", NUMBER),
        Field("volume", "volume", NUMBER),
        Field("time", "time", EPOCH_S),
        Field("side", "side", one_of({"b": "b", "s": "s"})),
        Field("order_type", "order_type", TEXT),
        Field("misc", "misc", TEXT),
        Field("trade_id", "trade_id", INTEGER, optional=True, since=datetime(2023, 1, 1, tzinfo=UTC)),  # late 2022
    )

    # 1381095255,122.0,0.1: the time mostly in whole seconds; volumes such as 7.314e-05 occur
    archive = Archive(
        names=re.compile(r"(?P<product>[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*)(?<!\.d)\.csv"),
        others={r".*_\d+\.csv": "candles (OHLCVT), not trades", r".*\.d\.csv": "trades of a dark pool"},
        published_at=(
            "https://support.kraken.com/articles/360047543791-downloadable-historical-market-data-time-and-sales-"
        ),
        fields=(
            Field("time", "time", CSV_SECONDS),
            Field("price", "price", NUMBER),
            Field("volume", "volume", NUMBER),
        ),
        payload='{"time":"<time>","price":"<price>","volume":"<volume>","_archive":"<_archive>"}',
        ascending="time",
        header={"timestamp": "time"},
        other_widths={6: WITH_SIDES, 7: f"candles, or of {WITH_SIDES}"},
        id_made_of=("price", "volume"),
        untold=("side", "order_type", "misc"),
    )

    # {"error":[],"result":{"XBTUSDT":{"asks":[["105944.30000","0.136",1762820248]],
    #  "bids":[["105944.20000","1.212",1762820249]]}}}: price, volume, seconds of the level's last change
    books = Books(
        books_table(name, symbol_column),
        depth=500,
        request=lambda product, depth: Request(
            "/0/public/Depth", {"pair": product, "count": depth}, scope=product, product=product
        ),
        find=_book,
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/0/public/AssetPairs", scope="AssetPairs"))
        expected = "result: an object of pairs, each with altname, base and quote"
        assets: Mapping[str, Any] = {}
        try:
            pairs = {key: rows.an_object(pair) for key, pair in self._result(response, 0, expected).items()}
            lit = {key: pair for key, pair in pairs.items() if not pair["altname"].endswith(".d")}  # no dark pools
            if any("wsname" not in pair for pair in lit.values()):  # before 2019
                response = yield from ask(Request("/0/public/Assets", scope="Assets"))
                expected = "result: an object of assets, each with an altname"
                assets = {
                    key: rows.an_object(asset)["altname"] for key, asset in self._result(response, 0, expected).items()
                }
            return [self._product(key, pair, assets) for key, pair in lit.items()]
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise self.unexpected(response, expected) from error

    # "XXBTZEUR":{"altname":"XBTEUR","wsname":"XBT/EUR","base":"XXBT","quote":"ZEUR",...,"status":"online"}
    def _product(self, key: str, pair: dict[str, Any], assets: Mapping[str, str]) -> Product:
        symbol, wsname = pair["altname"], pair.get("wsname")
        if wsname is None:
            base, quote = (assets.get(pair[role], pair[role]) for role in ("base", "quote"))
        else:
            base, quote = wsname.split("/")
        status = pair.get("status", "online")  # absent before 2021
        aliases = tuple(name for name in dict.fromkeys((key, wsname)) if name and name != symbol)
        # Tokenized stocks have a class of their own, and markets of other venues a suffix to their key: AAVE/USD:BTNL.
        spot = pair.get("aclass_base", "currency") == "currency" and ":" not in key
        return Product(symbol, base, quote, status, status == "online", aliases, spot)

    def resume_cursor(self, trade_id: str, when: datetime) -> str:
        return _cursor_at(since_epoch(when))

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        # XXBTZEUR is a key with prefixed asset codes, not an altname: XXBTZ is no asset.
        return None if _legacy_key(symbol) else super().split_symbol(symbol)

    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        yield from self._forward(product, start, until)

    def head(self, product: str) -> Flow[int | None]:
        request = Request(TRADES, {"pair": product, "count": self.page_size}, scope=product, product=product)
        found = self._read((yield from ask(request))).rows
        return max(self._times(found), default=None)

    def position_at(self, product: str, when: datetime) -> Flow[int | None]:
        yield from ()
        return since_epoch(when)

    def between(self, product: str, low: int, high: int) -> Flow[None]:
        reached = yield from self._forward(product, moment(low), moment(high + 1), twice=True)
        if reached < high:
            raise self.cut_short(TRADES, product, high, reached)

    def count(self, product: str, low: int, high: int) -> Flow[int | None]:
        # Ids count a pair's trades; rows of the years before there were ids count from the first.
        numbers = []
        for position in (low, high + 1):
            found = self.since((yield from self._page(product, _cursor_at(position))).rows, moment(position))
            told = [int(str(shown)) for shown in found.columns["trade_id"] if shown is not None]
            if len(found) or position == low:
                numbers.append(told[0] if told else None)
            else:  # there is nothing after it
                request = Request(TRADES, {"pair": product, "count": 1}, scope=product, product=product)
                told = [int(str(i)) for i in self._read((yield from ask(request))).rows.columns["trade_id"] if i]
                numbers.append(told[-1] + 1 if told else None)
        first, after = numbers
        return None if after is None else after - (first or 1)

    def _forward(
        self, product: str, start: Watermark | datetime, until: datetime | None, *, twice: bool = False
    ) -> Flow[int]:
        """Hand on every trade after `start` and before `until`; the microsecond up to which it came.

        With `twice` the first page is believed only when another request tells the same.
        """
        seen, reached = Seen(start), 0
        since = start.cursor if isinstance(start, Watermark) else _cursor_at(since_epoch(start))
        if twice and isinstance(start, datetime):
            found = yield from self._confirmed(product, since, start)
        else:
            found = yield from self._after(product, since, seen)
        while found:
            before, since = since, found.last
            page = self.since(found.rows, start) if isinstance(start, datetime) else found.rows
            kept, ended = self.upto(page, until)
            times = self._times(kept)
            if ended and until is not None:
                reached = since_epoch(until)
                since = _cursor_at(times[-1]) if times else before
            else:
                reached = max([reached, *self._times(found.rows)[-1:]])
            fresh = seen.fresh(kept)
            if len(fresh):
                yield self.page(fresh, product, since)
            if ended or len(found.rows) < self.page_size:
                break
            found = yield from self._after(product, since, seen)
        return reached

    def _confirmed(self, product: str, since: str, start: datetime) -> Flow[_Found | None]:
        """The first page, once two requests, which no cache can answer with one page, tell the same first trade from
        `start` on: nothing else would show here that it is a stale one."""

        def first(found: _Found) -> Value:
            return next(iter(self.since(found.rows, start).columns[RAW_PAYLOAD.name]), None)

        for _ in range(TRIES):
            found = yield from self._page(product, since)
            other = yield from self._page(product, str(int(since) - 1))
            if first(found) == first(other):
                return found if len(found.rows) else None
        message = f"answers for the trades since {start} differ {TRIES} times in a row"
        raise UnexpectedResponse(message, exchange=self.name, endpoint=TRADES, product=product)

    def _times(self, page: Rows) -> list[int]:
        return [self.time_of(shown) for place, shown in enumerate(page.columns["time"]) if place not in page.rejected]

    def _after(self, product: str, since: str, seen: Seen) -> Flow[_Found | None]:
        """The page after `since`; None when there is nothing new, or only a cached page again."""
        for _ in range(REPEATS):
            found = yield from self._page(product, since)
            if not len(found.rows):
                return None
            if int(found.last) > int(since):
                break
        else:
            return None
        if seen.misses_ids_before(found.rows):
            # Ids were skipped, the page is a stale one, or trades share the cursor's very nanosecond. From one earlier
            # on, the last trade seen comes again, and what follows it.
            for _ in range(TRIES):
                again = yield from self._page(product, str(int(since) - 1))
                if int(again.last) > int(since) and not seen.misses_ids_before(again.rows):
                    return again
        return found

    def _page(self, product: str, since: str) -> Flow[_Found]:
        params: dict[str, str | int] = {"pair": product, "since": since, "count": self.page_size}
        response = yield from ask(Request(TRADES, params, scope=product, product=product))
        return self._read(response)

    # {"error":[],"result":{"XBTUSDT":[["105433.60000","0.00027625",1762795433.9717445,"b","l","",10218208]],
    #  "last":"1762820035982277754"}}: price, volume, seconds, side, order type, misc and, since late 2022, trade id
    def _read(self, response: Response) -> _Found:
        expected = "result: an object of one pair's rows and `last`, an integer"
        result = self._result(response, 2, expected)
        pairs = [found for key, found in result.items() if key != "last"]
        last = result.get("last")
        if len(pairs) != 1 or not isinstance(pairs[0], list) or not is_integer(last):
            raise self.unexpected(response, expected)
        return _Found(rows.read(pairs[0], self.fields, _members), str(last))

    def _result(self, response: Response, depth: int, expected: str) -> dict[str, Any]:
        body = self.parse(response, depth, expected)
        result = body.get("result") if isinstance(body, dict) else None
        if not isinstance(result, dict):
            raise self.unexpected(response, expected)
        return result

    def trouble(self, response: Response) -> Trouble | None:
        if response.status >= 300 or _no_error(response.text):
            return status_trouble(response, repr(response.text[:80]))
        try:
            listed = list(json.loads(response.text)["error"])
        except (ValueError, TypeError, KeyError):
            return None  # of another shape: what reads it will say so
        errors = ", ".join(error for error in listed if isinstance(error, str) and error.startswith("E"))
        if not errors:
            return None  # W… is only a warning
        if any(signal in errors for signal in THROTTLED):
            return Trouble("throttled", errors)
        if any(signal in errors for signal in UNAVAILABLE):
            return Trouble("unavailable", errors)
        if UNKNOWN_PAIR in errors:
            errors += " (delisted, or mistyped: pairs are spelled as in XBTUSD, XXBTZUSD or XBT/USD)"
        return Trouble("rejected", errors)

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """API-Key and API-Sign for private endpoints: a base64 HMAC-SHA512 of the path and the SHA-256 of the nonce and
        the form. Public endpoints know no keys; their requests stay as they are.
        """
        secret = decode_secret(self, credentials)
        if not request.path.startswith("/0/private/"):
            return request
        nonce = int(now * 1000)
        request = replace(request, params={"nonce": nonce, **request.params})
        digest = hashlib.sha256(f"{nonce}{request.query}".encode()).digest()
        signature = base64.b64encode(hmac.digest(secret, request.path.encode() + digest, hashlib.sha512)).decode()
        return replace(request, headers={**request.headers, "API-Key": credentials.key, "API-Sign": signature})


def _members(value: Any) -> dict[str, Any]:
    """A row's values by name. Raises ValueError."""
    if not isinstance(value, list) or len(value) < 6:
        raise ValueError("the row is not an array of six fields or more")
    price, volume, time, side, order_type, misc, *more = value
    row = {"price": price, "volume": volume, "time": time, "side": side, "order_type": order_type, "misc": misc}
    unnamed = {f"[{at}]": value for at, value in enumerate(more[1:], 7)}
    return row | ({"trade_id": INTEGER.read(more[0], "trade_id")} if more else {}) | unnamed


def _cursor_at(microseconds: int) -> str:
    """A cursor that skips no trade printed with this time or a later one, whatever its exact time is."""
    return str(max(microseconds * 1000 - ROUNDING, 0))


@dataclass(frozen=True)
class _Found:
    """A page as Kraken sent it; rows of the time without ids have None for theirs."""

    rows: Rows
    last: str
