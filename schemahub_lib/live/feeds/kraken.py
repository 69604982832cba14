"""Kraken (`wss://ws.kraken.com/v2`): the channels ticker, on every change of the best prices, and trade."""

from __future__ import annotations

import json

from schemahub_lib.exchanges import rows
from schemahub_lib.live.feeds.base import Answer, Event, Feed, Json, Market, Quote, Status, iso, quote

# Version 2 knows Bitcoin and Dogecoin by their common tickers, and only these.
TICKERS = {"XBT": "BTC", "XDG": "DOGE"}
SIDES = {"buy": "b", "sell": "s"}
ORDERS = {"market": "m", "limit": "l"}
ONLINE = "online"


class KrakenFeed(Feed):
    name = "kraken"
    base_url = "wss://ws.kraken.com"
    path = "/v2"
    silence = 5.0  # it beats once a second when there is nothing else; the reconnection guide gives five
    between = 5.0  # 150 connections in 10 minutes, and after maintenance one every 5 seconds

    def named(self, market: Market) -> str:
        return "/".join(TICKERS.get(asset, asset) for asset in market.listed)

    def opened(self) -> list[str]:
        ticker = {"channel": "ticker", "symbol": list(self.markets), "event_trigger": "bbo", "snapshot": True}
        trade = {"channel": "trade", "symbol": list(self.markets), "snapshot": True}
        return [
            json.dumps({"method": "subscribe", "params": params, "req_id": number})
            for number, params in enumerate((ticker, trade), 1)
        ]

    # {"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":81205.0,"bid_qty":0.58905885,
    #  "ask":81205.1,"ask_qty":0.69697106,"last":81205.1,…,"timestamp":"2026-09-04T00:21:20.217476Z"}]}
    # {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":81205.1,"qty":0.00003630,
    #  "ord_type":"limit","trade_id":106799953,"timestamp":"2026-09-04T00:21:20.564568Z"}]}
    def read(self, frame: str) -> list[Event]:
        told: Json = rows.parse(frame, 1)
        channel, data = told.get("channel"), told.get("data", [])
        if "method" in told or "error" in told:
            return self._answered(told)
        if channel == "status":
            return [Status(None, _halted(status)) for status, _ in data]
        if channel == "ticker":
            return [self._quote(ticker) for ticker, _ in data if ticker["symbol"] in self.markets]
        if channel == "trade":
            by_name: dict[str, list[rows.Row]] = {}
            for row in data:
                by_name.setdefault(row[0]["symbol"], []).append(row)
            return [
                trade
                for name, found in by_name.items()
                if name in self.markets
                for trade in self.trades(found, self.markets[name].symbol)
            ]
        return []

    # {"method":"subscribe","result":{"channel":"ticker","event_trigger":"bbo","snapshot":true,"symbol":"BTC/USD"},
    #  "success":true,"time_in":"…","time_out":"…","req_id":1}; refusals have no result, and the symbol at the top
    def _answered(self, told: Json) -> list[Event]:
        if told.get("success"):
            result = told.get("result", {})
            return [Answer(True, self._symbol_of(result.get("symbol")), f"subscribed to {result.get('channel')}")]
        if "error" in told:
            return [Answer(False, self._symbol_of(told.get("symbol")), told["error"])]
        return []

    def _symbol_of(self, name: str | None) -> str | None:
        market = self.markets.get(name) if name else None
        return market.symbol if market else None

    def _quote(self, told: Json) -> Quote:
        prices = (told["bid"], told["bid_qty"], told["ask"], told["ask_qty"])
        # The timestamp is newer than the channel itself.
        return quote(self.markets[told["symbol"]].symbol, prices, told.get("timestamp"))

    def members(self, told: Json) -> Json:
        micros = iso(told["timestamp"])
        return {
            **{"price": told["price"], "volume": told["qty"], "trade_id": told["trade_id"], "misc": ""},
            "time": f"{micros // 1_000_000}.{micros % 1_000_000:06d}",
            "side": SIDES.get(told["side"], told["side"]),
            "order_type": ORDERS.get(told["ord_type"], told["ord_type"]),
        }


def _halted(status: Json) -> str:
    """Why the engine matches nothing; empty when it does."""
    system = status["system"]
    return "" if system == ONLINE else f"the exchange's engine is in {system.replace('_', ' ')}"
