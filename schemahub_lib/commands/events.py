"""`schemahub events`: bursts of volatility in the unified trades, and what happened in one."""

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
    from schemahub_lib import render, render_events
    from schemahub_lib.analysis.events import Search, find_events
    from schemahub_lib.config import parse_duration

    search = Search(
        *period(start, end, ("--from", "--to")), names(assets, "--assets"), parse_duration(window), threshold
    )
    found = find_events(options.lake(), search)
    render.show_json(found) if options.json else render_events.show_events(found)


@command(events_group, "show")
@click.argument("asset")
@click.argument("at")
@click.option("--window", default="12s", show_default=True, help="How long from then on.")
@click.option("--venues", help="Comma-separated exchanges  [default: all].")
@click.option("--as-of", help="As readers saw the tables at this time (UTC): without trades that came later.")
def events_show_command(
    options: Globals, asset: str, at: str, window: str, venues: str | None, as_of: str | None
) -> None:
    """Who moved first from a time AT on (UTC), how far the others were behind, and how far venues were apart."""
    from schemahub_lib import render_events
    from schemahub_lib.analysis.replay import replay
    from schemahub_lib.config import parse_duration, parse_time

    chosen = [name.upper() for name in names(venues, "--venues")]
    known = parse_time(as_of) if as_of is not None else None
    shown = replay(options.lake(), asset.upper(), parse_time(at), parse_duration(window), chosen, known)
    render_events.show_replay(shown, as_json=options.json)
