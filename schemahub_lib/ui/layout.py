"""What every page has in common: the head with its links, and how what takes time is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nicegui import run, ui

from schemahub_lib.errors import SchemaHubError

log = logging.getLogger(__name__)

PAGES = {"/": "Replay"}
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
        ui.button(icon="contrast", on_click=dark.toggle).props('flat round aria-label="light or dark"')
    with ui.element("main").props("id=main").classes("main"):
        ui.html(f'<h1 class="title">{title}</h1>', sanitize=False)
        yield


async def looked_up(what: Callable[[], T]) -> T | None:
    """What a function that reads tables returns, in a thread of its own; None, and words on the page, if it fails."""
    try:
        return await run.io_bound(what)
    except SchemaHubError as error:
        log.warning("%s", error)
        ui.label(str(error)).classes("problem").props("role=alert")
        return None
