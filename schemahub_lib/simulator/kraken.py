"""Kraken (`https://api.kraken.com`): ascending, `since` exclusive in nanoseconds, errors with HTTP status 200."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from schemahub_lib.simulator.api import Answer, Api, Call, Handler, Refused, whole_number
from schemahub_lib.simulator.clock import iso
from schemahub_lib.simulator.limits import TokenBuckets
from schemahub_lib.simulator.listings import Listing, ns
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.simulator.source import Dialect, Json, Stream, decimals
from schemahub_lib.simulator.tape import Trades

PAGE_LIMIT = 1000
DEPTH_LIMIT = 500
# Rows have an id and a time as exact as a double since then; before, six fields and four decimals.
IDS_SINCE = ns("2022-11-01")
SECONDS_BELOW = 10**12  # a `since` below this is in seconds
QUOTE_ASSETS = {"USD": "ZUSD"}


def product(listing: Listing, delisted: bool) -> Json | None:
    if delisted:
        return None  # Kraken forgets a pair
    asset, quote = listing.asset, listing.venue.quote
    return {
        "altname": f"{asset.kraken_altname}{quote}",
        "wsname": f"{asset.kraken_altname}/{quote}",
        "aclass_base": "currency",
        "base": asset.kraken_asset,
        "aclass_quote": "currency",
        "quote": QUOTE_ASSETS[quote],
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": listing.price_decimals,
        "lot_decimals": listing.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": f"{10.0**-listing.price_decimals:.{listing.price_decimals}f}",
        "status": "online",
    }


def assets(listing: Listing) -> dict[str, Json]:
    def asset(altname: str, places: int) -> Json:
        return {
            "aclass": "currency",
            "altname": altname,
            "decimals": places,
            "display_decimals": 5,
            "status": "enabled",
        }

    quote = listing.venue.quote
    return {
        listing.asset.kraken_asset: asset(listing.asset.kraken_altname, 10),
        QUOTE_ASSETS[quote]: asset(quote, 4),
    }


def level(price: str, size: str, now_ns: int) -> Json:
    return [price, size, now_ns // SECOND]


DIALECT = Dialect("kraken", product, assets, level)


def times(trades: Trades) -> list[str]:
    """Seconds as JSON numbers: `1557895729.4` of old, as a double prints (`1762795433.9717445`) today."""
    exact = trades.time_ns >= IDS_SINCE
    seconds = np.where(exact, trades.time_ns / 1e9, np.round(trades.time_ns / 1e9, 4))
    return [repr(second).removesuffix(".0") for second in seconds.tolist()]


def rows(listing: Listing, trades: Trades) -> list[str]:
    """`["105433.60000","0.00027625",1762795433.9717445,"b","l","",10218208]`, without the id before November 2022."""
    places = max(listing.price_decimals, 5)
    columns = zip(
        *decimals(trades.price, listing.price_decimals, places),
        *decimals(trades.size, listing.lot_decimals, 8),
        times(trades),
        np.where(trades.buy, "b", "s").tolist(),
        np.where(trades.market_order, "m", "l").tolist(),
        trades.id.tolist(),
        strict=True,
    )
    pattern = f'["%d.%0{places}d","%d.%08d",%s,"%s","%s","",%d]'
    texts = [pattern % row for row in columns]
    without_id = int(np.searchsorted(trades.time_ns, IDS_SINCE))
    return [text[: text.rindex(",")] + "]" for text in texts[:without_id]] + texts[without_id:]


def error(*texts: str) -> Answer:
    return Answer.json({"error": texts})


class Kraken(Api):
    name = "kraken"
    internal_error = error("EGeneral:Internal error")
    maintenance = error("EService:Unavailable")
    gateway_page = Answer(b"<html><body><h1>520 Web server error</h1></body></html>", 520, content_type="text/html")

    def routes(self) -> dict[str, Handler]:
        self._buckets = TokenBuckets(rate=1.0, burst=3.0)
        return {
            "/0/public/Time": self.time,
            "/0/public/SystemStatus": self.system_status,
            "/0/public/Assets": lambda call: _result(self.source.assets()),
            "/0/public/AssetPairs": self.asset_pairs,
            "/0/public/Trades": self.trades,
            "/0/public/Depth": self.depth,
        }

    def unknown_path(self, path: str) -> Answer:
        return error("EGeneral:Unknown method")

    def throttle(self, call: Call) -> Answer | None:
        if self.rate_limits and not self._buckets.take(call.params.get("pair", "")):
            return Answer(b'{"error":["EGeneral:Too many requests"]}', throttled=True)
        return None

    def time(self, call: Call) -> Answer:
        now = self.clock.now_ns()
        rfc1123 = datetime.fromtimestamp(now // SECOND, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return _result({"unixtime": now // SECOND, "rfc1123": rfc1123})

    def system_status(self, call: Call) -> Answer:
        return _result({"status": "online", "timestamp": iso(self.clock.now_ns(), "seconds")})

    def asset_pairs(self, call: Call) -> Answer:
        pairs = self.source.products()
        if "pair" not in call.params:
            return _result(pairs)
        wanted = [self._key(name) for name in call.params["pair"].split(",")]
        if any(pair_key not in pairs for pair_key in wanted):
            raise Refused(error("EQuery:Unknown asset pair"))
        return _result({pair_key: pairs[pair_key] for pair_key in wanted})

    def trades(self, call: Call) -> Answer:
        """The oldest `count` trades after `since`, or the newest without it. The key may differ from the name asked."""
        pair_key, stream = self._stream(call)
        count = _count(call, PAGE_LIMIT, PAGE_LIMIT)
        end = stream.end(self.clock.now_ns())
        since = _since(call)
        start = max(end - count, 0) if since is None else stream.find_time(since + 1)
        stop = min(start + count, end)
        last = stream.time_at(stop - 1) if start < stop else since or 0
        body = f'{{"error":[],"result":{{"{pair_key}":[{",".join(stream.rows(start, stop))}],"last":"{last}"}}}}'
        return Answer(body.encode(), page=pair_key)

    def depth(self, call: Call) -> Answer:
        pair_key, _ = self._stream(call)
        bids, asks = self.source.book(pair_key, _count(call, 100, DEPTH_LIMIT), self.clock.now_ns())
        return _result({pair_key: {"asks": asks, "bids": bids}})

    def _key(self, name: str) -> str:
        """The key of a pair asked for by its key, altname (`XBTUSD`) or wsname (`XBT/USD`)."""
        for pair_key, pair in self.source.products().items():
            if name in (pair_key, pair["altname"], pair.get("wsname")):
                return pair_key
        return name

    def _stream(self, call: Call) -> tuple[str, Stream]:
        if "pair" not in call.params:
            raise Refused(error("EGeneral:Invalid arguments"))
        pair_key = self._key(call.params["pair"])
        stream = self.source.trades(pair_key, rows)
        if stream is None:
            raise Refused(error("EQuery:Unknown asset pair"))
        return pair_key, stream


def _result(value: Json) -> Answer:
    return Answer.json({"error": [], "result": value})


def _count(call: Call, default: int, most: int) -> int:
    count = whole_number(call.params.get("count", str(default)))
    if count is None or not 1 <= count <= most:
        raise Refused(error("EGeneral:Invalid arguments:count"))
    return count


def _since(call: Call) -> int | None:
    """`since` in nanoseconds; seconds, also with a fraction, are told by their size."""
    text = call.params.get("since")
    if text is None:
        return None
    whole, _, fraction = text.partition(".")
    number, part = whole_number(whole), whole_number((fraction + "000000000")[:9])
    if number is None or part is None:
        raise Refused(error("EGeneral:Invalid arguments:since"))
    return number * SECOND + part if number < SECONDS_BELOW else number
