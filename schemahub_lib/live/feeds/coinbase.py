"""Coinbase Exchange (`wss://ws-feed.exchange.coinbase.com`): level2_batch, matches, heartbeat and status.

`ticker` is sent per trade and not when quotes change, so the best prices are those of the book that level2_batch tells.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from decimal import Decimal

from schemahub_lib.live.feeds.base import (
    Answer,
    Event,
    Feed,
    Goodbye,
    Json,
    Market,
    Quote,
    Status,
    decimal,
    iso,
    loads,
)

CHANNELS = ("level2_batch", "matches", "heartbeat")
RESTRICTIONS = ("cancel_only", "post_only")  # in which nothing is matched


class CoinbaseFeed(Feed):
    name = "coinbase"
    base_url = "wss://ws-feed.exchange.coinbase.com"
    path = "/"
    silence = 10.0  # each product beats once a second
    between = 1.0  # 8 connections a second

    def __init__(self, markets: Sequence[Market]) -> None:
        super().__init__(markets)
        self._books: dict[str, _Book] = {}

    def named(self, market: Market) -> str:
        return market.symbol

    def opened(self) -> list[str]:
        self._books.clear()
        return [
            json.dumps({"type": "subscribe", "product_ids": list(self.markets), "channels": CHANNELS}),
            json.dumps({"type": "subscribe", "channels": [{"name": "status"}]}),  # of all products there are
        ]

    # {"type":"match","trade_id":1081862675,"maker_order_id":"f07e510f-…","taker_order_id":"e6f50944-…","side":"sell",
    #  "size":"0.00000001","price":"80691.53","product_id":"BTC-USD","sequence":134905860111,
    #  "time":"2026-08-25T03:35:57.198335Z"}; last_match likewise, a trade of before the subscription
    # {"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}
    # {"type":"l2update","product_id":"BTC-USD","changes":[["buy","22356.270000","0.00000000"]],
    #  "time":"2022-08-04T15:25:05.010758Z"}
    def read(self, frame: str) -> list[Event]:
        told: Json = loads(frame)
        kind, product = told.get("type"), told.get("product_id")
        if kind == "subscriptions":
            return [Answer(True, None, f"subscribed to {len(self.markets)} markets")]
        if kind == "error":
            why = ": ".join(filter(None, (told["message"], told.get("reason"))))
            return [Answer(False, next((name for name in self.markets if name in why.split()), None), why)]
        if kind == "status":
            return [
                Status(listed["id"], _halted(listed)) for listed in told["products"] if listed["id"] in self.markets
            ]
        if product not in self.markets:
            return []
        if kind in ("match", "last_match"):
            return [*self.trades([(told, frame)], product)]
        if kind == "snapshot":
            self._books[product] = book = _Book(told["bids"], told["asks"])
            return self._best(product, book, told.get("time"))  # one that crosses itself is that of an auction
        if kind == "l2update" and product in self._books:
            book = self._books[product]
            before, crossed = book.best, book.crossed
            for side, price, size in told["changes"]:
                book.change(side, decimal(price), decimal(size))
            if book.crossed and not crossed:
                return [Goodbye(f"the book of {product} crosses itself, so a change of it was missed")]
            return self._best(product, book, told.get("time")) if book.best != before else []
        return []

    def _best(self, product: str, book: _Book, time: str | None) -> list[Event]:
        best = book.best
        if best is None or book.crossed:
            return []
        return [Quote(product, *best, iso(time) if time else None)]


def _halted(listed: Json) -> str:
    """Why a product of the status channel does not trade; empty when it does."""
    if listed["status"] != "online":
        return f"the exchange has it {listed['status']}"
    return next((f"the exchange has it {name.replace('_', ' ')}" for name in RESTRICTIONS if listed.get(name)), "")


class _Book:
    """The sizes at every price of both sides; the prices sorted, so that the best one costs nothing to know."""

    def __init__(self, bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> None:
        sizes = {
            side: {decimal(price): decimal(size) for price, size in levels}
            for side, levels in (("buy", bids), ("sell", asks))
        }
        self._sizes = sizes
        self._prices = {side: sorted(levels) for side, levels in sizes.items()}

    def change(self, side: str, price: Decimal, size: Decimal) -> None:
        sizes, prices = self._sizes[side], self._prices[side]
        if size and price not in sizes:
            insort(prices, price)
        elif not size and price in sizes:
            del prices[bisect_left(prices, price)]
        if size:
            sizes[price] = size
        else:
            sizes.pop(price, None)

    @property
    def best(self) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        """Bid, its size, ask, its size; None while a side is empty."""
        bids, asks = self._prices["buy"], self._prices["sell"]
        if not bids or not asks:
            return None
        return bids[-1], self._sizes["buy"][bids[-1]], asks[0], self._sizes["sell"][asks[0]]

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at the best ask, or above it."""
        best = self.best
        return best is not None and best[0] >= best[2]
