"""`schemahub tables …`: the upkeep of the tables themselves."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import FAULT_EXIT, Globals, command, live, main_group


@main_group.group("tables")
def tables_group() -> None:
    """Keep tables in shape."""


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
    from schemahub_lib.pipeline.runs import new_run_id
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
