"""Coinbase's feed (`wss://ws-feed.exchange.coinbase.com`): matches, level2_batch, heartbeat and status."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from schemahub_lib.simulator.clock import iso
from schemahub_lib.simulator.coinbase import product, times
from schemahub_lib.simulator.feeds.base import Feed, text
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.simulator.source import Json, decimals
from schemahub_lib.simulator.tape import Trades

# And how each is acknowledged.
CHANNELS = {"matches": "matches", "level2_batch": "level2_50", "heartbeat": "heartbeat", "status": "status"}
AUTHENTICATED = {"level2", "level3", "full", "user"}
DEPTH = 50
PATIENCE = 5 * SECOND  # within which a client subscribes to something
Book = dict[tuple[str, str], str]  # sizes by side and price


def matches(listing: Listing, trades: Trades) -> list[str]:
    """`side` is the maker's, as over REST."""
    columns = zip(
        trades.id.tolist(),
        (trades.id * 2).tolist(),
        (trades.id * 2 + 1).tolist(),
        np.where(trades.buy, "sell", "buy").tolist(),
        *decimals(trades.size, listing.lot_decimals, 8),
        *decimals(trades.price, listing.price_decimals, listing.price_decimals),
        [listing.symbol] * len(trades.id),
        (trades.id * 7).tolist(),
        times(trades),
        strict=True,
    )
    pattern = (
        '{"type":"match","trade_id":%d,"maker_order_id":"%08x-0000-4000-8000-000000000000",'
        '"taker_order_id":"%08x-0000-4000-8000-000000000000","side":"%s","size":"%d.%08d",'
        f'"price":"%d.%0{listing.price_decimals}d","product_id":"%s","sequence":%d,"time":"%s"}}'
    )
    return [pattern % row for row in columns]


class CoinbaseFeed(Feed):
    def opened(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        self._channels: dict[str, dict[str, Listing]] = {name: {} for name in CHANNELS}
        self._books: dict[str, Book] = {}
        self._subscribed = False
        return [] if path == "/" else None

    def over(self, now_ns: int) -> bool:
        return not self._subscribed and now_ns - self.opened_ns > PATIENCE

    def said(self, message: Json) -> list[str]:
        if not isinstance(message, dict):
            return [_error("Malformed JSON", "")]
        kind = message.get("type")
        if kind not in ("subscribe", "unsubscribe"):
            return [_error(f"Type has to be either subscribe or unsubscribe, not {kind}", "")]
        listed = self.source.listings()
        answers, first = [], []
        for name, products in self._wanted(message):
            if name in AUTHENTICATED:
                answers.append(
                    _error("Failed to subscribe", "level2, level3, and full channels now require authentication")
                )
            elif name not in CHANNELS:
                answers.append(_error("Failed to subscribe", f"{name} is not a valid channel"))
            elif kind == "unsubscribe":
                for product in products or list(self._channels[name]):
                    self._channels[name].pop(product, None)
            else:
                for product in listed if name == "status" else products:  # it is not asked for by product
                    if product not in listed:
                        answers.append(_error("Failed to subscribe", f"{product} is not a valid product"))
                    elif product not in self._channels[name]:
                        self._channels[name][product] = listed[product]
                        first += self._first(name, listed[product])
        self._subscribed = self._subscribed or any(self._channels.values())
        return [*answers, self._acknowledged(), *first]

    def passed(self, since_ns: int, now_ns: int) -> list[str]:
        frames: list[str] = []
        for listing in self._channels["level2_batch"].values():
            changes = self._changes(listing, now_ns)
            if changes:
                told = {"type": "l2update", "product_id": listing.symbol, "changes": changes}
                frames.append(text(told | {"time": iso(now_ns, "microseconds")}))
        for listing in self._channels["matches"].values():
            frames += self.rows(listing, matches, since_ns, now_ns)
        if (self._channels["heartbeat"] or self._channels["status"]) and self.beats(now_ns):
            frames += [self._heartbeat(listing, now_ns) for listing in self._channels["heartbeat"].values()]
            frames += self._status(self._channels["status"].values())
        return frames

    def _wanted(self, message: dict[str, Json]) -> Iterator[tuple[str, list[str]]]:
        for channel in message.get("channels") or ():
            named = channel if isinstance(channel, dict) else {"name": channel}
            yield str(named.get("name")), list(named.get("product_ids") or message.get("product_ids") or ())

    def _acknowledged(self) -> str:
        channels = [
            {"name": CHANNELS[name], "product_ids": list(products), "account_ids": None}
            for name, products in self._channels.items()
            if products
        ]
        return text({"type": "subscriptions", "channels": channels})

    def _first(self, channel: str, listing: Listing) -> list[str]:
        if channel == "matches":
            return [row.replace('"match"', '"last_match"', 1) for row in self.newest(listing, matches, 1)]
        if channel == "level2_batch":
            book = self._books[listing.symbol] = self._book(listing, self.clock.now_ns())
            sides = {
                name: [[price, size] for (side, price), size in book.items() if side == of]
                for name, of in (("bids", "buy"), ("asks", "sell"))
            }
            return [text({"type": "snapshot", "product_id": listing.symbol, **sides})]
        return self._status([listing]) if channel == "status" else []

    def _book(self, listing: Listing, now_ns: int) -> Book:
        bids, asks = self.source.book(listing.symbol, DEPTH, now_ns)
        return {(side, level[0]): level[1] for side, levels in (("buy", bids), ("sell", asks)) for level in levels}

    def _changes(self, listing: Listing, now_ns: int) -> list[list[str]]:
        before, after = self._books[listing.symbol], self._book(listing, now_ns)
        self._books[listing.symbol] = after
        gone = [[side, price, "0.00000000"] for side, price in before if (side, price) not in after]
        return gone + [
            [side, price, size] for (side, price), size in after.items() if before.get((side, price)) != size
        ]

    def _heartbeat(self, listing: Listing, now_ns: int) -> str:
        told = {"type": "heartbeat", "sequence": now_ns // SECOND, "last_trade_id": 0, "product_id": listing.symbol}
        return text(told | {"time": iso(now_ns, "microseconds")})

    def _status(self, listed: Collection[Listing]) -> list[str]:
        products = [product(listing, delisted=False) for listing in listed]
        return [text({"type": "status", "products": products, "currencies": []})] if products else []


def _error(message: str, reason: str) -> str:
    return text({"type": "error", "message": message, "reason": reason})
