"""`schemahub mappings drift`: what changed in the feeds, and what to do about it."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import Globals, command
from schemahub_lib.commands.mappings import mappings_group
from schemahub_lib.exchanges import EXCHANGES


@command(mappings_group, "drift")
@click.argument("source", required=False, type=click.Choice(list(EXCHANGES)))
@click.option("--target", default="trades_unified", show_default=True, help="Where new fields could go to.")
@click.option("--open", "folder", metavar="DIR", help="Write the proposals as patches that `git apply` takes.")
@click.option("--try", "trying", is_flag=True, help="Try the new columns on payloads that are there; changes nothing.")
def mappings_drift_command(options: Globals, source: str | None, target: str, folder: str | None, trying: bool) -> None:
    """Fields of SOURCE (default: all) that are new, missing or of another type, and what to do about each."""
    from schemahub_lib import render, render_drift
    from schemahub_lib.pipeline.drift import proposals
    from schemahub_lib.pipeline.drift_trial import try_out
    from schemahub_lib.pipeline.patches import Series
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.pipeline.unify import mappings_for

    lake = options.lake()
    specs = {spec.source: spec for spec in mappings_for(lake, target)}
    chosen = [EXCHANGES[source]] if source else list(EXCHANGES.values())
    series, told = Series(lake), []
    for exchange in chosen:
        found, spec = proposals(lake, exchange), specs.get(exchange.raw_table.name)
        changes = series.add(exchange, spec, found)
        trials = try_out(lake, exchange, spec, found, new_run_id()) if trying else []
        told.append(render_drift.Told(exchange.name, found, changes, trials))
    lake.close()
    render.show_json(told) if options.json else render_drift.show(told)
    for file in series.write(folder) if folder else ():
        click.echo(f"wrote {file}", err=True)
