"""Lands the stream's trades in the raw tables, in microbatches through the same fenced publish as an ingest's.

It is an ingest whose pages come from the feed: it moves the same watermarks, over trades that follow them without a gap
and no others. So whichever of the two comes first, a trade is written once, and what neither has is told as missing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.messages import Page, Record
from schemahub_lib.live.feeds.base import Trade
from schemahub_lib.live.sequence import Gap, Tape
from schemahub_lib.pipeline import runs
from schemahub_lib.pipeline.ingest import sync_watermarks
from schemahub_lib.pipeline.pages import typed
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.rebuild import current_state

log = logging.getLogger(__name__)


class Recorder:
    """One exchange's trades on their way into its raw table: added in one thread, published in another."""

    def __init__(self, lake: Lake, exchange: Exchange, symbols: Sequence[str]) -> None:
        self._lake, self._exchange = lake, exchange
        self._tapes = {symbol: Tape(exchange, symbol) for symbol in symbols}
        self._lock = threading.Lock()
        self.report = Report(new_run_id(), "record", exchange.name)

    def add(self, trade: Trade) -> None:
        with self._lock:
            self._tapes[trade.symbol].add(trade)

    def settled(self, gap: Gap) -> None:
        """Note that the trades of a gap are all that there are."""
        with self._lock:
            self._tapes[gap.symbol].settled(gap)

    def publish(self) -> list[Gap]:
        """Publish what follows the watermarks; what is missing between them and what waits still.

        A publish that is refused leaves everything waiting for the next one.
        """
        state = current_state(self._lake, self._exchange)
        batch: dict[str, Fetched] = {}
        gaps: list[Gap] = []
        for symbol, tape in self._tapes.items():
            mark = state.watermark(symbol)
            with self._lock:
                records, gap = tape.ready(mark), tape.behind(mark)
            if gap is not None:
                gaps.append(gap)
            if records:
                rows, _ = typed(self._exchange, symbol, _page(records), keep_payload=True)
                last = self._exchange.raw_table.key[-1]
                newest = str(records[-1][last])
                when = moment(self._exchange.time_of(records[-1][self._exchange.time_column]))
                batch[symbol] = Fetched(rows, mark, self._exchange.resume_cursor(newest, when))
        if batch:
            try:
                done = append_raw(self._lake, self._exchange.raw_table, self.report.run_id, batch)
            except SchemaHubError as error:
                log.warning(
                    "%s: the stream could not be recorded now, it is tried again: %s", self._exchange.name, error
                )
                return []
            self.report.rows += done.result.rows
            self.report.duplicates += done.result.duplicates
            self.report.publish_seconds += sum(done.seconds.values())
        return gaps

    def close(self) -> None:
        """Publish what is left, and note the run in the ledgers."""
        self.publish()
        self.report.finish("ok" if self.report.rows else "nothing_new")
        sync_watermarks(self._lake, self._exchange, self.report.run_id)
        runs.record(self._lake, [self.report])


def _page(records: Sequence[Record]) -> Page:
    return Page({name: [record[name] for record in records] for name in records[0]}, [], "")
