"""One exchange, live: its feed's frames to the board, what it leaves out over REST, its trades to the recorder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from schemahub_lib.errors import Interrupted, RequestRejected, SchemaHubError, sentence
from schemahub_lib.http.messages import Record
from schemahub_lib.http.stream import Hangup
from schemahub_lib.live.board import SECOND, Board
from schemahub_lib.live.feeds.base import Answer, Event, Feed, Goodbye, Quote, Status, Trade
from schemahub_lib.live.recorder import Recorder
from schemahub_lib.live.rest import Rest
from schemahub_lib.live.sequence import GAP_MOST, Gap, Ids

log = logging.getLogger(__name__)

POLL_EVERY = 5.0  # seconds, while there is no feed
RECORD_EVERY = 30.0  # seconds: a microbatch
REFILL_TRIES, REFILL_WAIT = 3, 2.0  # the REST API may tell a trade a little later than the feed
SLICE = 1_000  # trades that are taken in at once, and then it is the others' turn
GAPS_MOST = 1_000  # that wait to be filled; what a feed leaves out beyond them is an ingest's work too

R = TypeVar("R")
Sleep = Callable[[float], Awaitable[object]]


class InThread(Protocol):
    async def __call__(self, work: Callable[[], R], /) -> R: ...


class Venue:
    """Hears a feed (`http.stream.Listener`). `clock` tells microseconds since 1970."""

    def __init__(
        self,
        feed: Feed,
        board: Board,
        rest: Rest,
        side: Callable[[Record], str | None],
        recorder: Recorder | None,
        clock: Callable[[], int],
    ) -> None:
        self.feed, self.name = feed, feed.name
        self.silence, self.between = feed.silence, feed.between
        self._board, self._line = board, board.lines[feed.name]
        self._rest, self._side, self._recorder, self._clock = rest, side, recorder, clock
        self._ids = {market.symbol: Ids() for market in feed.markets.values()}
        self._gaps: asyncio.Queue[Gap] = asyncio.Queue()
        self._asked: dict[Gap, int] = {}  # and how many trades the board tells as missing by it
        self._told = 0  # when the present connection told a quote or a trade, or began
        self._too_far = set[str]()  # markets of which more is missing than is fetched

    def opened(self) -> Sequence[str]:
        self._told = self._clock()
        self._board.opened(self.name, self._told)
        return self.feed.opened()

    def heard(self, frame: str) -> None:
        now = self._clock()
        try:
            events = self.feed.read(frame)
        except Exception as error:  # noqa: BLE001 - whatever a frame does to its reader, the feed goes on
            self._line.unreadable += 1
            level = logging.WARNING if self._line.unreadable == 1 else logging.DEBUG  # of many, one is told
            log.log(level, "%s: a frame of the feed cannot be read (%s): %.200s", self.name, error, frame)
            return
        for event in events:
            self._tell(event, now)
        if any(isinstance(event, Quote | Trade) for event in events):
            self._told = now
        elif now - self._told > self._board.stale_after * SECOND:  # no quote is believed any more
            raise Hangup(f"no quote and no trade came for {self._board.stale_after:g} s, although the connection lives")

    def ended(self, why: str) -> None:
        polled = self._line.state == "polled"  # and that goes on, however often a connection fails
        self._board.moved(self.name, "polled" if polled else "down", why)

    def _tell(self, event: Event, now: int) -> None:
        match event:
            case Quote():
                self._live()
                self._board.quoted(self.name, event, now)
            case Trade():
                self._live()
                self._traded(event, now)
            case Status():
                self._board.status(self.name, event)
            case Answer(accepted=True, words=words):
                self._board.moved(self.name, "live", words)
            case Answer(symbol=symbol, words=words):
                log.warning("%s: the feed refuses %s: %s", self.name, symbol or "a subscription", words)
                self._line.refused[symbol or ""] = words
            case Goodbye(why):
                raise Hangup(why)

    def _live(self) -> None:
        if not self._line.live:
            self._board.moved(self.name, "live", "")

    def _traded(self, trade: Trade, now: int) -> bool:
        """Take in a trade, whatever way it came; whether it is a new one."""
        ids = self._ids[trade.symbol]
        before = ids.last
        if not ids.saw(trade):
            return False
        if ids.last is trade:
            self._board.traded(self.name, trade, self._side(trade.record), now)
        if self._recorder is not None:
            self._recorder.add(trade)
        if gap := ids.skipped(before, trade):
            self._line.missed += len(gap)
            self._ask(gap, len(gap))
        return True

    def _ask(self, gap: Gap, told: int = 0) -> None:
        if gap in self._asked or len(self._asked) >= GAPS_MOST:
            return
        if len(gap) > GAP_MOST:
            if gap.symbol not in self._too_far:  # it is asked for again and again
                log.warning(
                    "%s %s: %d trades are missing, more than are fetched while the feed runs; schemahub run ingest %s "
                    "fetches them",
                    *(self.name, gap.symbol, len(gap), self.name),
                )
            self._too_far.add(gap.symbol)
            return
        self._too_far.discard(gap.symbol)
        self._asked[gap] = told
        self._board.rows[self.name, gap.symbol].missing += told
        self._gaps.put_nowait(gap)

    async def refill(self, sleep: Sleep, in_thread: InThread) -> None:
        """Fetch over REST what the feed leaves out, gap by gap, for ever."""
        while True:
            gap = await self._gaps.get()
            for _ in range(REFILL_TRIES):
                try:
                    trades = await in_thread(partial(self._rest.missed, gap))
                except Interrupted:
                    raise
                except SchemaHubError as error:
                    log.info("%s %s: a gap of %d trades is not filled: %s", self.name, gap.symbol, len(gap), error)
                    await sleep(REFILL_WAIT)
                    continue
                await self._fetched(trades)
                if self._recorder is not None:
                    self._recorder.settled(gap, trades)
                break
            self._board.rows[self.name, gap.symbol].missing -= self._asked.pop(gap)

    async def poll(self, sleep: Sleep, in_thread: InThread) -> None:
        """Ask over REST again and again while there is no feed, for ever."""
        while True:
            await sleep(POLL_EVERY)
            if self._line.live:
                continue
            why = self._line.words
            try:
                for symbol in self._ids:
                    await self._polled(symbol, in_thread)
                if not self._line.live:
                    self._board.moved(self.name, "polled", why)
            except Interrupted:
                raise
            except SchemaHubError as error:
                log.info("%s: not to be reached over REST either: %s", self.name, error)
                if not self._line.live:
                    self._board.moved(self.name, "down", why or sentence(error))

    async def _polled(self, symbol: str, in_thread: InThread) -> None:
        """Ask for one market, unless there is a feed again. One that the exchange does not have is passed over."""
        if self._line.live:
            return
        try:
            quote = await in_thread(partial(self._rest.quote, symbol))
            trades = await in_thread(partial(self._rest.newest, symbol, self._ids[symbol].last, self._clock()))
        except RequestRejected as error:
            self._line.refused[symbol] = error.message
            return
        if quote is not None and not self._line.live:  # what came meanwhile is newer
            self._board.quoted(self.name, quote, self._clock())
        await self._fetched(trades)

    async def _fetched(self, trades: Sequence[Trade]) -> None:
        now = self._clock()
        for start in range(0, len(trades), SLICE):
            self._line.fetched += sum(self._traded(trade, now) for trade in trades[start : start + SLICE])
            await asyncio.sleep(0)

    async def record(self, sleep: Sleep, in_thread: InThread) -> None:
        """Publish the trades in microbatches, for ever."""
        assert self._recorder is not None
        while True:
            await sleep(RECORD_EVERY)
            for gap in await in_thread(self._recorder.publish):
                self._ask(gap)  # of before the feed was heard, or once more: no doubt about its quotes
