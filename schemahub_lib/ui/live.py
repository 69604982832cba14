"""The Live page: what every venue quotes now, and where they disagree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

import orjson
from nicegui import app, ui
from nicegui.element import Element
from nicegui.server import Server
from starlette.responses import StreamingResponse

from schemahub_lib.errors import sentence
from schemahub_lib.live.board import Board, Row, deviation, group
from schemahub_lib.live.discrepancies import Discrepancy, Thresholds
from schemahub_lib.live.markets import find_markets
from schemahub_lib.live.session import Live, microseconds_now
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui.layout import page

log = logging.getLogger(__name__)

EVERY = 0.1  # seconds between two pushes to a browser
AGAIN = 30.0  # seconds after which a recording that has failed is started again
LISTED = 50  # discrepancies

Json = dict[str, Any]


class Watch:
    """The engine behind the page. It starts with the first who looks, and runs on until the server is `stopping`; one
    that records starts again by itself where it has failed."""

    def __init__(self, lake: Lake, record: bool, stopping: Callable[[], bool]) -> None:
        self._lake, self._record, self._stopping = lake, record, stopping
        self._task: asyncio.Task[None] | None = None
        self._live: Live | None = None
        self._problem = ""
        self.thresholds = Thresholds()

    def start(self) -> None:
        """Start the engine, again where it has failed."""
        if self._task is None or self._task.done():
            self._problem = ""
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def alert_at(self, level: float) -> None:
        """Set the difference, in basis points, at which alerts are given: for everyone who looks."""
        self.thresholds = replace(self.thresholds, alert=level)
        if self._live is not None:
            self._live.thresholds = self.thresholds

    async def told(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events for one browser: everything at first, then what has changed. Ends with the browser, and
        with the server, which would wait for it."""
        self.start()
        while self._live is None and not self._over:
            await asyncio.sleep(EVERY)
        view = _View(self._live) if self._live is not None else None
        while view is not None and not self._over:
            yield _event(view.changes())
            await asyncio.sleep(EVERY)
        if self._problem:
            yield _event({"problem": self._problem})

    @property
    def _over(self) -> bool:
        return bool(self._problem) or self._stopping()

    async def _run(self) -> None:
        await self._run_once()
        while self._record:
            await asyncio.sleep(AGAIN)
            self._problem = ""
            await self._run_once()

    async def _run_once(self) -> None:
        try:
            markets = await asyncio.to_thread(find_markets, self._lake.settings)
            self._live = Live(self._lake, markets, thresholds=self.thresholds, record=self._record)
            await self._live.run()
        except* Exception as failed:  # noqa: BLE001 - the page says so, whatever it is
            self._problem = "; ".join(map(sentence, failed.exceptions))
            log.error("the live feeds have stopped: %s", self._problem)
            self._live = None


class Screen(Element, component="static/live.js"):
    """Shows in the browser what the server tells."""


def add_page(lake: Lake, record: bool) -> None:
    """Add the page, and the address from which its screen is told."""
    watch = Watch(lake, record, stopping=lambda: Server.instance.should_exit)
    if record:
        app.on_startup(watch.start)
    app.on_shutdown(watch.stop)

    @app.get("/live/told")
    async def told() -> StreamingResponse:
        return StreamingResponse(watch.told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @ui.page("/live")
    def show() -> None:
        with page("Live", lake):
            with ui.row().classes("choice"):
                alert = ui.number("Alert at, bps", value=watch.thresholds.alert, min=1, step=1, precision=1)
                alert.on_value_change(lambda chosen: watch.alert_at(chosen.value) if chosen.value else None)
            Screen()


class _View:
    """What one browser has been told, so that it is told only what is new."""

    def __init__(self, live: Live) -> None:
        self._live, self._board = live, live.board
        self._found: list[Discrepancy] | None = None
        self._rows: dict[str, Json] = {}
        self._lines: list[Json] = []
        self._sampled = self._alerted = 0

    def changes(self) -> Json:
        now = microseconds_now()
        news: Json = {"now": now}
        rows = {row["id"]: row for row in _rows(self._board, now)}
        if changed := [row for name, row in rows.items() if row != self._rows.get(name)]:
            news["rows"] = changed
        self._rows = rows
        if self._live.found is not self._found:  # each second: what people read need not change more often
            self._found = self._live.found
            lines = [_line(line) for line in map(asdict, self._board.lines.values())]
            news |= {"lines": lines} if lines != self._lines else {}
            if (recorded := self._live.recorded) is not None:
                news |= {"recorded": recorded, "unrecorded": self._live.unrecorded}
            self._lines = lines
            news["found"] = [_found(one) for one in self._found[:LISTED]]
            news |= self._alerts() | self._samples()
        return news

    def _alerts(self) -> Json:
        new = [alert for alert in self._live.alerts if alert.time > self._alerted]
        if not new:
            return {}
        self._alerted = new[0].time
        told = [(alert.time, alert.discrepancy) for alert in new]
        return {"alerts": [{"time": time, "words": one.words, "apart": one.apart} for time, one in told]}

    def _samples(self) -> Json:
        """The middles that were sampled since the last time, oldest first."""
        histories = {_id(row): row.history for row in self._board.rows.values()}
        times = [time for time, _ in next(iter(histories.values())) if time > self._sampled]
        if not times:
            return {}
        self._sampled = times[-1]
        mids = {name: [mid for _, mid in list(history)[-len(times) :]] for name, history in histories.items()}
        return {"samples": {"times": times, "mids": mids}}


def _rows(board: Board, now: int) -> Iterator[Json]:
    """Prices and sizes as text, times in microseconds since 1970, lags in milliseconds."""
    middles = board.middles(now)
    for row in board.rows.values():
        quote, trade = row.quote, row.trade
        doubt = board.doubt(row, now)
        yield {
            "id": _id(row),
            "venue": row.market.venue,
            "market": row.market.canonical,
            "symbol": row.market.symbol,
            "group": f"{row.market.base} in {group(row.market)[1]}",
            **{name: _text(getattr(quote, name)) if quote else None for name in ("bid", "bid_size", "ask", "ask_size")},
            "last": _text(trade.price) if trade else None,
            "size": _text(trade.size) if trade else None,
            "side": row.side,
            "spread": _rounded(row.spread),
            "deviation": None if doubt else _rounded(deviation(row.mid, middles.get(group(row.market)))),
            "quoted": row.quoted or None,
            "lag": None if row.lag is None else round(row.lag * 1000),
            "state": doubt[0] if doubt and row.line.state != "polled" else row.line.state,
            "words": doubt[1] if doubt else "",
        }


def _line(line: Mapping[str, Any]) -> Json:
    told = ("exchange", "state", "words", "missed", "fetched", "unreadable", "refused")
    return {name: line[name] for name in told}


def _found(one: Discrepancy) -> Json:
    ends = [f"{row.market.venue} {row.market.symbol}" for row in (one.cheap, one.dear)]
    return {
        **{"key": "/".join(one.pair), "asset": one.base, "reason": one.reason, "words": one.words},
        **{"cheap": ends[0], "dear": ends[1], "apart": _rounded(one.apart), "net": _rounded(one.net)},
    }


def _id(row: Row) -> str:
    return f"{row.market.exchange} {row.market.symbol}"


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)


def _event(news: Json) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(news)
