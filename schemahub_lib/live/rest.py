"""What the feed does not tell, asked over REST by the same connectors and client as an ingest: one exchange's."""

from __future__ import annotations

import threading
from datetime import datetime
from itertools import islice

from schemahub_lib.config import Settings
from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.live.feeds.base import Feed, Quote, Trade, quote
from schemahub_lib.live.sequence import APART, GAP_MOST, Gap
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
        exchange, by_time = self._exchange, self._exchange.raw_table.position == "time"
        flow = (
            exchange.trades(gap.symbol, moment(gap.since - APART), moment(gap.until + APART))
            if by_time
            else exchange.between(gap.symbol, gap.low, gap.high)
        )
        found: dict[int, Trade] = {}
        for page in self._client.pages(flow):
            if page.rejected:
                why = f"a row of the gap is no trade ({page.rejected[0].reason}): an ingest sets it aside"
                raise self._unexpected(why, gap.symbol)
            found |= {trade.id: trade for trade in map(self._feed.trade, page.records)}
        # Where times count, only its neighbours show that the gap was answered from end to end.
        if by_time and not found.keys() >= {gap.low - 1, gap.high + 1}:
            raise self._unexpected(f"the trades around {gap.low} to {gap.high} are not told", gap.symbol)
        return [trade for number, trade in found.items() if gap.low <= number <= gap.high]

    def newest(self, symbol: str, last: Trade | None, now: int) -> list[Trade]:
        """The trades after one; those of the last minute where there is none, or too many followed it. `now` is in
        microseconds since 1970."""
        if last is not None:
            when = moment(last.time)
            after = Watermark(str(last.id), when, self._exchange.resume_cursor(str(last.id), when))
            found = self._some(symbol, after)
            if len(found) <= GAP_MOST:
                return found
        return self._some(symbol, moment(now - MINUTE))

    def _some(self, symbol: str, start: Watermark | datetime) -> list[Trade]:
        """The trades from `start` on, and no more than tells that they are too many."""
        pages = self._client.pages(self._exchange.trades(symbol, start))
        records = (record for page in pages for record in page.records)
        return [self._feed.trade(record) for record in islice(records, GAP_MOST + 1)]

    def _unexpected(self, why: str, symbol: str) -> UnexpectedResponse:
        return UnexpectedResponse(why, exchange=self._exchange.name, endpoint="trades", product=symbol)
