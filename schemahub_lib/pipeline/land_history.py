"""`backfill`: a product's history from new to old, landed as objects."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.config import Settings
from schemahub_lib.errors import ExchangeError, Interrupted
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Page
from schemahub_lib.landing.checkpoints import Checkpoint
from schemahub_lib.landing.claim import Claim
from schemahub_lib.pipeline.backfill import BackfillOptions, pieces, wanted_range
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.distributed import Cluster
from schemahub_lib.pipeline.landing import MOST_BYTES, MOST_ROWS, Landing, Objects, claimed
from schemahub_lib.pipeline.products import spelled, wanted_products
from schemahub_lib.pipeline.progress import Journey
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.resume import Earlier, Resumption
from schemahub_lib.pipeline.runs import gathering, tell
from schemahub_lib.pipeline.workers import Outcome, for_each, until_stopped
from schemahub_lib.tables.state import Intervals, cover

log = logging.getLogger(__name__)


def land_history(
    settings: Settings,
    exchange: Exchange,
    options: BackfillOptions,
    landing: Landing,
    resumption: Resumption,
    journey: Journey,
    stop: threading.Event,
    *,
    resume: bool,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Land the history of products from new to old, in objects of a million trades or 64 MiB.

    After each object a checkpoint tells how far it came; with `resume` that is where it goes on. One product's failure
    is in its outcome. Raises Interrupted, UsageError, ExchangeUnavailable.
    """
    exchange = exchange.in_pages_of(options.chunk_size)
    stopped = "stopped; the same command with --resume goes on where this one ended"
    report, outcomes = Report(new_run_id(), "land history", exchange.name), list[Outcome]()
    with (
        open_client(settings, exchange, stop) as client,
        gathering(report, outcomes, lambda: tell(report, settings), client.stats, stopped),
    ):

        def work(product: str, outcome: Outcome) -> None:
            with claimed(landing, "backfill", exchange, product) as held:
                _Backfill(client, exchange, options, landing, resumption, journey, outcome, held, cluster, stop).run(
                    resume
                )

        names = wanted_products(exchange, options.products, options.seed_path)
        outcomes += [Outcome(product) for product in spelled(exchange, client, names)[0]]
        journey.expect(len(outcomes))
        for_each(exchange.name, outcomes, options.workers, stop, work)
    return outcomes


class _Backfill:
    """One product's way back."""

    def __init__(
        self,
        client: HttpClient,
        exchange: Exchange,
        options: BackfillOptions,
        landing: Landing,
        resumption: Resumption,
        journey: Journey,
        outcome: Outcome,
        held: Claim,
        cluster: Cluster | None,
        stop: threading.Event,
    ) -> None:
        self.client, self.exchange, self.options, self.landing = client, exchange, options, landing
        self.resumption, self.journey, self.outcome, self.held = resumption, journey, outcome, held
        self.product, self.cluster, self.stop = outcome.product, cluster, stop
        self.objects = Objects(landing, exchange, outcome, newest_first=True)
        self.earlier = Earlier()
        self.processed = 0
        self.last_id = "0"  # of the oldest trade landed
        self.empty: Intervals = ()  # positions at which the exchange has no trades, asked and answered

    def run(self, resume: bool) -> None:
        if resume:
            self.earlier = self.resumption.earlier(self.product)
        else:
            self.resumption.start_anew(self.product)
        self.processed, self.last_id = self.earlier.processed, self.earlier.last_id
        self.empty = self.earlier.empty
        if self.earlier.rebuilt and self.earlier.position is not None:
            self._save(self.earlier.position)
        options = self.options
        wanted = wanted_range(self.client, self.exchange, self.product, options.since, options.until)
        left = self.resumption.left(self.product, self.earlier, wanted, options.until)
        if left is None:
            self.journey.arrive(self.product)
            self.outcome.status = "nothing new"
            return
        low, high = left
        ranges = self.earlier.missing(low, high)
        self.journey.begin(self.product, sum(end - start + 1 for start, end in ranges))
        reached = high + 1
        if self.earlier.position is None:
            self._save(reached)  # whoever resumes before anything landed must begin at the same trade
        try:
            way = pieces(self.client, self.exchange, self.product, ranges, self.options.concurrency, self.cluster)
            for piece in until_stopped(way, self.stop):
                full = self.objects.rows + piece.rows > MOST_ROWS and self.objects.reaches_further
                if full or piece.high + 1 < reached:
                    self._commit(reached)
                self.objects.add([_flipped(page) for page in reversed(piece.pages)])
                if piece.rows:
                    oldest = next(page for page in piece.pages if len(page))
                    self.last_id = str(oldest.columns[self.exchange.id_column][0])
                if not piece.rows:
                    self.empty = cover(self.empty, piece.low, piece.high)
                reached = piece.low
                if self.objects.size >= MOST_BYTES and self.objects.reaches_further:
                    self._commit(reached)
                self.journey.advance(self.product, piece.high - piece.low + 1, piece.rows)
            self._commit(low, complete=True)
            self.outcome.status = "complete"
        except (ExchangeError, Interrupted):
            self._commit(reached)
            raise
        finally:
            self.objects.abort()

    def _commit(self, position: int, *, complete: bool = False) -> None:
        """The object first, then the checkpoint: a crash between them lands the same object again."""
        if not (self.objects.waiting or complete):
            return
        self.held.check()
        before = self.outcome.trades
        there = self.objects.commit()
        self.processed += self.outcome.trades - before
        self._save(position if there is None else min(position, there), complete=complete)

    def _save(self, position: int, *, complete: bool = False) -> None:
        last = str(position) if self.exchange.raw_table.position == "id" else self.last_id
        details: dict[str, Any] = {
            "source": self.exchange.name,
            "product": self.product,
            "position": position,
            "complete": complete,
            "empty": self.empty,
        }
        if self.resumption.place is not None:
            details["place"] = self.resumption.place
        if below := [part for part in self.earlier.landed if part[0] < position]:
            details["landed"] = below
        self.resumption.checkpoints.save(self.product, Checkpoint(last, self.processed, datetime.now(UTC), details))
        self.outcome.last_trade_id = last


def _flipped(page: Page) -> Page:
    """A page newest first."""
    return replace(page, columns={name: values[::-1] for name, values in page.columns.items()})
