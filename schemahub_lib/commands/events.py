"""`schemahub events find`: bursts of volatility in the unified trades."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import Globals, command, main_group, names, period


@main_group.group("events")
def events_group() -> None:
    """Moments worth a look."""


@command(events_group, "find")
@click.option("--from", "start", help="Look from this time on (UTC)  [default: a day before --to].")
@click.option("--to", "end", help="Look at what was before this time (UTC)  [default: the newest trade].")
@click.option("--assets", help="Comma-separated, by their common tickers such as BTC  [default: all].")
@click.option("--window", default="12s", show_default=True, help="Over which volatility is realised.")
@click.option("--threshold", default=8.0, show_default=True, help="How many times the usual a burst is at least.")
def events_find_command(
    options: Globals, start: str | None, end: str | None, assets: str | None, window: str, threshold: float
) -> None:
    """Find bursts of volatility and keep them in schemahub_events."""
    from schemahub_lib import render
    from schemahub_lib.analysis.events import Search, find_events
    from schemahub_lib.config import parse_duration

    search = Search(
        *period(start, end, ("--from", "--to")), names(assets, "--assets"), parse_duration(window), threshold
    )
    found = find_events(options.lake(), search)
    render.show_json(found) if options.json else render.show_events(found)
