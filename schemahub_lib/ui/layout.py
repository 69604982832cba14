"""What every page has in common: the head with its links, how what takes time is shown, and what scripts are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
from nicegui import ui
from nicegui.element import Element
from starlette.responses import Response

from schemahub_lib.errors import SchemaHubError

log = logging.getLogger(__name__)

PAGES = {"/": "Replay", "/live": "Live", "/books": "Books", "/operations": "Operations"}
T = TypeVar("T")


@contextmanager
def page(title: str) -> Iterator[None]:
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
        ui.html('<span class="utc">all times are UTC</span>', sanitize=False)
        dark = ui.dark_mode(None)
        ui.button(icon="contrast", on_click=dark.toggle, color=None).props('flat round aria-label="light or dark"')
    with ui.element("div").props("id=main tabindex=-1").classes("main"):
        ui.html(f'<h1 class="title">{title}</h1>', sanitize=False)
        yield


def filled(place: Element, what: Callable[[], T], show: Callable[[T], None], readers: Executor | None = None) -> None:
    """Fill a place of the page, once it is open, with what a function that reads tables returns.

    It reads in a thread of its own, one of `readers` where there are some; if it fails, the place says why.
    """

    async def fill() -> None:
        problem = ""
        try:
            found = await asyncio.get_running_loop().run_in_executor(readers, what)
        except SchemaHubError as error:
            problem = str(error)
            log.warning("%s", problem)
        if place.is_deleted:  # the browser went away meanwhile
            return
        place.clear()
        with place:
            if problem:
                ui.label(problem).classes("problem").props("role=alert")
            else:
                show(found)

    with place:
        ui.label("Reading …").classes("empty").props("role=status")
    ui.timer(0, fill, once=True)


def answer(told: Callable[[], Any]) -> Response:
    """What a page's script asked for, as JSON; 400 and `{"error": words}` where it cannot be had."""
    try:
        body, status = told(), 200
    except SchemaHubError as error:
        body, status = {"error": str(error)}, 400
    return Response(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")
