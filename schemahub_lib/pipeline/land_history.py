"""`backfill`: a product's history from new to old, landed as objects."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from schemahub_lib.config import Settings
from schemahub_lib.errors import CheckpointCorrupt, ExchangeError, Interrupted, UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Page
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.claim import Claim
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import checkpoint_key, local_checkpoint_key
from schemahub_lib.pipeline.backfill import BackfillOptions, pieces, wanted_range
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.distributed import Cluster
from schemahub_lib.pipeline.landed import survey
from schemahub_lib.pipeline.landing import MOST_BYTES, MOST_ROWS, Landing, Objects, claimed
from schemahub_lib.pipeline.products import spelled, wanted_products
from schemahub_lib.pipeline.progress import Journey
from schemahub_lib.pipeline.workers import Outcome, for_each, until_stopped
from schemahub_lib.tables.state import Intervals, Stream, cover

log = logging.getLogger(__name__)


def land_history(
    settings: Settings,
    exchange: Exchange,
    options: BackfillOptions,
    landing: Landing,
    checkpoints: Checkpoints,
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
    names = wanted_products(exchange, options.products, options.seed_path)
    with open_client(settings, exchange, stop) as client:

        def work(product: str, outcome: Outcome) -> None:
            with claimed(landing, "backfill", exchange, product) as held:
                _Backfill(client, exchange, options, landing, checkpoints, journey, outcome, held, cluster, stop).run(
                    resume
                )

        outcomes = [Outcome(product) for product in spelled(exchange, client, names)[0]]
        journey.expect(len(outcomes))
        try:
            for_each(outcomes, options.workers, stop, work)
        except Interrupted:
            raise Interrupted("stopped; the same command with --resume goes on where this one ended") from None
    return outcomes


def checkpoints_of(landing: Landing, source: str, *, beside: bool) -> Checkpoints:
    """Backfills' checkpoints: in ./state, or `beside` the objects."""
    if beside:
        return Checkpoints(landing.store, source, partial(checkpoint_key, landing.prefix))
    return Checkpoints(LocalStore.make("."), source, partial(local_checkpoint_key, source))


class _Backfill:
    """One product's way back."""

    def __init__(
        self,
        client: HttpClient,
        exchange: Exchange,
        options: BackfillOptions,
        landing: Landing,
        checkpoints: Checkpoints,
        journey: Journey,
        outcome: Outcome,
        held: Claim,
        cluster: Cluster | None,
        stop: threading.Event,
    ) -> None:
        self.client, self.exchange, self.options, self.landing = client, exchange, options, landing
        self.checkpoints, self.journey, self.outcome, self.held = checkpoints, journey, outcome, held
        self.product, self.cluster, self.stop = outcome.product, cluster, stop
        self.objects = Objects(landing, exchange, outcome, newest_first=True)
        # Checkpoints beside their objects may move with them.
        self.place = None if checkpoints.store is landing.store else f"{landing.store.uri}/{landing.prefix}"
        self.processed = 0
        self.last_id = "0"  # of the oldest trade landed
        self.empty: Intervals = ()  # positions at which the exchange has no trades, asked and answered
        self.landed: Intervals = ()  # what lies below the checkpoint nevertheless

    def run(self, resume: bool) -> None:
        found = wanted_range(self.client, self.exchange, self.product, self.options.since, self.options.until)
        position = None
        if resume:
            position = self._resume_at()
        else:
            self._start_anew()
        if found is None or (position is not None and position <= found[0]):
            self.journey.arrive(self.product)
            self.outcome.status = "nothing new"
            return
        low, high = found
        if position is not None:
            if high < position - 1 and self.options.until is not None:
                raise UsageError(
                    f"{self.exchange.name} {self.product}: the checkpoint is at {position}, and with this --until what "
                    f"lies from there down to {high + 1} would be left out for ever: leave --until out, or --resume"
                )
            high = min(high, position - 1)
        ranges = Stream(None, self.landed).missing(low, high)
        self.journey.begin(self.product, sum(end - start + 1 for start, end in ranges))
        reached = high + 1
        if position is None:
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
        if self.place is not None:
            details["place"] = self.place
        if below := [part for part in self.landed if part[0] < position]:
            details["landed"] = below
        self.checkpoints.save(self.product, Checkpoint(last, self.processed, datetime.now(UTC), details))
        self.outcome.last_trade_id = last

    def _start_anew(self) -> None:
        try:
            known = self.checkpoints.load(self.product)
        except CheckpointCorrupt as error:
            log.warning("%s", error)
            return
        if known is not None:
            log.warning(
                "%s %s: a checkpoint says that an earlier backfill came down to trade %s; without --resume this one "
                "begins at the newest trade again, and its checkpoint takes the place of that one",
                *(self.exchange.name, self.product, known.last_trade_id),
            )

    def _resume_at(self) -> int | None:
        """The position below which to go on; None where nothing was landed yet."""
        try:
            known = self.checkpoints.load(self.product)
        except CheckpointCorrupt as error:
            log.warning("%s; reading what has landed instead", error)
            parts = survey(self.landing.store, self.landing.prefix, self.exchange, self.product)
            if not parts:
                return None
            self.processed, self.last_id = sum(part.trades for part in parts), parts[-1].oldest
            self.landed = tuple((part.low, part.high) for part in parts[:-1])
            self._save(parts[-1].low)
            return parts[-1].low
        if known is None:
            return None
        if self.place is not None and known.details.get("place", self.place) != self.place:
            raise UsageError(
                f"{self.exchange.name} {self.product}: the checkpoint is of objects in {known.details['place']}, and "
                f"says nothing of {self.place}: run it in another folder, or keep checkpoints beside the objects with "
                "--checkpoint-s3"
            )
        self.processed, self.last_id = known.trades_processed or 0, known.last_trade_id
        self.empty = tuple((low, high) for low, high in known.details.get("empty", ()))
        self.landed = tuple((low, high) for low, high in known.details.get("landed", ()))
        if "position" in known.details:
            return int(known.details["position"])
        if self.exchange.raw_table.position == "time":
            raise UsageError(
                f"{self.exchange.name} {self.product}: the checkpoint does not say at which time to go on; "
                "remove it to begin again"
            )
        return int(known.last_trade_id)


def _flipped(page: Page) -> Page:
    """A page newest first."""
    return replace(page, columns={name: values[::-1] for name, values in page.columns.items()})
