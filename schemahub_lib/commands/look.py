"""Commands that look and serve: status, query, doctor, simulate."""

from __future__ import annotations

from typing import Any

import click

from schemahub_lib.commands.base import FAULT_EXIT, Globals, command, main_group
from schemahub_lib.errors import UsageError


@command(main_group, "status")
def status_command(options: Globals) -> None:
    """Every stream's watermark, lag and gaps; every table's rows and files."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.status import status

    lake = options.lake()
    found = status(lake)
    render.show_json(found) if options.json else render.show_status(found, lake.settings.warehouse)


@command(main_group, "query")
@click.argument("sql")
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How rows are written to stdout.",
)
@click.option("--as-of", help="The tables as their readers saw them at this time (UTC).")
@click.option("--ref", help="The tables at this branch or tag; those that have no such ref as they are on main.")
def query_command(options: Globals, sql: str, output: str, as_of: str | None, ref: str | None) -> None:
    """Run one read-only SELECT (DuckDB's SQL; Athena's with SCHEMAHUB_ATHENA_WORKGROUP; times in UTC) over tables."""
    from schemahub_lib import render
    from schemahub_lib.config import parse_time
    from schemahub_lib.pipeline.query import query

    rows = query(options.lake(), sql, parse_time(as_of) if as_of is not None else None, ref)
    render.show_rows(rows, "json" if options.json else output)


@command(main_group, "doctor")
def doctor_command(options: Globals) -> None:
    """Check Java, jars, catalog, credentials, endpoints and clock, and say what to do about each."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.doctor import examine

    findings = examine(options.lake())
    render.show_json(findings) if options.json else render.show_findings(findings)
    if any(finding.status == "fail" for finding in findings):
        raise click.exceptions.Exit(FAULT_EXIT)


@command(main_group, "simulate")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same market.")
@click.option("--now", help="Where the simulator's clock starts (UTC)  [default: now].")
@click.option("--speed", default=1.0, show_default=True, help="How fast its clock runs; 0 stands still.")
@click.option("--scenario", help="A known event, burst-2024-02-08, or one five minutes ago, burst-just-now.")
@click.option("--recorded", metavar="DIR", help="Serve recorded response files instead of a made-up market.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=RATE",
    help="Break answers on purpose; repeatable: kraken:500=0.1. Kinds: 500, 503, reset, truncate, slow, html, "
    "malformed-row, stale; for a feed that drifts new-field, missing-field, retyped-field; for WebSockets feed-gap, "
    "feed-cut, feed-silent.",
)
@click.option("--latency", default=0.0, show_default=True, help="Seconds added to every answer.")
@click.option("--trade-rate", default=1.0, show_default=True, help="How many trades, as a multiple.")
@click.option("--no-rate-limit", is_flag=True, help="Do not throttle.")
@click.option("--port", "ports", multiple=True, metavar="EXCHANGE=PORT", help="Fixed port  [default: any free one].")
def simulate_command(options: Globals, ports: tuple[str, ...], no_rate_limit: bool, **values: Any) -> None:
    """Serve make-believe exchanges on this machine until stopped."""
    from schemahub_lib.simulator import serve

    fixed: dict[str, int] = {}
    for text in ports:
        exchange, _, number = text.partition("=")
        if not number.isdecimal() or int(number) > 65535:
            raise UsageError(f"--port {text}: write it as coinbase=8080")
        fixed[exchange] = int(number)
    serve(as_json=options.json, ports=fixed, rate_limits=not no_rate_limit, **values)
