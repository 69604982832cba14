"""Coinbase Exchange (`https://api.exchange.coinbase.com`): newest first, two exclusive bounds, the maker's side."""

from __future__ import annotations

import numpy as np

from schemahub_lib.simulator.api import Answer, Api, Call, Handler, Refused, whole_number
from schemahub_lib.simulator.clock import iso
from schemahub_lib.simulator.limits import TokenBuckets
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.source import Dialect, Json, Stream, decimals
from schemahub_lib.simulator.tape import Trades

PAGE_LIMIT = 1000
WHOLE_BOOK = 1200  # levels of a side; the real one has tens of thousands


def product(listing: Listing, delisted: bool) -> Json:
    return {
        "id": listing.symbol,
        "base_currency": listing.asset.code,
        "quote_currency": listing.venue.quote,
        "quote_increment": f"{10.0**-listing.price_decimals:.{listing.price_decimals}f}",
        "base_increment": "0.00000001",
        "display_name": f"{listing.asset.code}/{listing.venue.quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "delisted" if delisted else "online",
        "status_message": "",
        "trading_disabled": delisted,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def currencies(listing: Listing) -> dict[str, Json]:
    def currency(code: str, name: str, kind: str, precision: str) -> Json:
        return {
            "id": code,
            "name": name,
            "min_size": precision,
            "status": "online",
            "message": "",
            "max_precision": precision,
            "convertible_to": [],
            "details": {"type": kind, "symbol": None, "sort_order": 0, "push_payment_methods": []},
            "default_network": "",
            "supported_networks": [],
            "display_name": name,
        }

    return {
        listing.asset.code: currency(listing.asset.code, listing.asset.name, "crypto", "0.00000001"),
        "USD": currency("USD", "United States Dollar", "fiat", "0.01"),
    }


def level(price: str, size: str, now_ns: int) -> Json:
    return [price, size, 1]


DIALECT = Dialect("coinbase", product, currencies, level)


def times(trades: Trades) -> list[str]:
    """`2024-02-08T15:12:04.53Z`: microseconds without their trailing zeros, and no point without a fraction."""
    distinct, places = np.unique(trades.time_ns // 1000, return_inverse=True)
    texts = np.datetime_as_string(distinct.astype("datetime64[us]")).tolist()
    spelled = [text.rstrip("0").rstrip(".") + "Z" for text in texts]
    return [spelled[place] for place in places.tolist()]


def rows(listing: Listing, trades: Trades) -> list[str]:
    """`{"trade_id":8408114,"side":"buy","size":"0.04000000","price":"453.30000000","time":"2016-05-12T15:04:30.98Z"}`"""
    columns = zip(
        trades.id.tolist(),
        np.where(trades.buy, "sell", "buy").tolist(),
        *decimals(trades.size, listing.lot_decimals, 8),
        *decimals(trades.price, listing.price_decimals, 8),
        times(trades),
        strict=True,
    )
    return ['{"trade_id":%d,"side":"%s","size":"%d.%08d","price":"%d.%08d","time":"%s"}' % row for row in columns]  # noqa: UP031


def message(text: str, status: int) -> Answer:
    return Answer.json({"message": text}, status)


class Coinbase(Api):
    name = "coinbase"
    internal_error = message("Internal server error", 500)
    maintenance = message(
        "Coinbase Exchange is currently under maintenance. For updates please see https://status.exchange.coinbase.com/",
        503,
    )
    gateway_page = Answer(b"<html><body><h1>502 Bad Gateway</h1></body></html>", 502, content_type="text/html")

    def routes(self) -> dict[str, Handler]:
        self._buckets = TokenBuckets(rate=10.0, burst=15.0)
        return {
            "/time": self.time,
            "/currencies": self.currencies,
            "/products": self.products,
            "/products/{id}": self.product,
            "/products/{id}/trades": self.trades,
            "/products/{id}/book": self.book,
        }

    def unknown_path(self, path: str) -> Answer:
        return message("Route not found", 404)

    def throttle(self, call: Call) -> Answer | None:
        if "User-Agent" not in call.headers:
            raise Refused(message("User-Agent header is required.", 400))
        if self.rate_limits and not self._buckets.take():
            return Answer(b'{"message":"Public rate limit exceeded"}', 429, throttled=True)
        return None

    def time(self, call: Call) -> Answer:
        now = self.clock.now_ns()
        return Answer.json({"iso": iso(now), "epoch": now // 1_000_000 / 1000})

    def currencies(self, call: Call) -> Answer:
        return Answer.json(list(self.source.assets().values()))

    def products(self, call: Call) -> Answer:
        return Answer.json(list(self.source.products().values()))

    def product(self, call: Call) -> Answer:
        found = self.source.products().get(call.args[0].upper())
        if found is None:
            raise Refused(message("NotFound", 404))
        return Answer.json(found)

    def trades(self, call: Call) -> Answer:
        """The newest `limit` trades with before < id < after. `before` alone is no forward cursor."""
        symbol = call.args[0].upper()
        stream = self._stream(symbol)
        limit = min(_number(call, "limit") or PAGE_LIMIT, PAGE_LIMIT)
        before, after = _number(call, "before"), _number(call, "after")
        stop = stream.end(self.clock.now_ns())
        if after is not None:
            stop = min(stop, stream.find_id(after))
        start = max(stop - limit, 0)
        if before is not None:
            start = max(start, stream.find_id(before + 1))
        if start >= stop:
            return Answer(b"[]", page=symbol)
        page = stream.rows(start, stop)[::-1]
        cursors = {"CB-BEFORE": str(stream.id_at(stop - 1)), "CB-AFTER": str(stream.id_at(start))}
        return Answer(f"[{','.join(page)}]".encode(), headers=cursors, page=symbol)

    def book(self, call: Call) -> Answer:
        symbol = call.args[0].upper()
        stream = self._stream(symbol)
        wanted = call.params.get("level", "1")
        if wanted not in ("1", "2", "3"):
            raise Refused(message("Invalid level", 400))
        now = self.clock.now_ns()
        bids, asks = self.source.book(symbol, 1 if wanted == "1" else WHOLE_BOOK, now)
        if wanted == "3":  # single orders, named instead of counted
            for side, orders in (("b", bids), ("a", asks)):
                for place, order in enumerate(orders):
                    order[2] = f"00000000-0000-4000-{side}000-{place:012d}"
        body = {"bids": bids, "asks": asks, "sequence": stream.end(now), "auction_mode": False, "auction": None}
        return Answer.json({**body, "time": iso(now, "microseconds")})

    def _stream(self, symbol: str) -> Stream:
        stream = self.source.trades(symbol, rows)
        if stream is None:
            raise Refused(message("NotFound", 404))
        return stream


def _number(call: Call, name: str) -> int | None:
    text = call.params.get(name)
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise Refused(message(f"Invalid value for pagination {name}", 400))
    return number
