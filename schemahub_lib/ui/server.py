"""Starts the web server with all its pages."""

from __future__ import annotations

import socket
from pathlib import Path

from nicegui import app, ui

from schemahub_lib.errors import UsageError
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui import replay
from schemahub_lib.ui.guard import LOOPBACK, Guard

STATIC = Path(__file__).parent / "static"


def serve(lake: Lake, host: str, port: int, token: str | None) -> None:
    """Serve the pages until stopped. Raises UsageError for an address that cannot be served."""
    if host not in LOOPBACK and token is None:
        raise UsageError(f"--host {host} lets others see the tables: give --token too, or SCHEMAHUB_UI_TOKEN")
    port = _free(host, port)
    app.add_middleware(Guard, token=token)
    app.add_static_files("/schemahub", STATIC)
    ui.add_head_html('<link rel="stylesheet" href="/schemahub/style.css">', shared=True)
    replay.add_page(lake)
    shown = f"[{host}]" if ":" in host else host
    app.on_startup(lambda: print(f"http://{shown}:{port}/{'?token=…' if token else ''}", flush=True))
    ui.run(
        host=host,
        port=port,
        title="SchemaHub",
        favicon=STATIC / "icon.svg",
        dark=None,
        tailwind=False,
        show=False,
        reload=False,
        show_welcome_message=False,
        timeout_graceful_shutdown=1,
    )


def _free(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises UsageError where it cannot be had."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
            found: int = taken.getsockname()[1]
            return found
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: {error.strerror}; another port may do, such as 0") from error
