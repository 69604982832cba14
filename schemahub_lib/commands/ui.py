"""`schemahub ui`: the web pages."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import Globals, command, main_group
from schemahub_lib.errors import UsageError


@command(main_group, "ui")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on; others need --token.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to serve on; 0 for any free one.",
)
@click.option("--token", envvar="SCHEMAHUB_UI_TOKEN", help="Let in only who opens the pages with ?token=… once.")
@click.option("--record", is_flag=True, help="Land the trades of the live feeds in the raw tables; see docs/live.md.")
def ui_command(options: Globals, host: str, port: int, token: str | None, record: bool) -> None:
    """Serve the web pages: replay, and more, in a browser, until stopped."""
    try:
        from schemahub_lib.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name != "nicegui":
            raise
        raise UsageError("the web pages need NiceGUI: pip install 'schemahub[ui]'") from None
    serve(options.lake(), host, port, token, record)
