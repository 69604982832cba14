"""What the feed does not tell, asked over REST by the same connectors and client as an ingest: one exchange's."""

from __future__ import annotations

import threading
from datetime import datetime

from schemahub_lib.config import Settings
from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.live.feeds.base import Feed, Quote, Trade, quote
from schemahub_lib.live.sequence import Gap
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.watermark import Watermark

MINUTE = 60_000_000  # microseconds
PATIENCE = 10.0  # seconds after which an exchange counts as not to be reached over REST either


class Rest:
    """Blocks: to be used from threads. Every method raises ExchangeError and Interrupted."""

    def __init__(self, settings: Settings, feed: Feed, stop: threading.Event) -> None:
        self._feed, self._exchange = feed, feed.exchange
        self._client = open_client(settings, feed.exchange, stop, PATIENCE)

    def close(self) -> None:
        self._client.close()

    def quote(self, symbol: str) -> Quote | None:
        """The best prices now; None while a side of the book is empty."""
        book = self._client.ask(self._exchange.book(symbol, depth=1))
        bids, asks = book["bids"], book["asks"]
        return quote(symbol, (*bids[0], *asks[0]), book["time"]) if bids and asks else None

    def missed(self, gap: Gap) -> list[Trade]:
        """The trades of a gap."""
        by_id = self._exchange.raw_table.position == "id"
        low, high = (gap.low, gap.high) if by_id else (gap.since, gap.until)
        found = []
        for page in self._client.pages(self._exchange.between(gap.symbol, low, high)):
            if page.rejected:
                raise UnexpectedResponse(
                    f"a row of the gap is no trade ({page.rejected[0].reason}): an ingest sets it aside",
                    exchange=self._exchange.name,
                    endpoint="trades",
                    product=gap.symbol,
                )
            found += [self._feed.trade(record) for record in page.records]
        return [trade for trade in found if gap.low <= trade.id <= gap.high]

    def newest(self, symbol: str, last: Trade | None, now: int) -> list[Trade]:
        """The trades after one, else those of the last minute. `now` is in microseconds since 1970."""
        start: Watermark | datetime = moment(now - MINUTE)
        if last is not None:
            when = moment(last.time)
            start = Watermark(str(last.id), when, self._exchange.resume_cursor(str(last.id), when))
        pages = self._client.pages(self._exchange.trades(symbol, start))
        return [self._feed.trade(record) for page in pages for record in page.records]
