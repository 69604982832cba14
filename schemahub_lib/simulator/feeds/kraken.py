"""Kraken's feed (`wss://ws.kraken.com/v2`): the channels ticker and trade. Numbers are JSON numbers, zeros and all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from schemahub_lib.simulator.clock import iso
from schemahub_lib.simulator.feeds.base import Feed, Quote, text
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.source import Json, decimals
from schemahub_lib.simulator.tape import Trades

LATEST = 50  # trades of a snapshot
PRICES = (0, 2)  # fields of a quote whose change `bbo` is about
CHANNELS = ("ticker", "trade")


def trades(listing: Listing, found: Trades) -> list[str]:
    """`side` and `ord_type` are the taker's."""
    times = np.datetime_as_string((found.time_ns // 1000).astype("datetime64[us]")).tolist()
    columns = zip(
        [pair(listing)] * len(found.id),
        np.where(found.buy, "buy", "sell").tolist(),
        *decimals(found.price, listing.price_decimals, listing.price_decimals),
        *decimals(found.size, listing.lot_decimals, 8),
        np.where(found.market_order, "market", "limit").tolist(),
        found.id.tolist(),
        times,
        strict=True,
    )
    pattern = (
        f'{{"symbol":"%s","side":"%s","price":%d.%0{listing.price_decimals}d,"qty":%d.%08d,"ord_type":"%s",'
        '"trade_id":%d,"timestamp":"%sZ"}'
    )
    return [pattern % row for row in columns]


def pair(listing: Listing) -> str:
    """`BTC/USD`: common tickers, unlike over REST."""
    return f"{listing.asset.code}/{listing.venue.quote}"


class KrakenFeed(Feed):
    def opened(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        self._subscribed: dict[tuple[str, str], tuple[Listing, str]] = {}
        if path != "/v2":
            return None
        status = '{"version":"2.0.10","system":"online","api_version":"v2","connection_id":9471984923908980762}'
        return [f'{{"channel":"status","type":"update","data":[{status}]}}']

    def said(self, message: Json) -> list[str]:
        came = iso(self.clock.now_ns(), "microseconds")
        times = {"time_in": came, "time_out": came}
        if not isinstance(message, dict):
            return [text({"error": "Malformed request", "success": False, **times})]
        method, number = message.get("method"), message.get("req_id")
        same = times | ({"req_id": number} if number is not None else {})
        if method == "ping":
            return [text({"method": "pong", **same})]
        asked = message.get("params")
        if method not in ("subscribe", "unsubscribe") or not isinstance(asked, dict):
            return [text({"error": "Unsupported method", "method": method, "success": False, **same})]
        channel = asked.get("channel")
        if channel not in CHANNELS:
            return [text({"error": "Unsupported channel", "method": method, "success": False, **same})]
        listed = {pair(listing): listing for listing in self.source.listings().values()}
        frames = []
        for symbol in asked.get("symbol") or ():
            refused = self._refused(method, channel, symbol, listed)
            if refused:
                told = {"error": refused, "method": method, "success": False, "symbol": symbol}
                frames.append(text(told | same))
                continue
            trigger = asked.get("event_trigger", "trades")
            snapshot = asked.get("snapshot", channel == "ticker")
            result = {"channel": channel, "symbol": symbol, "snapshot": snapshot}
            result |= {"event_trigger": trigger} if channel == "ticker" else {}
            frames.append(text({"method": method, "result": result, "success": True, **same}))
            if method == "unsubscribe":
                del self._subscribed[channel, symbol]
            else:
                self._subscribed[channel, symbol] = (listed[symbol], trigger)
                frames += self._snapshot(channel, listed[symbol]) if snapshot else []
        return frames

    def passed(self, since_ns: int, now_ns: int) -> list[str]:
        frames: list[str] = []
        for (channel, _), (listing, trigger) in self._subscribed.items():
            if channel == "ticker" and trigger == "bbo":
                quote = self.moved(listing, now_ns, PRICES)
                frames += [_ticker("update", listing, quote, now_ns)] if quote else []
                continue
            found = self.rows(listing, trades, since_ns, now_ns)
            if found and channel == "trade":
                frames.append(_frame("trade", "update", found))
            elif found and (quote := self.quote(listing, now_ns)):
                frames.append(_ticker("update", listing, quote, now_ns))
        if frames:
            self._beat_ns = now_ns
        elif self._subscribed and self.beats(now_ns):
            frames.append('{"channel":"heartbeat"}')
        return frames

    def _refused(self, method: str, channel: str, symbol: str, listed: Mapping[str, Listing]) -> str | None:
        if symbol not in listed:
            return f"Currency pair not supported {symbol}"
        there = (channel, symbol) in self._subscribed
        if method == "subscribe":
            return "Already subscribed" if there else None
        return None if there else "Subscription Not Found"

    def _snapshot(self, channel: str, listing: Listing) -> list[str]:
        if channel == "trade":
            return [_frame("trade", "snapshot", self.newest(listing, trades, LATEST))]
        now_ns = self.clock.now_ns()
        quote = self.moved(listing, now_ns) or self.quote(listing, now_ns)
        return [_ticker("snapshot", listing, quote, now_ns)] if quote else []


def _ticker(kind: str, listing: Listing, quote: Quote, now_ns: int) -> str:
    """Without the last day's volume, range and change, which nobody reads here."""
    bid, bid_size, ask, ask_size = quote
    return _frame(
        "ticker",
        kind,
        [
            f'{{"symbol":"{pair(listing)}","bid":{bid},"bid_qty":{bid_size},"ask":{ask},"ask_qty":{ask_size},'
            f'"timestamp":"{iso(now_ns, "microseconds")}"}}'
        ],
    )


def _frame(channel: str, kind: str, data: list[str]) -> str:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(data)}]}}'
