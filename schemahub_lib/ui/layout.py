"""What every page has in common: the head with its links, how what takes time is shown, and what scripts are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import orjson
from markupsafe import escape
from nicegui import ui
from nicegui.element import Element
from starlette.responses import Response

from schemahub_lib.errors import sentence
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)

PAGES = {"/": "Replay", "/live": "Live", "/books": "Books", "/operations": "Operations"}
# Of what addresses are asked for: each may take what its limits allow.
_AT_A_TIME = asyncio.Semaphore(2)
T = TypeVar("T")


class Theme(Element, component="static/theme.js"):
    """The button for light or dark."""


@contextmanager
def page(title: str, lake: Lake) -> Iterator[None]:
    """The page's head, and its main part as the block."""
    ui.page_title(f"{title} - SchemaHub")
    ui.colors(primary="#0b5cad")
    ui.html('<a class="skip" href="#main">Skip to the page</a>', sanitize=False)
    with ui.header().classes("head"):
        ui.html('<span class="brand">SchemaHub</span>', sanitize=False)
        with ui.element("nav").props('aria-label="pages"'):
            for path, name in PAGES.items():
                link = ui.link(name, path)
                if name == title:
                    link.props('aria-current="page"')
        ui.element("span").classes("grow")
        whole = lake.settings.warehouse
        place = f'<span class="place" title="{escape(whole)}">{escape("/".join(whole.split("/")[-2:]))}</span>'
        ui.html(f"{place} all times are UTC", sanitize=False).classes("utc")
        Theme()
    with ui.element("div").props("id=main tabindex=-1").classes("main"):
        ui.html(f'<h1 class="title">{title}</h1>', sanitize=False)
        yield


def filled(place: Element, what: Callable[[], T], show: Callable[[T], None], readers: Executor | None = None) -> None:
    """Fill a place of the page, once it is open, with what a function that reads tables returns.

    It reads in a thread of its own, one of `readers` where there are some, unless the browser has left meanwhile; if it
    fails, the place says why.
    """

    async def fill() -> None:
        try:
            loop = asyncio.get_running_loop()
            found, problem = await loop.run_in_executor(readers, lambda: None if place.is_deleted else what()), ""
        except Exception as error:  # noqa: BLE001 - the page says so, whatever it is
            found, problem = None, _told(error)
        if place.is_deleted:
            return
        place.clear()
        with place:
            if problem:
                ui.label(problem).classes("problem").props("role=alert")
            else:
                show(cast(T, found))

    with place:
        ui.label("Reading …").classes("empty").props("role=status")
    ui.timer(0, fill, once=True)


async def asked(what: Callable[[], T]) -> T:
    """What a function that reads tables returns, in a thread, when its turn has come."""
    async with _AT_A_TIME:
        return await asyncio.to_thread(what)


async def answer(told: Callable[[], Any]) -> Response:
    """What a page's script asked for, as JSON; 400 and `{"error": words}` where it cannot be had."""
    try:
        body, status = await asked(told), 200
    except Exception as error:  # noqa: BLE001 - the page says so, whatever it is
        body, status = {"error": _told(error)}, 400
    return Response(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


def _told(error: Exception) -> str:
    log.warning("%s", sentence(error), exc_info=log.isEnabledFor(logging.DEBUG))
    return sentence(error)
