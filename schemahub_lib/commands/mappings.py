"""`schemahub mappings …`: check, look at and test mapping files, and begin new ones."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import FAULT_EXIT, Globals, command, main_group, period
from schemahub_lib.exchanges import EXCHANGES, raw_tables


@main_group.group("mappings")
def mappings_group() -> None:
    """Check and look at mapping files."""


@command(mappings_group, "validate")
@click.argument("location", required=False)
def mappings_validate_command(options: Globals, location: str | None) -> None:
    """Check mappings, their examples and symbols.yaml in LOCATION (default: those in use): all problems at once."""
    from schemahub_lib import render
    from schemahub_lib.config import Settings
    from schemahub_lib.mapping.registry import validate

    place = location or options.mappings or Settings.load(warehouse=options.warehouse).mappings
    names = validate(place, raw_tables(), list(EXCHANGES))
    render.show_json({"valid": names}) if options.json else click.echo("\n".join(f"ok  {name}" for name in names))


@command(mappings_group, "show")
@click.argument("source", type=click.Choice(list(EXCHANGES)))
@click.option("--target", default="trades_unified", show_default=True, help="Unified table.")
@click.option("--mermaid", is_flag=True, help="The lineage alone, as a Mermaid diagram.")
def mappings_show_command(options: Globals, source: str, target: str, mermaid: bool) -> None:
    """Where each column of the target comes from, and the SQL that fills it."""
    from datetime import UTC, datetime

    from schemahub_lib import render_mappings
    from schemahub_lib.mapping.compiler import explain_columns, increment_select
    from schemahub_lib.mapping.sql import to_sql
    from schemahub_lib.pipeline.unify import mappings_for
    from schemahub_lib.schemas import PRODUCTS, TARGETS

    (spec,) = mappings_for(options.lake(), target, [source])
    columns = explain_columns(spec, TARGETS[target])
    if mermaid:
        click.echo(render_mappings.mermaid(spec, columns))
        return
    select = increment_select(spec, TARGETS[target], f"{spec.source}_increment", PRODUCTS.name, datetime.now(UTC))
    render_mappings.show_mapping(spec, columns, to_sql(select), as_json=options.json)


@command(mappings_group, "test")
@click.argument("source", required=False, type=click.Choice(list(EXCHANGES)))
@click.option("--target", default="trades_unified", show_default=True, help="Unified table.")
def mappings_test_command(options: Globals, source: str | None, target: str) -> None:
    """Run the examples of SOURCE's mapping, or of all: what is in `<mapping>_test.yaml` beside it. Reads no table."""
    from schemahub_lib import render_mappings
    from schemahub_lib.mapping.registry import load_examples
    from schemahub_lib.pipeline.examples import run_examples
    from schemahub_lib.pipeline.unify import mappings_for

    lake = options.lake()
    specs = mappings_for(lake, target, [source] if source else [])
    parts = load_examples(lake.settings.mappings, specs, raw_tables())
    outcomes = run_examples(parts) if parts else []
    without = [spec.file for spec in specs if spec.file not in {tested.file for tested, _ in parts}]
    render_mappings.show_examples(outcomes, without, as_json=options.json)
    if any(outcome.differences for outcome in outcomes):
        raise click.exceptions.Exit(FAULT_EXIT)


@command(mappings_group, "plan")
@click.argument("location")
@click.option("--source", type=click.Choice(list(EXCHANGES)), help="Its mapping alone  [default: all that differ].")
@click.option("--target", default="trades_unified", show_default=True, help="Unified table.")
@click.option("--from", "start", help="Compare on raw rows from this time on (UTC)  [default: the newest day].")
@click.option("--to", "end", help="Compare on raw rows before this time (UTC).")
def mappings_plan_command(
    options: Globals, location: str, source: str | None, target: str, start: str | None, end: str | None
) -> None:
    """What the mappings in LOCATION would make of raw rows, against those in use: nothing is changed."""
    from schemahub_lib import render_mappings
    from schemahub_lib.mapping.registry import load_mappings
    from schemahub_lib.pipeline.mapping_plan import plan_mapping
    from schemahub_lib.pipeline.unify import mappings_for

    since, until = period(start, end, ("--from", "--to"))
    lake = options.lake()
    in_use = {spec.source: spec for spec in mappings_for(lake, target, [source] if source else [])}
    there = {spec.source: spec for spec in load_mappings(location, raw_tables()).get(target, ())}
    plans = [
        plan_mapping(lake, old, there[name], since, until)
        for name, old in in_use.items()
        if name in there and not there[name].makes_the_same_as(old)
    ]
    lake.close()
    render_mappings.show_plans(plans, lake.settings.mappings or "those shipped", as_json=options.json)
    for name in in_use.keys() - there.keys():
        click.echo(f"{location} has no mapping of {name}: without one its rows go at the next --full-refresh", err=True)
    for name in there.keys() - in_use.keys() if source is None else ():
        click.echo(f"{location} has a mapping of {name}, which has none now: all its rows would come", err=True)


@command(mappings_group, "new-source")
@click.argument("name")
def mappings_new_source_command(options: Globals, name: str) -> None:
    """Write what a new exchange begins with, into the checkout at hand: connector, mapping, examples and red tests."""
    from pathlib import Path

    from schemahub_lib import render
    from schemahub_lib.scaffold import REGISTRY, new_source

    written = new_source(Path.cwd(), name)
    if options.json:
        render.show_json({"written": written})
        return
    tests = next(path for path in written if path.startswith("tests/"))
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(
        f"""entered in {REGISTRY}

1. Fill in what says FILL IN, in all four files, until this is green:
       make dev && .venv/bin/python -m pytest {tests}
2. Check the mapping and its examples:
       .venv/bin/schemahub mappings validate && .venv/bin/schemahub mappings test {name}
3. Choose its products, and look at real trades:
       .venv/bin/schemahub update-seed --source {name} --fetch --write
       .venv/bin/schemahub run ingest {name} --cold-start-window 10m
CONTRIBUTING.md, `Adding an exchange`, has what is left: the contract suite, a Glue job, a simulator."""
    )
