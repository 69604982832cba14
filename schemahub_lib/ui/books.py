"""The Books page: an asset's order books at its venues, as depth on one chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
from nicegui import ui
from nicegui.element import Element
from starlette.requests import Request

from schemahub_lib.analysis.books import Book, Side, assets, books, compared
from schemahub_lib.config import parse_time
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui.layout import filled, page

NONE_YET = "No order books yet. To take some: schemahub run ingest coinbase binance kraken --books"


class Depth(Element, component="static/books.js"):
    """The depth of some books on one chart, and what can be said of each in a table."""

    def __init__(self, found: Sequence[Book]) -> None:
        super().__init__()
        self._props["books"] = [_told(book) for book in found]
        self._props["range"] = compared(found)


def add_page(lake: Lake) -> None:
    @ui.page("/books")
    def show(request: Request) -> None:
        values = {name: request.query_params.get(name, "").strip() for name in ("asset", "at")}
        with page("Books"):
            _contents(lake, values)


def _contents(lake: Lake, values: dict[str, str]) -> None:
    def look() -> None:
        ui.navigate.history.replace(f"/books?{urlencode({name: value for name, value in values.items() if value})}")
        filled(place, lambda: _read(lake, values["asset"], values["at"]), lambda found: _show(found, values))

    def choose(known: list[str]) -> None:
        if not known:
            ui.label(NONE_YET).classes("empty")
            return
        values["asset"] = values["asset"].upper() or known[0]
        options = sorted({*known, values["asset"]})
        with ui.row().classes("choice"):
            asset = ui.select(options, label="Asset", value=values["asset"], on_change=look)
            asset.bind_value(values, "asset").classes("asset")
            at = ui.input("At (UTC)", placeholder="now").bind_value(values, "at").classes("at")
            at.on("keydown.enter", look)
            ui.button("Show", on_click=look, color=None).classes("go")
        look()

    choice = ui.element("div")
    place = ui.element("div").classes("books")
    filled(choice, lambda: assets(lake), choose)


def _read(lake: Lake, asset: str, at: str) -> list[Book]:
    return books(lake, asset, parse_time(at) if at else None)


def _show(found: Sequence[Book], values: dict[str, str]) -> None:
    if found:
        Depth(found)
    else:
        when = f" fetched by {values['at']}" if values["at"] else ""
        ui.label(f"There is no order book of {values['asset']}{when}.").classes("empty")


def _told(book: Book) -> dict[str, Any]:
    """Times in milliseconds since 1970, levels from low prices to high ones, with what is offered up to each."""
    return {
        "exchange": book.exchange,
        "symbol": book.symbol,
        "quote": book.quote,
        "fetched": _milliseconds(book.fetched_at),
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


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
