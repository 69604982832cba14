"""Backfill: a product's history from new to old, straight into its raw table."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from schemahub_lib.errors import ExchangeError, Interrupted
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Rejected
from schemahub_lib.pipeline import distributed
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.distributed import Cluster
from schemahub_lib.pipeline.history import Piece, fetch, walk
from schemahub_lib.pipeline.pages import typed
from schemahub_lib.pipeline.products import resolve, wanted_products
from schemahub_lib.pipeline.progress import Journey
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import gathering, record
from schemahub_lib.pipeline.workers import Outcome, for_each, until_stopped
from schemahub_lib.quality.drift import Watch
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import History, append_history
from schemahub_lib.tables.rebuild import current_state
from schemahub_lib.tables.state import Intervals, Stream, cover
from schemahub_lib.tables.types import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BATCH_ROWS = 250_000  # rows in one publish
SETTLED = timedelta(minutes=1)  # no trade comes in later than that


@dataclass(frozen=True)
class BackfillOptions:
    """Which history to fetch: of which products, between which times, and how.

    `chunk_size` is how many trades a piece has; `concurrency` how many of a product's pieces are fetched at once.
    With `gaps` only what lies between parts that were fetched before.
    """

    products: Sequence[str] = ()
    seed_path: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    chunk_size: int = 1000
    workers: int = 1
    concurrency: int = 4
    keep_payload: bool = True
    gaps: bool = False


def wanted_range(
    client: HttpClient, exchange: Exchange, product: str, since: datetime | None, until: datetime | None
) -> tuple[int, int] | None:
    """The closed range of positions from `since` up to `until` or the newest trade; None when there are no trades."""
    high = client.ask(exchange.head(product))
    low: int | None = exchange.first_position
    if since is not None:
        low = client.ask(exchange.position_at(product, since))
    if high is None or low is None:
        return None
    if until is not None and (end := client.ask(exchange.position_at(product, until))) is not None:
        high = min(high, end - 1)
    return (low, high) if low <= high else None


def pieces(
    client: HttpClient,
    exchange: Exchange,
    product: str,
    ranges: Intervals,
    concurrency: int,
    cluster: Cluster | None,
) -> Generator[Piece, None, None]:
    """A product's history, fetched by this process or by a cluster's executors."""
    if cluster is None:
        return walk(exchange, ranges, partial(fetch, client, exchange, product), at_once=concurrency)
    fetch_there = partial(cluster.fetch, exchange, product)
    return walk(exchange, ranges, fetch_there, at_once=cluster.slots, pages=distributed.PAGES)


def backfill_raw(
    lake: Lake,
    exchange: Exchange,
    options: BackfillOptions,
    run_id: str,
    journey: Journey,
    stop: threading.Event,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Fetch what a raw table does not cover yet, and record the run.

    What is covered travels with each publish, so it is the checkpoint too: another run goes on where this one ended,
    however it ended. One product's failure is in its outcome. Raises Interrupted, UsageError, ExchangeUnavailable.
    """
    report, outcomes = Report(run_id, "backfill", exchange.name), list[Outcome]()
    exchange = exchange.in_pages_of(options.chunk_size)
    watch = Watch(exchange)
    with (
        open_client(lake.settings, exchange, stop) as client,
        gathering(report, outcomes, lambda: record(lake, [report]), client.stats),
    ):
        names = wanted_products(exchange, options.products, options.seed_path)
        state = current_state(lake, exchange)

        def fill(product: str, outcome: Outcome) -> None:
            stream = state.streams.get(product, Stream(None))
            ranges = missing_ranges(client, exchange, product, stream, options)
            if not ranges:
                journey.arrive(product)
                outcome.status = "nothing covered" if options.gaps and not stream.covered else "nothing new"
                return
            journey.begin(product, sum(high - low + 1 for low, high in ranges))
            batch = _Batch(lake, exchange, run_id, outcome, watch, options.keep_payload)
            try:
                way = pieces(client, exchange, product, ranges, options.concurrency, cluster)
                for piece in until_stopped(way, stop):
                    batch.add(piece)
                    journey.advance(product, piece.high - piece.low + 1, piece.rows)
                    if batch.rows >= BATCH_ROWS:
                        batch.publish()
            except (ExchangeError, Interrupted):
                batch.publish()  # what was fetched before is all there is of its range
                raise
            batch.publish()
            outcome.status = "complete"

        outcomes += [Outcome(product) for product in resolve(lake, exchange, client, names)]
        journey.expect(len(outcomes))
        for_each(exchange.name, outcomes, options.workers, stop, fill)
        watch.settle(lake)
    return outcomes


def missing_ranges(
    client: HttpClient, exchange: Exchange, product: str, stream: Stream, options: BackfillOptions
) -> Intervals:
    """What to fetch: from the newest trade down, or from where ingest began, without what is covered."""
    if options.gaps:
        if not stream.covered:
            log.warning(
                "%s %s: nothing is covered yet, so there are no gaps to fill; `backfill --to raw` fetches history",
                *(exchange.name, product),
            )
        if not stream.gaps:
            return ()
        inside = (stream.covered[0][0], stream.covered[-1][1])
        if options.since is None and options.until is None:
            return stream.missing(*inside)
    found = wanted_range(client, exchange, product, options.since, options.until)
    if found is None:
        return ()
    low, high = found
    if options.gaps:
        return stream.missing(max(low, inside[0]), min(high, inside[1]))
    if stream.watermark is not None and stream.covered:
        high = min(high, stream.covered[-1][1])  # what is newer is fetched by ingest
    elif exchange.raw_table.position == "time" and moment(high) > datetime.now(UTC) - SETTLED:
        high -= 1  # there may yet be more trades in the newest one's microsecond
    return stream.missing(low, high)


class _Batch:
    """Pieces of one product that wait for their publish."""

    def __init__(
        self, lake: Lake, exchange: Exchange, run_id: str, outcome: Outcome, watch: Watch, keep_payload: bool
    ) -> None:
        self.lake, self.exchange, self.run_id, self.watch = lake, exchange, run_id, watch
        self.outcome, self.product, self.keep_payload = outcome, outcome.product, keep_payload
        self._empty()

    def _empty(self) -> None:
        self.rows = 0
        self.tables: list[pa.Table] = []
        self.rejected: list[Rejected] = []
        self.covers: Intervals = ()

    def add(self, piece: Piece) -> None:
        for page in piece.pages:
            self.watch.page(self.product, page)
        read = [typed(self.exchange, self.product, page, keep_payload=self.keep_payload) for page in piece.pages]
        for rows, rejected in read:  # all of a piece or, when a page is refused, nothing of it
            self.tables.append(rows)
            self.rejected += rejected
            self.rows += rows.num_rows
        self.covers = cover(self.covers, piece.low, piece.high)

    def publish(self) -> None:
        import pyarrow as pa

        if not self.covers:
            return
        table = self.exchange.raw_table
        rows = pa.concat_tables([arrow_schema(table).empty_table(), *self.tables])
        if self.rejected:
            quarantine(self.lake, self.exchange.name, self.product, self.run_id, self.rejected)
            self.outcome.set_aside += len(self.rejected)
        published = append_history(self.lake, table, self.run_id, {self.product: History(rows, self.covers)})
        self.outcome.trades += published.result.rows
        self.outcome.duplicates += published.result.duplicates
        self._empty()
