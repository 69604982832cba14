"""`schemahub tables …`: what the tables were, how they lie, and their upkeep."""

from __future__ import annotations

import sys

import click

from schemahub_lib.commands.base import FAULT_EXIT, Globals, command, live, main_group
from schemahub_lib.errors import UsageError


@main_group.group("tables")
def tables_group() -> None:
    """Look after the tables: history, rollback, layout, upkeep."""


@command(tables_group, "history")
@click.argument("table")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many, the newest.")
def tables_history_command(options: Globals, table: str, limit: int) -> None:
    """What was published into TABLE and when, newest first: the heads that main has been at."""
    from schemahub_lib import render, render_tables
    from schemahub_lib.pipeline.publishes import publishes
    from schemahub_lib.tables.named import existing

    found = publishes(existing(options.lake(), table))
    render.show_json(found[:limit]) if options.json else render_tables.show_publishes(found, limit)


@command(tables_group, "rollback")
@click.argument("table")
@click.option(
    "--to",
    required=True,
    metavar="SNAPSHOT_ID|TIME",
    help="A head that main has been at, as in `tables history`, or when (UTC).",
)
@click.option("--dry-run", is_flag=True, help="Only show what it would mean.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def tables_rollback_command(options: Globals, table: str, to: str, dry_run: bool, yes: bool) -> None:
    """Make what TABLE was earlier its present state again, once it is shown what that means."""
    from schemahub_lib import render, render_tables
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.pipeline.rollback import plan_rollback, roll_back

    lake = options.lake()
    plan = plan_rollback(lake, table, to)
    render.show_json(plan) if options.json else render_tables.show_rollback(plan)
    if dry_run:
        return
    if not yes:
        if options.json or not sys.stdin.isatty():
            raise UsageError("nothing was changed: nobody can be asked here; give --yes to do it")
        click.confirm(f"Roll {table} back?", abort=True, err=True)
    roll_back(lake, plan, new_run_id())
    click.echo(f"{table} is at snapshot {plan.after.snapshot_id} again", err=True)


@command(tables_group, "plan-partitions")
@click.argument("table")
def tables_plan_partitions_command(options: Globals, table: str) -> None:
    """How TABLE is best partitioned, from its volume, file sizes and symbols; changes nothing."""
    from schemahub_lib import render, render_tables
    from schemahub_lib.pipeline.partitions import plan_partitions

    plan = plan_partitions(options.lake(), table)
    render.show_json(plan) if options.json else render_tables.show_partition_plan(plan)


@command(tables_group, "maintain")
@click.argument("names", metavar="[TABLE]...", nargs=-1)
@click.option("--keep", help="How long snapshots are kept, for `query --as-of` and a way back  [default: 5d].")
@click.option("--dry-run", is_flag=True, help="Only say what is due, and why.")
def tables_maintain_command(options: Globals, names: tuple[str, ...], keep: str | None, dry_run: bool) -> None:
    """Do what is due for each TABLE (default: all): compaction, manifests, old snapshots, orphan files, key audit."""
    from schemahub_lib import render
    from schemahub_lib.config import parse_duration
    from schemahub_lib.pipeline.maintain import maintain
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.tables.due import KEEP

    lake, kept = options.lake(), parse_duration(keep) if keep else KEEP
    try:
        with Progress(live=live(options)) as progress:
            upkeeps = maintain(lake, names, kept, new_run_id(), progress, dry_run=dry_run)
    finally:
        lake.close()
    render.show_json(upkeeps) if options.json else render.show_upkeeps(upkeeps, dry_run=dry_run)
    if any(upkeep.errors for upkeep in upkeeps):
        raise click.exceptions.Exit(FAULT_EXIT)
