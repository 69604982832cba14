"""`schemahub report`: how the lake is doing, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from schemahub_lib.commands.base import Globals, command, main_group
from schemahub_lib.errors import UsageError, words


@command(main_group, "report")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="report.html",
    show_default=True,
    help="The file to write, which opens in any browser, offline.",
)
def report_command(options: Globals, out: Path) -> None:
    """Write an HTML report of volume, storage, runs, lag, completeness, upkeep and cost; with --json show its rows."""
    from datetime import UTC, datetime

    from schemahub_lib import render
    from schemahub_lib.files import write_whole
    from schemahub_lib.operations.look import look_at_all
    from schemahub_lib.operations.report import report

    lake = options.lake()
    looks = list(look_at_all(lake))
    if options.json:
        render.show_json({look.panel.id: {"rows": look.rows, "error": look.error, "sql": look.sql} for look in looks})
        return
    try:
        write_whole(out, report(looks, lake.settings.warehouse, datetime.now(UTC)))
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {words(error)}") from error
    click.echo(f"{out}: {len(looks)} panels, {sum(not look.rows for look in looks)} of them without rows")
