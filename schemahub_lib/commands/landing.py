"""`schemahub backfill` and `update-seed`: history, and which products there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from schemahub_lib.commands.base import Globals, command, live, main_group, names, period
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES

if TYPE_CHECKING:
    from schemahub_lib.pipeline.workers import Outcome


@command(main_group, "backfill")
@click.option("--source", type=click.Choice(list(EXCHANGES)), default="coinbase", show_default=True, help="Exchange.")
@click.option("--products", help="Comma-separated, in the venue's own spelling  [default: the seed file].")
@click.option("--seed-path", help="Product seed file, in place of the one shipped.")
@click.option("--since", help="Go back to this time (UTC)  [default: to the first trade].")
@click.option("--until", help="Begin before the first trade at or after this time (UTC)  [default: now].")
@click.option("--chunk-size", type=click.IntRange(1), default=1000, show_default=True, help="Trades fetched at once.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Products at a time.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Chunks at a time, a product."
)
@click.option("--gaps", is_flag=True, help="Only what lies between parts that the raw table covers.")
@click.option(
    "--from-archive", "archives", multiple=True, metavar="FILE", help="Load this official bulk file; repeatable."
)
@click.option("--no-payload", is_flag=True, help="Do not keep each trade's own JSON.")
def backfill_command(options: Globals, source: str, archives: tuple[str, ...], no_payload: bool, **values: Any) -> None:
    """Fetch history, from new to old, as objects or straight into raw_<source>_trades."""
    import threading
    from pathlib import Path

    from schemahub_lib.pipeline.archive import load_archives
    from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
    from schemahub_lib.pipeline.progress import Journey, Progress
    from schemahub_lib.pipeline.runs import new_run_id

    if archives:
        for option in ("since", "until", "gaps", "seed_path"):
            if values[option]:
                raise UsageError(f"--from-archive loads whole files: leave --{option.replace('_', '-')} out")
        with Progress(live=live(options)) as progress:
            outcomes = load_archives(
                options.lake(),
                EXCHANGES[source],
                [Path(name) for name in archives],
                names(values["products"]),
                new_run_id(),
                progress,
                threading.Event(),
                keep_payload=not no_payload,
            )
        return _show(options, outcomes)
    since, until = period(values["since"], values["until"])
    backfill_options = BackfillOptions(
        products=names(values["products"]),
        since=since,
        until=until,
        keep_payload=not no_payload,
        **{name: values[name] for name in ("seed_path", "chunk_size", "workers", "concurrency", "gaps")},
    )
    with Journey(live=live(options)) as journey:
        outcomes = backfill_raw(
            options.lake(), EXCHANGES[source], backfill_options, new_run_id(), journey, threading.Event()
        )
    _show(options, outcomes)


def _show(options: Globals, outcomes: list[Outcome]) -> None:
    """Print what was done, and exit with the code the outcome has."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.workers import exit_code

    render.show_json(outcomes) if options.json else render.show_outcomes(outcomes)
    if code := exit_code(outcomes):
        raise click.exceptions.Exit(code)


@command(main_group, "update-seed")
@click.option("--source", type=click.Choice(list(EXCHANGES)), default="coinbase", show_default=True, help="Exchange.")
@click.option("--path", help="Seed file  [default: mappings/product_ids_seed.yaml, or ..._<source>.yaml].")
@click.option("--fetch", is_flag=True, help="Ask the exchange for its products, as is done without it too.")
@click.option("--write", is_flag=True, help="Write the file; without it only the difference is shown.")
@click.option("--merge", is_flag=True, help="Keep the ids that are in the file already.")
@click.option("--filter-regex", help="Only ids that this matches as a whole, e.g. '.*-USD'.")
@click.option("--dry-run", is_flag=True, help="Only show the difference, whatever else is said.")
def update_seed_command(
    options: Globals, source: str, path: str | None, fetch: bool, write: bool, dry_run: bool, **choice: Any
) -> None:
    """Bring a product seed file up to date with what the exchange offers."""
    from schemahub_lib import render
    from schemahub_lib.config import Settings
    from schemahub_lib.pipeline.seeds import update_seed

    settings = Settings.load(profile=options.profile, warehouse=options.warehouse)
    change = update_seed(settings, EXCHANGES[source], path=path, write=write and not dry_run, **choice)
    render.show_json(change) if options.json else render.show_seed_change(change)
