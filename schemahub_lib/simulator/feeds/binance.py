"""Binance's feed (`wss://stream.binance.com:9443`): the streams trade and bookTicker, raw or combined."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import monotonic

from schemahub_lib.simulator.feeds.base import Feed, text
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.simulator.source import Json, decimals
from schemahub_lib.simulator.tape import Trades

DAY = 24 * 3600 * SECOND
NOTICE = 600 * SECOND  # before the connection is cut; the exchange promises none
SAYS = 5  # messages a second that a client may send
MILLISECOND = 1_000_000


def trades(listing: Listing, found: Trades) -> list[str]:
    """`m` is true where the buyer was the maker."""
    columns = zip(
        (found.time_ns // MILLISECOND + 1).tolist(),
        [listing.symbol] * len(found.id),
        found.id.tolist(),
        *decimals(found.price, listing.price_decimals, 8),
        *decimals(found.size, listing.lot_decimals, 8),
        (found.time_ns // MILLISECOND).tolist(),
        ["false" if buy else "true" for buy in found.buy.tolist()],
        strict=True,
    )
    pattern = '{"e":"trade","E":%d,"s":"%s","t":%d,"p":"%d.%08d","q":"%d.%08d","T":%d,"m":%s,"M":true}'
    return [pattern % row for row in columns]


class BinanceFeed(Feed):
    ping_every = 20.0

    def opened(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        self._combined = path == "/stream"
        if not self._combined and path != "/ws" and not path.startswith("/ws/"):
            return None
        named = query.get("streams", "") if self._combined else path.removeprefix("/ws").lstrip("/")
        self._streams: dict[str, None] = dict.fromkeys(name for name in named.split("/") if name)
        self._said: deque[float] = deque(maxlen=SAYS + 1)
        self._noticed = False
        return []

    def over(self, now_ns: int) -> bool:
        too_many = len(self._said) > SAYS and self._said[-1] - self._said[0] < 1.0
        return too_many or now_ns - self.opened_ns >= DAY

    def said(self, message: Json) -> list[str]:
        self._said.append(monotonic())
        if not isinstance(message, dict):
            return [_error(3, "Invalid JSON: expected value at line 1 column 1")]
        method, names, number = message.get("method"), message.get("params"), message.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return [text({"result": list(self._streams), "id": number})]
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return [_error(2, f"Invalid request: unknown variant `{method}`")]
        if not isinstance(names, list):
            return [_error(2, "Invalid request: missing field `params`")]
        for name in map(str, names):  # what does not exist is accepted, and silent
            if method == "SUBSCRIBE":
                self._streams[name] = None
            else:
                self._streams.pop(name, None)
        return [text({"result": None, "id": number})]

    def passed(self, since_ns: int, now_ns: int) -> list[str]:
        frames: list[str] = []
        listed = {listing.symbol.lower(): listing for listing in self.source.listings().values()}
        for name in self._streams:
            symbol, _, kind = name.partition("@")
            listing = listed.get(symbol)
            if listing is None:
                continue
            if kind == "trade":
                frames += [self._wrapped(name, row) for row in self.rows(listing, trades, since_ns, now_ns)]
            elif kind == "bookTicker" and (quote := self.moved(listing, now_ns)):
                bid, bid_size, ask, ask_size = quote
                told = {"u": now_ns // 1000, "s": listing.symbol, "b": bid, "B": bid_size, "a": ask, "A": ask_size}
                frames.append(self._wrapped(name, text(told)))
        if not self._noticed and now_ns - self.opened_ns >= DAY - NOTICE:
            self._noticed = True
            notice = text({"e": "serverShutdown", "E": now_ns // MILLISECOND})
            frames.append(self._wrapped("!serverShutdown", notice))
        return frames

    def _wrapped(self, stream: str, payload: str) -> str:
        return f'{{"stream":"{stream}","data":{payload}}}' if self._combined else payload


def _error(code: int, message: str) -> str:
    return text({"code": code, "msg": message})
