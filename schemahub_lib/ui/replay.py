"""The Replay page: a moment of the market again, tick by tick."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
from nicegui import app, ui
from nicegui.element import Element
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from schemahub_lib.analysis.replay import Replay, replay, sentences
from schemahub_lib.analysis.ticks import F64
from schemahub_lib.config import parse_duration, parse_time
from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.publishes import publishes
from schemahub_lib.pipeline.query import DIALECT, PAGE, query
from schemahub_lib.schemas import EVENTS, PRODUCTS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui.layout import answer, asked, filled, page

log = logging.getLogger(__name__)

_EVENTS = "SELECT asset, peak_at, move, ratio, trades, venues FROM schemahub_events ORDER BY ratio DESC LIMIT 200"
_ASSETS = "SELECT DISTINCT base_asset FROM schemahub_products WHERE base_asset IS NOT NULL ORDER BY 1"
_PUBLISHES = 100  # the newest, of which one can be chosen


@dataclass(frozen=True)
class Choice:
    """What is replayed, as the address says it: times in ISO 8601, `venues` separated by commas."""

    asset: str = ""
    at: str = ""
    window: str = "12s"
    venues: str = ""
    as_of: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Choice:
        return cls(**{field.name: str(given[field.name]).strip() for field in fields(cls) if given.get(field.name)})

    def address(self) -> str:
        return urlencode({field.name: value for field in fields(self) if (value := getattr(self, field.name))})

    def replay(self, lake: Lake) -> Replay:
        """Raises UsageError for a choice that makes no sense."""
        if not self.asset or not self.at:
            raise UsageError("choose an asset, such as BTC, and a time")
        venues = re.findall(r"[^\s,]+", self.venues.upper())
        if unknown := {name.lower() for name in venues} - EXCHANGES.keys():
            raise UsageError(f"there is no exchange {min(unknown)}: there are {', '.join(sorted(EXCHANGES))}")
        known = parse_time(self.as_of) if self.as_of else None
        return replay(lake, self.asset.upper(), parse_time(self.at), parse_duration(self.window), venues, known)


class Player(Element, component="static/replay.js"):
    """Fetches what the address `choice` says, and plays it in the browser."""

    def __init__(self) -> None:
        super().__init__()
        self._props |= {"choice": "", "times": 0}

    def show(self, choice: Choice) -> None:
        """Play it, from its start on, also where it is what was played before."""
        self._props["choice"] = choice.address()
        self._props["times"] += 1
        self.update()


class Bursts(Element, component="static/bursts.js"):
    """A list of bursts of volatility; its event `chosen` has the place of one in it."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._props["bursts"] = [
            {
                "asset": event["asset"],
                "at": f"{event['peak_at']:%Y-%m-%d %H:%M:%S}",
                "move": f"{event['move']:.0f}",
                "ratio": f"{event['ratio']:.1f}",
                "trades": f"{event['trades']:,}",
                "venues": event["venues"].replace(",", " "),
            }
            for event in events
        ]


def add_page(lake: Lake) -> None:
    """Add the page, and the addresses from which its player fetches."""

    @app.get("/replay/ticks")
    async def ticks(request: Request) -> Response:
        return await answer(lambda: _ticks(Choice.of(request.query_params).replay(lake)))

    @app.get("/replay/movers")
    async def movers(request: Request) -> Response:
        return await answer(lambda: _movers(Choice.of(request.query_params).replay(lake)))

    @app.get("/replay/trades.csv")
    async def trades(request: Request) -> Response:
        try:
            shown = await asked(lambda: Choice.of(request.query_params).replay(lake))
        except SchemaHubError as error:
            return Response(f"{error}\n", 400, media_type="text/plain")
        name = f"{re.sub(r'[^A-Z0-9]', '_', shown.asset)}_{shown.start:%Y%m%dT%H%M%S}{'_drawn' * shown.thinned}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_csv(shown), media_type="text/csv", headers=headers)

    @ui.page("/")
    def show(request: Request) -> None:
        with page("Replay", lake):
            _contents(lake, Choice.of(request.query_params))


def _contents(lake: Lake, choice: Choice) -> None:
    values = {field.name: getattr(choice, field.name) for field in fields(choice)}

    def play() -> None:
        player.show(Choice.of(values))

    def offer(found: tuple[list[tuple[str, int]], list[str]]) -> None:
        times, assets = found
        _show_times(times, values)
        asset.set_autocomplete(assets)

    def text(label: str, name: str, hint: str) -> ui.input:
        return ui.input(label, placeholder=hint).bind_value(values, name).on("keyup.enter", play).classes(name)

    with ui.row().classes("choice"):
        asset = text("Asset or symbol", "asset", "BTC")
        at = text("From (UTC)", "at", "2024-02-08T15:12:04.000000Z")
        with (
            at.add_slot("append"),
            ui.button(icon="event", color=None).props('flat dense aria-label="calendar"'),
            ui.menu(),
        ):
            calendar = ui.date(on_change=lambda day: day.value and values.update(at=f"{day.value}T00:00:00Z"))
            calendar.props('aria-label="day"')
        text("Window", "window", "12s")
        text("Venues", "venues", f"all, or some of {','.join(sorted(EXCHANGES))}")
        known = ui.element("div").classes("as_of")
        filled(known, lambda: (_times(lake), _assets(lake)), offer)
        ui.button("Replay", on_click=play, color=None).classes("go")
    player = Player()
    if choice.asset:
        play()
    filled(ui.column().classes("events"), lambda: _events(lake), lambda events: _show_events(events, values, play))


def _events(lake: Lake) -> list[dict[str, Any]]:
    return query(lake, _EVENTS, dialect=DIALECT, limits=PAGE).to_pylist() if lake.find(EVENTS.name) else []


def _assets(lake: Lake) -> list[str]:
    return (
        query(lake, _ASSETS, dialect=DIALECT, limits=PAGE)["base_asset"].to_pylist() if lake.find(PRODUCTS.name) else []
    )


def _times(lake: Lake) -> list[tuple[str, int]]:
    """When main moved, newest first, and how many rows there were then."""
    table = lake.find(TRADES_UNIFIED.name)
    newest = publishes(table)[:_PUBLISHES] if table is not None else []
    return [(f"{one.published_at:%Y-%m-%dT%H:%M:%S.%f}Z", one.total_rows) for one in newest]


def _show_times(times: list[tuple[str, int]], values: dict[str, str]) -> None:
    told = {"": "now"} | {time: f"{time[:10]} {time[11:19]}, {rows:,} rows" for time, rows in times}
    told.setdefault(values["as_of"], values["as_of"])
    ui.select(told, label="As the lake knew it").bind_value(values, "as_of")


def _show_events(events: list[dict[str, Any]], values: dict[str, str], play: Callable[[], None]) -> None:
    ui.html("<h2>Bursts of volatility</h2>", sanitize=False)
    if not events:
        ui.label("None found yet. To look for them: schemahub events find").classes("empty")
        return

    def chosen(number: int) -> None:
        event = events[number]
        values.update(asset=event["asset"], at=f"{event['peak_at']:%Y-%m-%dT%H:%M:%SZ}", venues="")
        play()

    Bursts(events).on("chosen", lambda event: chosen(int(event.args)))


def _ticks(shown: Replay) -> dict[str, Any]:
    """`start` is in microseconds since 1970, times in those since `start`; sides are +1 bought, -1 sold, 0 not told."""
    start = int(shown.start.timestamp() * 1e6)
    apart = shown.disagreement()
    return {
        "asset": shown.asset,
        "start": start,
        "length": int(shown.end.timestamp() * 1e6) - start,
        "future": shown.start > datetime.now(UTC),
        "trades": shown.trades,
        "thinned": shown.thinned,
        "told": sentences(shown, []) if shown.thinned else None,
        "venues": [
            {
                "exchange": venue.exchange,
                "symbol": venue.symbol,
                "quote": venue.quote,
                "time": venue.ticks.time - start,
                "price": venue.ticks.price,
                "side": venue.ticks.side.astype(np.int8),
                "quantity": venue.quantity,
            }
            for venue in shown.venues
        ],
        "apart": {
            "time": apart.time - start,
            "bps": apart.apart.round(3),
            "above_mean": [_or_none(row) for row in apart.above_mean.round(3)],
        },
    }


def _movers(shown: Replay) -> dict[str, Any]:
    return {"told": sentences(shown, shown.movers())}


def _or_none(values: F64) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _csv(shown: Replay) -> Iterator[str]:
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["exchange", "symbol", "trade_ts", "side", "price", "quantity"])
    for venue in shown.venues:
        columns = (
            venue.ticks.time.tolist(),
            venue.ticks.side.tolist(),
            venue.ticks.price.tolist(),
            venue.quantity.tolist(),
        )
        for time, side, price, quantity in zip(*columns, strict=True):
            moment = datetime.fromtimestamp(time // 1_000_000, UTC).replace(microsecond=time % 1_000_000)
            named = {1.0: "BUY", -1.0: "SELL"}.get(side, "")
            writer.writerow([venue.exchange, venue.symbol, f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z", named, price, quantity])
        yield lines.getvalue()
        lines.seek(0)
        lines.truncate()
    yield lines.getvalue()
