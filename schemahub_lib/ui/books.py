"""The Books page: an asset's order books at its venues, as depth on one chart."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
from nicegui import app, ui
from nicegui.element import Element
from starlette.requests import Request
from starlette.responses import Response

from schemahub_lib.analysis.books import SPANS, Book, Side, assets, books, compared
from schemahub_lib.config import parse_time
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui.layout import answer, filled, page

TAKE_SOME = "To take some: schemahub run ingest coinbase binance kraken --books"


class Depth(Element, component="static/books.js"):
    """The depth of an asset's books on one chart, and what can be said of each in a table: the latest, as they come, or
    those at a time. The browser fetches them."""

    def __init__(self) -> None:
        super().__init__()
        self._props["times"] = 0

    def show(self, asset: str, at: str) -> None:
        """Show them, read again where they are what was shown before."""
        self._props |= {"asset": asset, "at": at, "times": self._props["times"] + 1}
        self.update()


def add_page(lake: Lake) -> None:
    """Add the page, and the address from which depth is fetched."""

    @app.get("/books/depth")
    async def depth(asset: str, at: str = "") -> Response:
        return await answer(lambda: _depth(lake, asset.strip().upper(), at.strip()))

    @ui.page("/books")
    def show(request: Request) -> None:
        values = {name: request.query_params.get(name, "").strip() for name in ("asset", "at")}
        with page("Books", lake):
            _contents(lake, values)


def _contents(lake: Lake, values: dict[str, str]) -> None:
    def look() -> None:
        ui.navigate.history.replace(f"/books?{urlencode({name: value for name, value in values.items() if value})}")
        shown.show(**values)

    def choose(known: list[str]) -> None:
        if not known:
            ui.label(f"No order books yet. {TAKE_SOME}").classes("empty")
            return
        values["asset"] = values["asset"].upper() or known[0]
        options = sorted({*known, values["asset"]})
        with ui.row().classes("choice"):
            asset = ui.select(options, label="Asset", value=values["asset"], on_change=look)
            asset.bind_value(values, "asset").classes("asset")
            at = ui.input("At (UTC)", placeholder="now").bind_value(values, "at").classes("at")
            at.on("keyup.enter", look)
            ui.button("Show", on_click=look, color=None).classes("go")
        look()

    choice = ui.element("div")
    shown = Depth()
    filled(choice, lambda: assets(lake), choose)


def _depth(lake: Lake, asset: str, at: str) -> dict[str, Any]:
    if found := books(lake, asset, parse_time(at) if at else None):
        return {"books": [_told(book) for book in found], "range": compared(found)}
    when = f" fetched in the {SPANS[-1].days} days until {at}" if at else ""
    return {"none": f"There is no order book of {asset}{when}. {TAKE_SOME}"}


def _told(book: Book) -> dict[str, Any]:
    """Times in microseconds since 1970, levels from low prices to high ones, with what is offered up to each."""
    return {
        "exchange": book.exchange,
        "symbol": book.symbol,
        "quote": book.quote,
        "fetched": _microseconds(book.fetched_at),
        "time": _microseconds(book.time) if book.time else None,
        "bid": book.bids.best,
        "ask": book.asks.best,
        "spread": book.spread,
        "levels": len(book.bids.price) + len(book.asks.price),
        "bids": _steps(book.bids)[::-1],
        "asks": _steps(book.asks),
    }


def _steps(side: Side) -> list[list[float]]:
    """From nothing at the best price up."""
    steps: list[list[float]] = np.column_stack([side.price, side.depth]).tolist()
    return [[steps[0][0], 0.0], *steps] if steps else []


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
