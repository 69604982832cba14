"""`ingest`: what is new of each product, landed as objects, after a watermark that lies beside them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from schemahub_lib.config import Settings
from schemahub_lib.errors import CheckpointCorrupt, Conflict, ExchangeError, Interrupted, UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment, place_text, since_epoch
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Page
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.claim import Claim
from schemahub_lib.landing.names import watermark_key
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.landed import survey
from schemahub_lib.pipeline.landing import MOST_BYTES, MOST_ROWS, Landing, Objects, claimed
from schemahub_lib.pipeline.products import spelled, wanted_products
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.runs import gathering, tell
from schemahub_lib.pipeline.workers import Outcome, for_each, until_stopped
from schemahub_lib.quality.drift import Watch
from schemahub_lib.watermark import Watermark

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MicrobatchOptions:
    """Which trades to land: after each product's watermark, or, where there is none, of the cold-start window.

    `limit` is how many are asked for at once. `before` and `after` are ids that bound them from below and from above,
    in Coinbase's words. With `skip_checkpoint` the watermark does not count. A watermark moves only where it leaves no
    hole; where there is none, `before` sets one only once the newest trade is reached.
    """

    products: Sequence[str] = ()
    seed_path: str | None = None
    limit: int | None = None
    before: int | None = None
    after: int | None = None
    skip_checkpoint: bool = False
    cold_start_window: timedelta = timedelta(minutes=45)
    workers: int = 4


def land_new(
    settings: Settings,
    exchange: Exchange,
    options: MicrobatchOptions,
    landing: Landing,
    progress: Progress,
    stop: threading.Event,
) -> list[Outcome]:
    """Land what is new of each product, then move its watermark: a crash between the two lands the same object again.

    One product's failure is in its outcome. Raises Interrupted, UsageError, ExchangeUnavailable.
    """
    if exchange.raw_table.position == "time" and (options.before is not None or options.after is not None):
        raise UsageError(f"{exchange.name} pages by time: --before and --after, which are trade ids, cannot be used")
    if options.limit is not None:
        exchange = exchange.in_pages_of(options.limit)
    watermarks = Checkpoints(landing.store, exchange.name, partial(watermark_key, landing.prefix))
    watch = Watch(exchange)
    on = "it"
    if options.before is not None or options.skip_checkpoint:
        on = "each product's watermark, which need not have come as far"
    stopped = f"stopped; what was landed stays, and the next run goes on after {on}"
    report, outcomes = Report(new_run_id(), "land", exchange.name), list[Outcome]()
    with (
        open_client(settings, exchange, stop) as client,
        gathering(report, outcomes, lambda: tell(report, settings), client.stats, stopped),
    ):

        def work(product: str, outcome: Outcome) -> None:
            _Microbatch(client, exchange, options, landing, watermarks, progress, outcome, stop, watch).run()

        names = wanted_products(exchange, options.products, options.seed_path)
        outcomes += [Outcome(product) for product in spelled(exchange, client, names)[0]]
        for_each(exchange.name, outcomes, options.workers, stop, work)
        watch.say()
    return outcomes


class _Microbatch:
    """What is new of one product."""

    def __init__(
        self,
        client: HttpClient,
        exchange: Exchange,
        options: MicrobatchOptions,
        landing: Landing,
        watermarks: Checkpoints,
        progress: Progress,
        outcome: Outcome,
        stop: threading.Event,
        watch: Watch,
    ) -> None:
        self.watch = watch
        self.client, self.exchange, self.options, self.landing = client, exchange, options, landing
        self.watermarks, self.progress, self.outcome = watermarks, progress, outcome
        self.product, self.stop = outcome.product, stop
        self.objects = Objects(landing, exchange, outcome, newest_first=False)
        self.held: Claim | None = None
        self.known: Watermark | None = None  # what stands in the watermark's file
        self.reached: Watermark | None = None
        self.first: int | None = None  # position
        self.asked = False  # whether somebody said where to begin, in the watermark's place
        self.apart = False  # whether the watermark stays behind what was landed
        self.cut = False  # whether there are trades from `after` on

    def run(self) -> None:
        self.known = self._load()
        # A checkpoint that is not there cannot be skipped: that is how any product begins.
        self.asked = self.options.before is not None or (self.options.skip_checkpoint and self.known is not None)
        start = self._start()
        with ExitStack() as claim:
            try:
                for page in until_stopped(self._pages(start), self.stop):
                    if self.held is None:
                        self.held = self._claim(claim)
                    self._add(page)
                    full = self.objects.rows + self.exchange.page_size > MOST_ROWS or self.objects.size >= MOST_BYTES
                    if full and self.objects.reaches_further:
                        self._commit()
                self._commit(at_head=not self.cut)
            except (ExchangeError, Interrupted):
                self._commit()
                raise
            finally:
                self.objects.abort()
                self._tell_apart()
        if not self.outcome.objects and not self.outcome.set_aside:
            self.outcome.status = "nothing new"

    def _start(self) -> Watermark | datetime:
        if self.options.before is not None:
            self._tell_distance(self.options.before)
            after = str(self.options.before)
            return Watermark(after, moment(0), after)
        if self.options.skip_checkpoint or self.known is None:
            return datetime.now(UTC) - self.options.cold_start_window
        return self.known

    def _tell_distance(self, before: int) -> None:
        newest = self.client.ask(self.exchange.head(self.product)) or 0
        above = min(newest, (self.options.after or newest + 1) - 1) - before
        log.info(
            "%s %s: about %s trades are asked for, going by their ids, and come oldest first; for history there is "
            "`backfill`, which goes from new to old, several pages at once, and can be resumed",
            *(self.exchange.name, self.product, f"{max(above, 0):,}"),
        )

    def _pages(self, start: Watermark | datetime) -> Generator[Page, None, None]:
        for page in self.client.pages(self.exchange.trades(self.product, start)):
            if self.options.after is not None and len(page):
                places = self.exchange.positions(page.columns)
                kept = sum(place < self.options.after for place in places)
                if kept < len(page):
                    self.cut = True
                    columns = {name: values[:kept] for name, values in page.columns.items()}
                    if kept:
                        yield replace(page, columns=columns, cursor=str(places[kept - 1]))
                    return
            yield page

    def _claim(self, claim: ExitStack) -> Claim:
        """From the first trade on nobody else lands this product; and nobody may have done so meanwhile."""
        held = claim.enter_context(claimed(self.landing, "ingest", self.exchange, self.product))
        known = self.known
        if self._load() != known:
            raise Conflict(f"another ingest landed trades of {self.product} meanwhile; the next run goes on after it")
        return held

    def _add(self, page: Page) -> None:
        self.watch.page(self.product, page)
        self.objects.add([page])
        self.progress.add(self.exchange.name, self.product, len(page))
        before = self.reached or (None if self.asked else self.known)
        if not len(page):
            self.reached = before and replace(before, cursor=page.cursor)
            return
        places = self.exchange.positions(page.columns)
        self.first = places[0] if self.first is None else self.first
        if self.known is None and self.reached is None and not self.asked:
            self._pin(page)
        last_id = str(page.columns[self.exchange.id_column][-1])
        last = self.exchange.time_of(page.columns[self.exchange.time_column][-1])
        tail: tuple[str, ...] = ()
        if not last_id.isdecimal():
            same = [
                str(i) for i, place in zip(page.columns[self.exchange.id_column], places, strict=True) if place == last
            ]
            tail = tuple(sorted({*same, *(before.tail if before and since_epoch(before.last_ts) == last else ())}))
        self.reached = Watermark(last_id, moment(last), page.cursor, tail)

    def _pin(self, page: Page) -> None:
        """Note where a product begins before any of it lands: whoever dies after its first object begins there again,
        and not where the cold start's window has moved meanwhile."""
        first = str(page.columns[self.exchange.id_column][0])
        if first.isdecimal():
            before = str(max(int(first) - 1, 0))
            when = moment(self.exchange.time_of(page.columns[self.exchange.time_column][0]) - 1)
            self._save(Watermark(before, when, self.exchange.resume_cursor(before, when)))

    def _commit(self, *, at_head: bool = False) -> None:
        if self.held is None:
            return
        if self.objects.waiting:
            self.held.check()
            if self.objects.commit() is not None:
                return  # where an object stays that reaches further, the next run comes to its end
        elif not (self.apart and at_head):
            return
        if self.reached is not None:
            self.outcome.last_trade_id = self.reached.last_trade_id
            self.apart = not self._connects(self.reached, at_head)
            if not self.apart:
                self._save(self.reached)

    def _tell_apart(self) -> None:
        if self.apart:
            why, so = "does not come to the newest trade", "no watermark is set"
            if self.known is not None:
                why, so = "does not go on where the watermark is", f"that stays at trade {self.known.last_trade_id}"
            landed = self.outcome.last_trade_id
            log.warning(
                "%s %s: what was landed, up to trade %s, %s, so %s; --before %s goes on after it",
                *(self.exchange.name, self.product, landed, why, so, landed),
            )

    def _save(self, mark: Watermark) -> None:
        details = {
            "source": self.exchange.name,
            "product": self.product,
            "last_ts": mark.last_ts.isoformat(),
            "cursor": mark.cursor,
        } | ({"tail": list(mark.tail)} if mark.tail else {})
        self.watermarks.save(self.product, Checkpoint(mark.last_trade_id, None, datetime.now(UTC), details))
        self.known = mark

    def _connects(self, reached: Watermark, at_head: bool) -> bool:
        """Whether the watermark may move to `reached`: forward, and over no trade that was not landed. Where there is
        none, a run that was told where to begin sets one at the newest trade only: whatever it comes to before may be
        years back, and all that is younger would be fetched next."""
        if self.known is None or self.first is None:
            return not self.asked or at_head
        if self.exchange.raw_table.position == "id":
            known, now = int(self.known.last_trade_id), int(reached.last_trade_id)
        else:
            known, now = since_epoch(self.known.last_ts), since_epoch(reached.last_ts)
        return now >= known and (not self.asked or self.first <= known + 1)

    def _load(self) -> Watermark | None:
        try:
            found = self.watermarks.load(self.product)
        except CheckpointCorrupt as error:
            log.warning("%s; reading what has landed instead", error)
            rebuilt = self._from_objects()
            if rebuilt is not None:
                self._save(rebuilt)
            return rebuilt
        if found is None:
            return None
        details = found.details
        last_ts = datetime.fromisoformat(details["last_ts"]) if "last_ts" in details else found.last_updated
        cursor = details.get("cursor") or self.exchange.resume_cursor(found.last_trade_id, last_ts)
        return Watermark(found.last_trade_id, last_ts, cursor, tuple(details.get("tail", ())))

    def _from_objects(self) -> Watermark | None:
        """A watermark over which nothing is left out: from the first object that came oldest first, as far as what has
        landed goes without a gap. What lies above a gap was asked for with `--before`, or is a backfill's."""
        parts = survey(self.landing.store, self.landing.prefix, self.exchange, self.product)
        if not parts:
            return None
        part, *above = parts[next((place for place, part in enumerate(parts) if part.ingested), 0) :]
        while above and not self._are_trades(part.high + 1, above[0].low - 1):
            part = part.joined(above.pop(0))
        last_id = part.newest[-1]
        if above:
            kind = self.exchange.raw_table.position
            ends = [place_text(place, kind) for place in (part.low, part.high, above[0].low, above[-1].high)]
            log.warning(
                "%s %s: trades are missing between what has landed from %s to %s and what has from %s to %s, so this "
                "goes on after trade %s and lands again what lies above; run load leaves out what repeats",
                *(self.exchange.name, self.product, *ends, last_id),
            )
        tail = () if last_id.isdecimal() else part.newest
        return Watermark(last_id, part.newest_ts, self.exchange.resume_cursor(last_id, part.newest_ts), tail)

    def _are_trades(self, low: int, high: int) -> bool:
        """Whether the exchange has trades at these positions: it may have skipped ids, or none came in that time."""
        with closing(self.client.pages(self.exchange.between(self.product, low, high))) as pages:
            return any(len(page) for page in pages)
