"""Bursts of volatility, and what happened in one, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from schemahub_lib.analysis.replay import sentences
from schemahub_lib.analysis.ticks import BASIS_POINTS
from schemahub_lib.render import show_json, show_table

if TYPE_CHECKING:
    from schemahub_lib.analysis.events import Event
    from schemahub_lib.analysis.replay import Mover, Replay


def show_events(events: Sequence[Event]) -> None:
    """The most unusual first."""
    if not events:
        click.echo("no burst found: a lower --threshold, or a longer time by --from and --to, may")
        return
    numbers = ("seconds", "volatility", "times usual", "move", "trades")
    rows = [
        (
            event.asset,
            f"{event.peak_at:%Y-%m-%d %H:%M:%S}",
            f"{(event.ends_at - event.starts_at).total_seconds():.0f}",
            f"{event.volatility:.1f} bps",
            f"{event.ratio:.1f}",
            f"{event.move:.0f} bps",
            f"{event.trades:,}",
            event.venues.replace(",", " "),
        )
        for event in events
    ]
    show_table("", ("asset", "busiest from (UTC)", *numbers, "venues"), rows, numbers=numbers)
    first = events[0]
    click.echo(f"who moved first: schemahub events show {first.asset} {first.peak_at:%Y-%m-%dT%H:%M:%SZ}")


def show_replay(replay: Replay, *, as_json: bool) -> None:
    """Who moved first, and how far the venues were apart."""
    apart = replay.disagreement().apart
    told = {"median": float(np.median(apart)), "most": float(apart.max())} if len(apart) else None
    movers = replay.movers()
    if as_json:
        show_json(_as_json(replay, movers, told))
        return
    span = f"from {replay.start:%Y-%m-%d %H:%M:%S} to {replay.end:%H:%M:%S} UTC"
    if not replay.venues:
        click.echo(f"no trade of {replay.asset} {span}; `schemahub status` tells what there is")
        return
    numbers = ("trades", "first price", "last price", "lowest to highest")
    rows = [
        (
            venue.exchange,
            venue.symbol,
            f"{len(venue.ticks):,}",
            *(f"{venue.ticks.price[at]:,}" for at in (0, -1)),
            f"{BASIS_POINTS * np.log(venue.ticks.price.max() / venue.ticks.price.min()):.1f} bps",
        )
        for venue in replay.venues
    ]
    show_table(f"{replay.asset} {span}", ("exchange", "symbol", *numbers), rows, numbers=numbers)
    for line in sentences(replay, movers):
        click.echo(line)
    if told:
        click.echo(f"they were {told['median']:.1f} bps apart in the median, {told['most']:.1f} at most")


def _as_json(replay: Replay, movers: Sequence[Mover], apart: dict[str, float] | None) -> dict[str, Any]:
    venues = [
        {"exchange": venue.exchange, "symbol": venue.symbol, "quote_asset": venue.quote, "trades": len(venue.ticks)}
        for venue in replay.venues
    ]
    span = {"asset": replay.asset, "start": replay.start, "end": replay.end}
    return span | {"venues": venues, "movers": movers, "apart_bps": apart}
