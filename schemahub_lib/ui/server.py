"""Starts the web server with all its pages."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path

# Whole, before threads read tables: sqlglot lets one use a dialect that another is still importing.
import sqlglot.dialects.athena
import sqlglot.dialects.duckdb  # noqa: F401
from nicegui import app, ui

from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui import books, live, operations, replay
from schemahub_lib.ui.guard import LOOPBACK, Guard

STATIC = Path(__file__).parent / "static"


def serve(lake: Lake, host: str, port: int, token: str | None, record: bool) -> None:
    """Serve the pages until stopped; with `record` the trades of the live feeds are landed meanwhile.

    Raises UsageError for an address that cannot be served.
    """
    if host not in LOOPBACK and not token:
        raise UsageError(f"--host {host} lets others see the tables: give --token too, or SCHEMAHUB_UI_TOKEN")
    app.add_middleware(Guard, token=token or None)
    app.add_static_files("/schemahub", STATIC)
    ui.add_head_html('<link rel="stylesheet" href="/schemahub/style.css">', shared=True)
    replay.add_page(lake)
    live.add_page(lake, record)
    books.add_page(lake)
    operations.add_page(lake)
    app.on_startup(lambda: asyncio.to_thread(_warm_up, lake))
    logging.getLogger("uvicorn.error").addFilter(_news)
    with _listening(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]}/{'?token=TOKEN' if token else ''}", flush=True)
        ui.run(
            fd=listening.fileno(),
            title="SchemaHub",
            favicon=STATIC / "icon.svg",
            language="en-US",
            dark=None,
            tailwind=False,
            show=False,
            reload=False,
            show_welcome_message=False,
            timeout_graceful_shutdown=1,
        )


def _news(record: logging.LogRecord) -> bool:
    """False for what is said at length of a browser that goes away before it has what it asked for, and of a server
    that does."""
    said = str(record.exc_info[1]) if record.exc_info else record.getMessage()
    return said != "No response returned." and "timeout graceful shutdown exceeded" not in said


def _warm_up(lake: Lake) -> None:
    """Import what reads tables, which takes a second, before the first page asks for it."""
    with suppress(SchemaHubError):  # the page will tell
        lake.find(TRADES_UNIFIED.name)
        if not lake.settings.athena_workgroup:  # which bills every query
            query(lake, "SELECT 1")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections already, so that the address can be told; 0 is any free port."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise UsageError(f"--host {host} --port {port}: {reason}; another port may do, such as 0") from error
