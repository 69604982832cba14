"""OKX (`https://openapi.okx.com`): newest first, before an id or a time, three months back; errors with a code."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from schemahub_lib.simulator.api import Answer, Api, Call, Handler, Refused, whole_number
from schemahub_lib.simulator.limits import TokenBuckets
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.simulator.source import Dialect, Json, Stream, decimals
from schemahub_lib.simulator.tape import Trades

MILLISECOND = 1_000_000
KEPT = 90 * 86_400 * SECOND  # "the last 3 months"
PAGE_LIMIT = 100
NEWEST_LIMIT = 500
BOOK_LIMIT = 400
REQUESTS = {  # in two seconds
    "/api/v5/public/time": 10,
    "/api/v5/public/instruments": 20,
    "/api/v5/market/trades": 100,
    "/api/v5/market/history-trades": 20,
    "/api/v5/market/books": 40,
}


def product(listing: Listing, delisted: bool) -> Json | None:
    if delisted:
        return None  # OKX forgets an instrument
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": listing.asset.code,
        "category": "1",
        "ctMult": "",
        "ctType": "",
        "ctVal": "",
        "ctValCcy": "",
        "expTime": "",
        "futureSettlement": False,
        "instFamily": "",
        "instId": listing.symbol,
        "instType": "SPOT",
        "lever": "10",
        "listTime": str(listing.listed_ns // MILLISECOND),
        "lotSz": f"{10.0**-listing.lot_decimals:.{listing.lot_decimals}f}",
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "minSz": "0.00001",
        "optType": "",
        "quoteCcy": listing.venue.quote,
        "ruleType": "normal",
        "settleCcy": "",
        "state": "live",
        "stk": "",
        "tickSz": f"{10.0**-listing.price_decimals:.{listing.price_decimals}f}",
        "uly": "",
    }


def assets(listing: Listing) -> dict[str, Json]:
    return {}  # OKX lists its currencies to account holders only


def level(price: str, size: str, now_ns: int) -> Json:
    return [price, size, "0", "1"]


DIALECT = Dialect("okx", product, assets, level)


def rows(listing: Listing, trades: Trades) -> list[str]:
    """`{"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"0","px":"29963.2","tradeId":"242720720","ts":"…"}`

    Prices and sizes are without their trailing zeros.
    """
    places = listing.price_decimals
    columns = zip(
        np.where(trades.buy, "buy", "sell").tolist(),
        _short(f"%d.%0{listing.lot_decimals}d", decimals(trades.size, listing.lot_decimals, listing.lot_decimals)),
        _short(f"%d.%0{places}d", decimals(trades.price, places, places)),
        trades.id.tolist(),
        (trades.time_ns // MILLISECOND).tolist(),
        strict=True,
    )
    pattern = f'{{"instId":"{listing.symbol}","side":"%s","sz":"%s","source":"0","px":"%s","tradeId":"%d","ts":"%d"}}'
    return [pattern % row for row in columns]


def _short(pattern: str, digits: tuple[list[int], list[int]]) -> list[str]:
    return [(pattern % number).rstrip("0").rstrip(".") for number in zip(*digits, strict=True)]


def error(code: int, text: str, status: int = 200) -> Answer:
    return Answer.json({"code": str(code), "data": [], "msg": text}, status)


class Okx(Api):
    name = "okx"
    internal_error = error(50026, "System error. Try again later", 500)
    maintenance = error(50001, "Service temporarily unavailable. Please try again later.", 503)
    gateway_page = Answer(b"<html><body><h1>502 Bad Gateway</h1></body></html>", 502, content_type="text/html")

    def routes(self) -> dict[str, Handler]:
        self._buckets = {path: TokenBuckets(rate=most / 2, burst=most / 4) for path, most in REQUESTS.items()}
        return {
            "/api/v5/public/time": lambda call: _data([{"ts": str(self.clock.now_ns() // MILLISECOND)}]),
            "/api/v5/public/instruments": self.instruments,
            "/api/v5/market/trades": self.newest,
            "/api/v5/market/history-trades": self.history,
            "/api/v5/market/books": self.books,
        }

    def unknown_path(self, path: str) -> Answer:
        return Answer(b"<html><body><h1>404 Not Found</h1></body></html>", 404, content_type="text/html")

    def throttle(self, call: Call) -> Answer | None:
        if self.rate_limits and not self._buckets[call.endpoint].take():
            return Answer(b'{"msg":"Too Many Requests","code":"50011"}', 429, throttled=True)
        return None

    def instruments(self, call: Call) -> Answer:
        kind = call.params.get("instType", "")
        if not kind:
            _refuse(50014, "Parameter instType can not be empty.", 400)
        if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            _refuse(51000, "Parameter instType error", 400)
        listed = self.source.products() if kind == "SPOT" else {}  # general clients ask for contracts too
        wanted = call.params.get("instId")
        if wanted is not None and wanted not in listed:
            _unknown()
        return _data([listed[wanted]] if wanted else list(listed.values()))

    def newest(self, call: Call) -> Answer:
        stream, name = self._stream(call)
        stop = stream.end(self.clock.now_ns())
        return _page(stream, max(stop - _limit(call, "limit", PAGE_LIMIT, NEWEST_LIMIT), 0), stop, name)

    def history(self, call: Call) -> Answer:
        """The newest `limit` trades that are older than `after` (by `type` an id or a time) and newer than `before`."""
        stream, name = self._stream(call)
        limit = _limit(call, "limit", PAGE_LIMIT, PAGE_LIMIT)
        kind, after, before = call.params.get("type", "1"), _number(call, "after"), _number(call, "before")
        if kind not in ("1", "2"):
            _refuse(51000, "Parameter type error", 400)
        if kind == "2" and before is not None:
            _refuse(50039, 'Parameter "before" isn\'t supported for timestamp pagination')
        stop = stream.end(self.clock.now_ns())
        first = stream.find_time(stream.time_at(stop - 1) - KEPT) if stop else 0
        if after is not None:
            stop = min(stop, stream.find_id(after) if kind == "1" else stream.find_time(after * MILLISECOND))
        if before is not None:
            first = max(first, stream.find_id(before + 1))
        return _page(stream, max(stop - limit, first), stop, name)

    def books(self, call: Call) -> Answer:
        _, name = self._stream(call)
        now = self.clock.now_ns()
        bids, asks = self.source.book(name, _limit(call, "sz", 1, BOOK_LIMIT), now)
        return _data([{"asks": asks, "bids": bids, "ts": str(now // MILLISECOND)}])

    def _stream(self, call: Call) -> tuple[Stream, str]:
        name = call.params.get("instId", "")
        if not name:
            _refuse(50014, "Parameter instId can not be empty.", 400)
        stream = self.source.trades(name, rows)
        if stream is None:
            _unknown()
        return stream, name


def _data(values: list[Json]) -> Answer:
    return Answer.json({"code": "0", "data": values, "msg": ""})


def _page(stream: Stream, start: int, stop: int, name: str) -> Answer:
    page = stream.rows(start, stop)[::-1] if start < stop else []
    return Answer(f'{{"code":"0","msg":"","data":[{",".join(page)}]}}'.encode(), page=name)


def _refuse(code: int, text: str, status: int = 200) -> NoReturn:
    raise Refused(error(code, text, status))


def _unknown() -> NoReturn:
    _refuse(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def _number(call: Call, name: str) -> int | None:
    if name not in call.params:
        return None
    number = whole_number(call.params[name])
    if number is None:
        _refuse(51000, f"Parameter {name} error", 400)
    return number


def _limit(call: Call, name: str, default: int, most: int) -> int:
    limit = _number(call, name)
    if limit is not None and not 1 <= limit <= most:
        _refuse(51000, f"Parameter {name} error", 400)
    return default if limit is None else limit
