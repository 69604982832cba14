"""Lands the stream's trades in the raw tables, in microbatches through the same fenced publish as an ingest's.

It is an ingest whose pages come from the feed: it moves the same watermarks, over trades that follow them without a gap
and no others. So whichever of the two comes first, a trade is written once, and what neither has is told as missing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from schemahub_lib.errors import sentence
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.messages import Page, Record
from schemahub_lib.live.feeds.base import Trade
from schemahub_lib.live.sequence import GAP_MOST, Gap, Tape
from schemahub_lib.pipeline import runs
from schemahub_lib.pipeline.ingest import sync_watermarks
from schemahub_lib.pipeline.pages import typed
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.rebuild import current_state
from schemahub_lib.watermark import Watermark

log = logging.getLogger(__name__)

NOTED_EVERY = timedelta(minutes=10)  # in the ledgers: as often as an ingest may run that is scheduled


class Recorder:
    """One exchange's trades on their way into its raw table: added in one thread, published in another."""

    def __init__(self, lake: Lake, exchange: Exchange, symbols: Sequence[str]) -> None:
        self._lake, self._exchange = lake, exchange
        self._tapes = {symbol: Tape(exchange, symbol) for symbol in symbols}
        self._lock = threading.Lock()
        self.rows = 0  # that were landed
        self.report = Report(new_run_id(), "record", exchange.name)

    def add(self, trade: Trade) -> None:
        with self._lock:
            self._tapes[trade.symbol].add(trade)

    def settled(self, gap: Gap, trades: Sequence[Trade]) -> None:
        """Take in the trades of a gap, which are all that there are: also those that were added and dropped."""
        with self._lock:
            self._tapes[gap.symbol].settled(gap, trades)

    def publish(self) -> list[Gap]:
        """Publish what follows the watermarks; what is missing between them and what waits still.

        What fails leaves everything waiting for the next time, and the report says so until then.
        """
        gaps: list[Gap] = []
        with self._tried():
            gaps = self._publish()
            self.report.errors.clear()
        if datetime.now(UTC) - self.report.started_at >= NOTED_EVERY:
            with self._tried():
                self._note()
        return gaps

    def close(self) -> None:
        """Publish what is left, and note the run in the ledgers, as far as the store lets it."""
        self.publish()
        with self._tried():
            self._note()

    @contextmanager
    def _tried(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of the store or of another writer: the feed goes on
            self.report.errors[self._exchange.name] = sentence(error)
            log.warning("%s: the stream could not be recorded: %s", self._exchange.name, sentence(error))

    def _note(self) -> None:
        """Note in the ledgers what was done since the last time: a run like another."""
        self.report.finish("failed" if self.report.errors else "ok" if self.report.rows else "nothing_new")
        sync_watermarks(self._lake, self._exchange, self.report.run_id)
        runs.record(self._lake, [self.report])
        self.report = Report(new_run_id(), "record", self._exchange.name, errors=self.report.errors)

    def _publish(self) -> list[Gap]:
        state = current_state(self._lake, self._exchange)
        batch: dict[str, Fetched] = {}
        gaps: list[Gap] = []
        for symbol, tape in self._tapes.items():
            mark = state.watermark(symbol)
            with self._lock:
                records, gap = tape.ready(mark), tape.behind(mark)
                if gap is not None and len(gap) > GAP_MOST:
                    tape.forget()  # the ingest that has to fill the gap brings these too
            gaps += [gap] if gap is not None else []
            if records:
                batch[symbol] = self._fetched(symbol, records, mark)
        if batch:
            done = append_raw(self._lake, self._exchange.raw_table, self.report.run_id, batch)
            self.rows += done.result.rows
            self.report.rows += done.result.rows
            self.report.duplicates += done.result.duplicates
            self.report.publish_seconds += sum(done.seconds.values())
        return gaps

    def _fetched(self, symbol: str, records: Sequence[Record], mark: Watermark | None) -> Fetched:
        exchange, last = self._exchange, records[-1]
        rows, rejected = typed(exchange, symbol, _page(records), keep_payload=True)
        if rejected:
            quarantine(self._lake, exchange.name, symbol, self.report.run_id, rejected)
            self.report.quarantined += len(rejected)
        when = moment(exchange.time_of(last[exchange.time_column]))
        return Fetched(rows, mark, exchange.resume_cursor(str(last[exchange.id_column]), when))


def _page(records: Sequence[Record]) -> Page:
    return Page({name: [record[name] for record in records] for name in records[0]}, [], "")
