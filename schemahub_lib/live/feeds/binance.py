"""Binance (`wss://stream.binance.com:9443`): the raw streams bookTicker and trade. Quotes come without a time."""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, Context, Decimal

from schemahub_lib.live.feeds.base import Answer, Event, Feed, Goodbye, Json, Market, decimal, loads, quote

_EXACT = Context(prec=100, rounding=ROUND_DOWN)
_EIGHT = Decimal("0.00000001")


class BinanceFeed(Feed):
    name = "binance"
    base_url = "wss://stream.binance.com:9443"
    path = "/ws"
    silence = 30.0  # nothing beats: so long no quote of any market changes only when the stream is dead
    between = 1.0  # 300 connections in 5 minutes

    def named(self, market: Market) -> str:
        return market.symbol

    def opened(self) -> list[str]:
        # Streams are in lower case: one that does not exist is accepted, and silent.
        streams = [f"{name.lower()}@{kind}" for name in self.markets for kind in ("bookTicker", "trade")]
        return [json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1})]

    # {"u":99663039038,"s":"BTCUSDT","b":"81207.45000000","B":"2.19538000","a":"81207.46000000","A":"2.27890000"}
    # {"e":"trade","E":1788481292965,"s":"BTCUSDT","t":6653570805,"p":"81207.45000000","q":"0.00016000",
    #  "T":1788481292964,"m":true,"M":true}
    def read(self, frame: str) -> list[Event]:
        told: Json = loads(frame)
        kind = told.get("e")
        if kind == "serverShutdown":
            return [Goodbye("the exchange is about to close the connection")]
        if kind == "trade":
            return [*self.trades([(told, frame)], told["s"])] if told["s"] in self.markets else []
        if told.keys() >= {"u", "s", "b", "B", "a", "A"}:
            prices = (told["b"], told["B"], told["a"], told["A"])
            return [quote(told["s"], prices)] if told["s"] in self.markets else []
        if "result" in told:
            return [Answer(True, None, f"subscribed to {len(self.markets)} markets")]
        error = told.get("error", told)  # flat as documented, or nested as seen
        return [Answer(False, None, f"{error['msg']} (code {error['code']})")] if "code" in error else []

    def members(self, told: Json) -> Json:
        amount = _EXACT.quantize(_EXACT.multiply(decimal(told["p"]), decimal(told["q"])), _EIGHT)
        # Whether it was the best match is not told: M is documented as to be ignored.
        return {
            **{"id": told["t"], "price": told["p"], "qty": told["q"], "time": told["T"]},
            **{"quoteQty": f"{amount:f}", "isBuyerMaker": told["m"]},
        }
