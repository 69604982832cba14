"""The live engine: every venue's feed on one board, for as long as it runs."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import raw_tables
from schemahub_lib.http.stream import listen
from schemahub_lib.live.board import Board
from schemahub_lib.live.discrepancies import Alert, Alerts, Discrepancy, Thresholds, discrepancies
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.feeds.base import Market
from schemahub_lib.live.recorder import Recorder
from schemahub_lib.live.rest import Rest
from schemahub_lib.live.sides import taker_side
from schemahub_lib.live.venue import Sleep, Venue
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake

SAMPLE_EVERY = 1.0  # seconds
ALERTS_KEPT = 100
THREADS = 3  # of each venue: it polls, fills gaps and records at once

R = TypeVar("R")


def microseconds_now() -> int:
    return time.time_ns() // 1000


class Live:
    """Feeds of `markets`, the `board` they make, what was `found` to differ on it a second ago at most, and `alerts`,
    newest first. With `record` the trades are landed in the raw tables as well. Raises UsageError and MappingError for
    settings that cannot work."""

    def __init__(
        self,
        lake: Lake,
        markets: Sequence[Market],
        *,
        thresholds: Thresholds | None = None,
        record: bool = False,
        clock: Callable[[], int] = microseconds_now,
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not markets:
            raise UsageError(f"there is no market to watch: the seed files name none of {', '.join(FEEDS)}")
        self.thresholds = thresholds or Thresholds()
        self.board = Board(markets)
        self.found: list[Discrepancy] = []
        self.alerts: deque[Alert] = deque(maxlen=ALERTS_KEPT)
        self._lake, self._clock, self._sleep, self._draw = lake, clock, sleep, draw
        self._stop = threading.Event()
        specs = {spec.source: spec for spec in load_mappings(lake.settings.mappings, raw_tables())[TRADES_UNIFIED.name]}
        self._venues: list[Venue] = []
        self._rests: list[Rest] = []
        self.recorders: list[Recorder] = []
        for name in self.board.lines:
            feed = FEEDS[name]([market for market in markets if market.exchange == name])
            rest = Rest(lake.settings, feed, self._stop)
            recorder = Recorder(lake, feed.exchange, [m.symbol for m in feed.markets.values()]) if record else None
            spec = specs.get(feed.exchange.raw_table.name)
            side = taker_side(spec, feed.exchange) if spec else lambda record: None
            self._venues.append(Venue(feed, self.board, rest, side, recorder, clock))
            self._rests.append(rest)
            self.recorders += [recorder] if recorder else []

    @property
    def recorded(self) -> int | None:
        """How many trades were landed; None where nothing is recorded."""
        return sum(recorder.rows for recorder in self.recorders) if self.recorders else None

    @property
    def unrecorded(self) -> str:
        """Why trades are not recorded now; empty while they are."""
        errors = [error for recorder in self.recorders for error in list(recorder.report.errors.items())]
        return "; ".join(f"{name}: {why}" for name, why in errors)

    async def run(self) -> None:
        """Until cancelled. What was recorded and is not published yet is published then."""
        pool = ThreadPoolExecutor(THREADS * len(self._venues), "live")
        loop = asyncio.get_running_loop()

        async def in_thread(work: Callable[[], R]) -> R:
            return await loop.run_in_executor(pool, work)

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                for venue in self._venues:
                    feed = venue.feed
                    url = (self._lake.settings.feed_url(feed.name) or feed.base_url).rstrip("/") + feed.path
                    tasks.create_task(listen(venue, url, sleep=self._sleep, draw=self._draw))
                    tasks.create_task(venue.poll(self._sleep, in_thread))
                    tasks.create_task(venue.refill(self._sleep, in_thread))
                    if self.recorders:
                        tasks.create_task(venue.record(self._sleep, in_thread))
        finally:
            self._stop.set()
            try:
                for recorder in self.recorders:
                    await in_thread(recorder.close)
            finally:
                pool.shutdown(wait=True)
                for rest in self._rests:
                    rest.close()

    async def _watch(self) -> None:
        alerts = Alerts()
        while True:
            await self._sleep(SAMPLE_EVERY)
            now = self._clock()
            self.board.sample(now)
            self.found = discrepancies(self.board, now, self.thresholds)
            self.alerts.extendleft(alerts.update(self.found, now, self.thresholds))
