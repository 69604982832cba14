"""Ingest: fetch what is new since each stream's watermark and publish it into the source's raw table."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import Interrupted, sentence
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Rejected
from schemahub_lib.logs import event
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.pages import typed
from schemahub_lib.pipeline.products import resolve, wanted_products
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.quality.drift import Watch
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.schemas import WATERMARKS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.rebuild import current_state
from schemahub_lib.tables.state import State, read_state
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BATCH_ROWS = 250_000  # rows in one publish: what bounds memory, whatever the number of trades
QUEUED_PAGES = 100


@dataclass(frozen=True)
class IngestOptions:
    """What to fetch. `since` is where a stream without a watermark starts, in place of the cold-start window."""

    products: Sequence[str] = ()
    seed_path: str | None = None
    cold_start_window: timedelta = timedelta(minutes=45)
    since: datetime | None = None
    until: datetime | None = None
    max_catch_up: int | None = None  # trades per stream and run
    workers: int = 4
    keep_payload: bool = True

    def cold_start(self) -> datetime:
        return self.since or datetime.now(UTC) - self.cold_start_window


@dataclass
class _Pending:
    """A stream's part of the next publish."""

    start: Watermark | None
    cursor: str = ""
    rows: list[pa.Table] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True)
class _Arrived:
    """A page on its way from a fetching thread to the publishing one."""

    stream: str
    rows: pa.Table
    rejected: list[Rejected]
    cursor: str


def ingest(
    lake: Lake,
    exchange: Exchange,
    options: IngestOptions,
    report: Report,
    progress: Progress,
    stop: threading.Event,
    when_new: Callable[[], None] = lambda: None,
) -> None:
    """Bring one exchange's raw table up to date, and tell in the report what was done: also when an error is raised.

    One product's failure is in the report and not raised. `when_new` is called, from a fetching thread and perhaps
    often, as soon as there are new trades. Setting `stop` ends it after the publish under way; the report then says
    'interrupted'. Raises PublishRefused, UsageError, and ExchangeUnavailable when it is the exchange as a whole.
    Whatever happens, what was published stays and nothing else does.
    """
    with open_client(lake.settings, exchange, stop) as client:
        names = wanted_products(exchange, options.products, options.seed_path)
        state = current_state(lake, exchange)
        try:
            symbols = resolve(lake, exchange, client, names)
            run = _Run(lake, exchange, client, options, report, progress, stop, when_new)
            run.fetch_and_publish(symbols, state)
            sync_watermarks(lake, exchange, report.run_id)
            run.watch.settle(lake)
        except Interrupted:
            report.finish("interrupted")
            return
        finally:
            report.count(client.stats)
    if report.errors:
        report.finish("failed" if len(report.errors) == len(symbols) and not report.rows else "partial")
    else:
        report.finish("ok" if report.rows or report.quarantined else "nothing_new")


class _Run:
    """One ingest under way: threads fetch pages in stream order, the caller's thread publishes them in batches."""

    def __init__(
        self,
        lake: Lake,
        exchange: Exchange,
        client: HttpClient,
        options: IngestOptions,
        report: Report,
        progress: Progress,
        stop: threading.Event,
        when_new: Callable[[], None],
    ) -> None:
        self.when_new = when_new
        self.lake, self.exchange, self.client = lake, exchange, client
        self.options, self.report, self.progress, self.stop = options, report, progress, stop
        self.watch = Watch(exchange)
        self.arrivals: queue.Queue[_Arrived | None] = queue.Queue(QUEUED_PAGES)

    def fetch_and_publish(self, symbols: Sequence[str], state: State) -> None:
        starts = {symbol: state.watermark(symbol) for symbol in symbols}
        pending = {symbol: _Pending(starts[symbol]) for symbol in symbols}
        with ThreadPoolExecutor(self.options.workers, f"fetch-{self.exchange.name}") as pool:
            try:
                for symbol, start in starts.items():
                    pool.submit(self._fetch, symbol, start)
                waiting, open_streams = 0, len(symbols)
                while open_streams:
                    arrived = self._next()
                    if arrived is None:
                        open_streams -= 1
                        continue
                    stream = pending[arrived.stream]
                    stream.rows.append(arrived.rows)
                    stream.rejected += arrived.rejected
                    stream.cursor = arrived.cursor
                    waiting += arrived.rows.num_rows
                    if waiting >= BATCH_ROWS:
                        state = self._publish(pending) or state
                        waiting = 0
                state = self._publish(pending) or state
            except BaseException:
                self.stop.set()
                raise
        self._note_lag(symbols, state)

    def _next(self) -> _Arrived | None:
        while not self.stop.is_set():
            try:
                return self.arrivals.get(timeout=0.2)
            except queue.Empty:
                continue
        raise Interrupted("stopped")

    def _fetch(self, symbol: str, start: Watermark | None) -> None:
        """Fetch one stream to the head of its tape (runs in a worker thread)."""
        try:
            fetched = 0
            origin = start or self.options.cold_start()
            if start is not None and self.options.since is not None:
                log.info("%s %s: continues after its watermark; --since is for new streams", self.exchange.name, symbol)
            for page in self.client.pages(self.exchange.trades(symbol, origin, self.options.until)):
                self.watch.page(symbol, page)
                rows, rejected = typed(self.exchange, symbol, page, keep_payload=self.options.keep_payload)
                fetched += rows.num_rows
                self.progress.add(self.exchange.name, symbol, rows.num_rows)
                if fetched:
                    self.when_new()
                self._hand_over(_Arrived(symbol, rows, rejected, page.cursor))
                if self.options.max_catch_up is not None and fetched >= self.options.max_catch_up:
                    log.info("%s %s: stopped after %d trades, as told", self.exchange.name, symbol, fetched)
                    break
        except Interrupted:
            log.debug("%s %s: fetching stopped", self.exchange.name, symbol)
        except Exception as error:  # noqa: BLE001 - a bug must not cost the other streams their run
            self._failed(symbol, sentence(error))
        finally:
            self._hand_over(None)

    def _failed(self, symbol: str, message: str) -> None:
        where = "" if message.startswith(self.exchange.name) else f"{self.exchange.name} {symbol}: "
        failed = event("stream_failed", source=self.exchange.name, stream=symbol, run_id=self.report.run_id)
        log.error("%s%s", where, message, exc_info=log.isEnabledFor(logging.DEBUG), extra=failed)
        self.report.errors[symbol] = message

    def _hand_over(self, arrived: _Arrived | None) -> None:
        while not self.stop.is_set():
            try:
                self.arrivals.put(arrived, timeout=0.2)
                return
            except queue.Full:
                continue

    def _publish(self, pending: Mapping[str, _Pending]) -> State | None:
        """Publish and empty what is pending; the table's new state, or None when nothing moved."""
        import pyarrow as pa

        batch: dict[str, Fetched] = {}
        for symbol, stream in pending.items():
            if stream.rejected:
                quarantine(self.lake, self.exchange.name, symbol, self.report.run_id, stream.rejected)
                self.report.quarantined += len(stream.rejected)
            if stream.rows:
                batch[symbol] = Fetched(pa.concat_tables(stream.rows), stream.start, stream.cursor)
        if not batch:
            return None
        published = append_raw(self.lake, self.exchange.raw_table, self.report.run_id, batch)
        self.report.rows += published.result.rows
        self.report.duplicates += published.result.duplicates
        self.report.publish_seconds += sum(published.seconds.values())
        for symbol in batch:
            stream = pending[symbol]
            stream.rows, stream.rejected = [], []
            if published.state is not None:
                stream.start = published.state.watermark(symbol)
        return published.state

    def _note_lag(self, symbols: Sequence[str], state: State) -> None:
        newest = [mark.last_ts for symbol in symbols if (mark := state.watermark(symbol))]
        if newest:
            self.report.lag_seconds = (datetime.now(UTC) - max(newest)).total_seconds()


def sync_watermarks(lake: Lake, exchange: Exchange, run_id: str) -> None:
    """Bring the readable watermark ledger of a source in line with the state that travels with its data."""

    def corrected(ledger: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        raw = lake.ensure(exchange.raw_table)
        truth = [
            {
                "source": exchange.name,
                "stream": name,
                "last_trade_id": stream.watermark.last_trade_id,
                "last_ts": stream.watermark.last_ts,
                "cursor": stream.watermark.cursor,
            }
            for name, stream in sorted(read_state(raw).streams.items())
            if stream.watermark is not None
        ]
        ledger.sort(key=itemgetter("stream"))
        if [{name: row[name] for name in WATERMARKS.column_names[:5]} for row in ledger] == truth:
            return None
        stamp = {"snapshot_id": raw.metadata.current_snapshot_id, "run_id": run_id, "updated_at": datetime.now(UTC)}
        return [row | stamp for row in truth]

    lake.update_partition(WATERMARKS, exchange.name, corrected)
