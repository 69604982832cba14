"""Binance spot (`https://api.binance.com`): ascending, `fromId` inclusive, weights, and no unknown parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NoReturn

from schemahub_lib.simulator.api import Answer, Api, Call, Handler, Refused, whole_number
from schemahub_lib.simulator.limits import WeightWindow
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.noise import Bools
from schemahub_lib.simulator.source import Dialect, Json, Stream, decimals
from schemahub_lib.simulator.tape import Trades

WEIGHT_LIMIT = 6000
PAGE_LIMIT = 1000
DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
WEIGHTS = {
    "/api/v3/exchangeInfo": 20,
    "/api/v3/trades": 25,
    "/api/v3/historicalTrades": 25,
    "/api/v3/aggTrades": 4,
}
PARAMETERS = {
    "/api/v3/exchangeInfo": ("symbol", "symbols", "permissions", "symbolStatus"),
    "/api/v3/trades": ("symbol", "limit"),
    "/api/v3/historicalTrades": ("symbol", "limit", "fromId"),
    "/api/v3/aggTrades": ("symbol", "fromId", "startTime", "endTime", "limit"),
    "/api/v3/depth": ("symbol", "limit"),
}
MICROSECONDS = 10**14  # a time parameter above this many units since 1970 is in microseconds


def product(listing: Listing, delisted: bool) -> Json:
    tick = f"{10.0**-listing.price_decimals:.8f}"
    step = f"{10.0**-listing.lot_decimals:.8f}"
    return {
        "symbol": listing.symbol,
        "status": "BREAK" if delisted else "TRADING",
        "baseAsset": listing.asset.code,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.venue.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def assets(listing: Listing) -> dict[str, Json]:
    return {}  # Binance lists its coins to account holders only


def level(price: str, size: str, now_ns: int) -> Json:
    return [price, size]


DIALECT = Dialect("binance", product, assets, level)


def _flags(values: Bools) -> list[str]:
    return ["true" if value else "false" for value in values.tolist()]


def trade_rows(listing: Listing, trades: Trades, unit_ns: int) -> list[str]:
    """`{"id":28457,"price":"…","qty":"…","quoteQty":"…","time":1525447926543,"isBuyerMaker":false,"isBestMatch":true}`

    `quoteQty` is cut, not rounded, to 8 decimals, as the exchange does.
    """
    places = listing.price_decimals + listing.lot_decimals
    quote = trades.price * trades.size
    quote = quote // 10 ** (places - 8) if places > 8 else quote * 10 ** (8 - places)
    columns = zip(
        trades.id.tolist(),
        *decimals(trades.price, listing.price_decimals, 8),
        *decimals(trades.size, listing.lot_decimals, 8),
        *decimals(quote, 8, 8),
        (trades.time_ns // unit_ns).tolist(),
        _flags(~trades.buy),
        strict=True,
    )
    pattern = (
        '{"id":%d,"price":"%d.%08d","qty":"%d.%08d","quoteQty":"%d.%08d",'
        '"time":%d,"isBuyerMaker":%s,"isBestMatch":true}'
    )
    return [pattern % row for row in columns]


def aggregate_rows(listing: Listing, trades: Trades, unit_ns: int) -> list[str]:
    """`{"a":3928743436,"p":"…","q":"…","f":6193332819,"l":6193332823,"T":1775571561875,"m":false,"M":true}`"""
    columns = zip(
        trades.id.tolist(),
        *decimals(trades.price, listing.price_decimals, 8),
        *decimals(trades.size, listing.lot_decimals, 8),
        trades.first_id.tolist(),
        trades.last_id.tolist(),
        (trades.time_ns // unit_ns).tolist(),
        _flags(~trades.buy),
        strict=True,
    )
    pattern = '{"a":%d,"p":"%d.%08d","q":"%d.%08d","f":%d,"l":%d,"T":%d,"m":%s,"M":true}'
    return [pattern % row for row in columns]


def error(code: int, text: str, status: int = 400) -> Answer:
    return Answer.json({"code": code, "msg": text}, status)


class Binance(Api):
    name = "binance"
    internal_error = error(-1000, "An unknown error occurred while processing the request.", 500)
    maintenance = error(-1008, "Server is currently overloaded with other requests. Please try again later.", 503)
    gateway_page = Answer(b"<html><body><h1>504 Gateway Time-out</h1></body></html>", 504, content_type="text/html")

    def routes(self) -> dict[str, Handler]:
        self._window = WeightWindow(WEIGHT_LIMIT)
        return {
            "/api/v3/ping": lambda call: Answer(b"{}"),
            "/api/v3/time": lambda call: Answer.json({"serverTime": self._now() // 1_000_000}),
            "/api/v3/exchangeInfo": self.exchange_info,
            "/api/v3/trades": self.trades,
            "/api/v3/historicalTrades": self.trades,
            "/api/v3/aggTrades": self.aggregates,
            "/api/v3/depth": self.depth,
            # The futures exchanges are not simulated, but general clients ask them for their products too.
            "/fapi/v1/exchangeInfo": lambda call: Answer.json({"symbols": []}),
            "/dapi/v1/exchangeInfo": lambda call: Answer.json({"symbols": []}),
        }

    def unknown_path(self, path: str) -> Answer:
        return Answer(b"<html><body><h1>404 Not Found</h1></body></html>", 404, content_type="text/html")

    def throttle(self, call: Call) -> Answer | None:
        weight = WEIGHTS.get(call.endpoint, 1)
        if call.endpoint == "/api/v3/depth":
            limit = whole_number(call.params.get("limit", "100")) or 0
            weight = next((weight for most, weight in DEPTH_WEIGHTS if limit <= most), 250)
        self._used, refusal = self._window.spend(weight)
        if refusal is None or not self.rate_limits:
            return None
        text = f"Too much request weight used; current limit is {WEIGHT_LIMIT} request weight per 1 MINUTE."
        if refusal.status == 418:
            text = f"Way too much request weight used; IP banned for {refusal.retry_after} seconds."
        answer = error(-1003, text, refusal.status)
        return replace(answer, headers={"Retry-After": str(refusal.retry_after)}, throttled=True)

    def answer(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, Answer]:
        endpoint, answer = super().answer(path, params, headers)
        if endpoint.startswith("/api/"):
            used = {"X-MBX-USED-WEIGHT": str(self._used), "X-MBX-USED-WEIGHT-1M": str(self._used)}
            answer = replace(answer, headers={**answer.headers, **used})
        return endpoint, answer

    def exchange_info(self, call: Call) -> Answer:
        _check_parameters(call)
        products = self.source.products()
        wanted = list(products)
        if "symbol" in call.params:
            wanted = [call.params["symbol"]]
        elif "symbols" in call.params:
            wanted = re.findall(r'"([^"]*)"', call.params["symbols"])
        if any(symbol not in products for symbol in wanted):
            _refuse(-1121, "Invalid symbol.")
        symbols = [products[symbol] for symbol in wanted]
        if "permissions" in call.params:
            permission = call.params["permissions"]
            symbols = [symbol for symbol in symbols if any(permission in every for every in symbol["permissionSets"])]
        if "symbolStatus" in call.params:
            symbols = [symbol for symbol in symbols if symbol["status"] == call.params["symbolStatus"]]
        limits = (("REQUEST_WEIGHT", 1, WEIGHT_LIMIT), ("RAW_REQUESTS", 5, 300_000))
        return Answer.json(
            {
                "timezone": "UTC",
                "serverTime": self._now() // 1_000_000,
                "rateLimits": [
                    {"rateLimitType": kind, "interval": "MINUTE", "intervalNum": minutes, "limit": most}
                    for kind, minutes, most in limits
                ],
                "exchangeFilters": [],
                "symbols": symbols,
            }
        )

    def trades(self, call: Call) -> Answer:
        """`trades`: the newest. `historicalTrades`: from `fromId` on, inclusive, or the newest."""
        symbol = _symbol(call)
        stream = _known(self.source.trades(symbol, partial(trade_rows, unit_ns=_unit(call))))
        limit, from_id = _limit(call, 500, PAGE_LIMIT), _number(call, "fromId")
        end = stream.end(self._now())
        start = max(end - limit, 0) if from_id is None else stream.find_id(from_id)
        return _page(stream, start, min(start + limit, end), symbol)

    def aggregates(self, call: Call) -> Answer:
        """`fromId`, `startTime` and `endTime` are inclusive; the oldest first wherever a start is given."""
        symbol = _symbol(call)
        stream = _known(self.source.aggregates(symbol, partial(aggregate_rows, unit_ns=_unit(call))))
        limit, from_id = _limit(call, 500, PAGE_LIMIT), _number(call, "fromId")
        first, last = _time(call, "startTime"), _time(call, "endTime")
        if (from_id is not None and (first or last)) or (first and last and first[0] > last[0]):
            _refuse(-1128, "Combination of optional parameters invalid.")
        end = stream.end(self._now())
        if last:
            end = min(end, stream.find_time(sum(last)))
        if from_id is not None:
            start = stream.find_id(from_id)
        elif first:
            start = stream.find_time(first[0])
        else:
            start = max(end - limit, 0)
        return _page(stream, start, min(start + limit, end), f"{symbol}@aggTrade")

    def depth(self, call: Call) -> Answer:
        symbol, now = _symbol(call), self._now()
        stream = _known(self.source.trades(symbol, partial(trade_rows, unit_ns=_unit(call))))
        bids, asks = self.source.book(symbol, _limit(call, 100, 5000), now)
        return Answer.json({"lastUpdateId": stream.end(now), "bids": bids, "asks": asks})

    def _now(self) -> int:
        return self.clock.now_ns()


def _refuse(code: int, text: str) -> NoReturn:
    raise Refused(error(code, text))


def _check_parameters(call: Call) -> None:
    known, sent = PARAMETERS[call.endpoint], call.params
    if len(sent) > len(known):
        _refuse(-1101, f"Too many parameters; expected '{len(known)}' and received '{len(sent)}'.")
    read = sum(name in known for name in sent)
    if read < len(sent):
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'."
        _refuse(-1104, text)


def _symbol(call: Call) -> str:
    _check_parameters(call)
    symbol = call.params.get("symbol", "")
    if not symbol:
        _refuse(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if not re.fullmatch(r"[A-Z0-9\-_.]{1,20}", symbol):
        _refuse(-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.")
    return symbol


def _known(stream: Stream | None) -> Stream:
    if stream is None:
        _refuse(-1121, "Invalid symbol.")
    return stream


def _number(call: Call, name: str) -> int | None:
    if name not in call.params:
        return None
    number = whole_number(call.params[name])
    if number is None:
        _refuse(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return number


def _limit(call: Call, default: int, most: int) -> int:
    limit = _number(call, "limit")
    if limit == 0:
        _refuse(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(default if limit is None else limit, most)


def _unit(call: Call) -> int:
    """Nanoseconds in the unit of the times that this call is answered with."""
    return 1_000 if call.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND" else 1_000_000


def _time(call: Call, name: str) -> tuple[int, int] | None:
    """A time parameter in nanoseconds and the length of its unit; milliseconds and microseconds differ by size."""
    number = _number(call, name)
    if number is None:
        return None
    unit_ns = 1_000 if number >= MICROSECONDS else 1_000_000
    return number * unit_ns, unit_ns


def _page(stream: Stream, start: int, stop: int, name: str) -> Answer:
    return Answer(f"[{','.join(stream.rows(start, stop))}]".encode(), page=name)
