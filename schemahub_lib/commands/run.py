"""`schemahub run …`: exchanges to raw tables, raw tables to the unified one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import click

from schemahub_lib.commands.base import Globals, command, live, main_group, names, period, product_names
from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.exchanges import EXCHANGES, by_raw_table

if TYPE_CHECKING:
    from schemahub_lib.pipeline.ingest import IngestOptions
    from schemahub_lib.pipeline.reports import Report
    from schemahub_lib.tables.lake import Lake


@main_group.group("run")
def run_group() -> None:
    """Fetch, unify, or both."""


def _ingest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--products", help="Comma-separated, in the venue's own spelling  [default: the seed file]."),
        click.option("--seed-path", help="Product seed file, in place of the one shipped."),
        click.option("--cold-start-window", default="45m", show_default=True, help="How far back a new stream starts."),
        click.option("--since", help="Where a new stream starts (UTC time), in place of the cold-start window."),
        click.option("--until", help="Stop before the first trade at or after this time (UTC)."),
        click.option("--max-catch-up", type=click.IntRange(1), help="Stop each stream after about this many trades."),
        click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Products at a time."),
        click.option("--no-payload", is_flag=True, help="Do not keep the exchange's own JSON in _raw_payload."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _options_from(values: dict[str, Any]) -> IngestOptions:
    from schemahub_lib.config import parse_duration
    from schemahub_lib.pipeline.ingest import IngestOptions

    since, until = period(values["since"], values["until"])
    return IngestOptions(
        products=product_names(values["products"], values["seed_path"]),
        seed_path=values["seed_path"],
        cold_start_window=parse_duration(values["cold_start_window"]),
        since=since,
        until=until,
        max_catch_up=values["max_catch_up"],
        workers=values["workers"],
        keep_payload=not values["no_payload"],
    )


def _one_venue(options: IngestOptions, sources: Collection[object], remedy: str) -> None:
    for flag, given in (("--products", options.products), ("--seed-path", options.seed_path)):
        if given and len(sources) > 1:
            raise UsageError(f"{flag} names products of one venue: {remedy}")


def _refuse_times() -> None:
    context = click.get_current_context()
    for name in ("cold_start_window", "since", "until", "max_catch_up"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is about trades; a book is what the exchange shows now: leave it or --books out")


@command(run_group, "ingest")
@click.argument("sources", nargs=-1, required=True, type=click.Choice(list(EXCHANGES)))
@click.option("--books", is_flag=True, help="One snapshot of each product's order book, into raw_<source>_books.")
@_ingest_options
def run_ingest_command(options: Globals, sources: tuple[str, ...], books: bool, **values: Any) -> None:
    """Fetch what is new since each stream's watermark into raw_<source>_trades."""
    from schemahub_lib.pipeline.pipeline import run_books, run_ingest
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id

    if books:
        _refuse_times()
    ingest_options = _options_from(values)
    _one_venue(ingest_options, set(sources), "give one source with it")
    lake = options.lake()
    with Progress(live=live(options)) as progress:
        chosen = [EXCHANGES[name] for name in dict.fromkeys(sources)]
        run = run_books if books else run_ingest
        reports = run(lake, chosen, ingest_options, new_run_id(), progress)
    _finish(options, lake, reports)


@command(run_group, "unify")
@click.argument("target", default="trades_unified")
@click.option("--sources", help="Comma-separated exchanges  [default: all that have a mapping].")
@click.option("--from", "start", help="Restate the trades from this time on (UTC).")
@click.option("--to", "end", help="Restate the trades before this time (UTC).")
@click.option("--symbols", help="Restate these alone: comma-separated, as the venue or canonically spelled.")
@click.option("--full-refresh", is_flag=True, help="Rebuild all, or the sources named, from raw.")
@click.option("--dry-run", is_flag=True, help="Tell what it would do, with SQL or samples; publish nothing.")
def run_unify_command(
    options: Globals,
    target: str,
    sources: str | None,
    start: str | None,
    end: str | None,
    symbols: str | None,
    full_refresh: bool,
    dry_run: bool,
) -> None:
    """Publish what the raw tables gained into TARGET, in one MERGE.

    With --from, --to or --symbols: make that part of TARGET anew from raw, in one publish.
    """
    from schemahub_lib.mapping.restatement import Region
    from schemahub_lib.pipeline.pipeline import run_refresh, run_restate, run_unify
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.pipeline.unify import mappings_for

    region = Region(*period(start, end, ("--from", "--to")), names(symbols, "--symbols"))
    if full_refresh and region != Region():
        raise UsageError("--full-refresh rebuilds everything: leave out --from, --to and --symbols, or leave out it")
    lake = options.lake()
    specs = mappings_for(lake, target, names(sources, "--sources"))
    run_id = new_run_id()
    with Progress(live=live(options)) as progress:
        if full_refresh and not dry_run:
            report = run_refresh(lake, target, specs, run_id, progress)
        elif full_refresh or region != Region():
            part = None if full_refresh else region
            report = run_restate(lake, target, specs, part, run_id, progress, dry_run=dry_run)
        else:
            report = run_unify(lake, target, specs, run_id, progress, dry_run=dry_run)
    _finish(options, lake, [report])


@command(run_group, "pipeline")
@click.argument("target", default="trades_unified")
@click.option("--sources", help="Comma-separated exchanges  [default: all that have a mapping].")
@_ingest_options
def run_pipeline_command(options: Globals, target: str, sources: str | None, **values: Any) -> None:
    """Ingest all sources, then unify into TARGET in one atomic publish: one Spark start, or none."""
    from schemahub_lib.pipeline.pipeline import run_pipeline
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.pipeline.unify import mappings_for

    ingest_options = _options_from(values)
    lake = options.lake()
    specs = mappings_for(lake, target, names(sources, "--sources"))
    sources_read = {spec.source for spec in specs}
    exchanges = [exchange for raw, exchange in by_raw_table().items() if raw in sources_read]
    _one_venue(ingest_options, exchanges, "give one source with --sources")
    reports: list[Report] = []
    try:
        with Progress(live=live(options)) as progress:
            for report in run_pipeline(lake, exchanges, target, specs, ingest_options, new_run_id(), progress):
                reports.append(report)
    except SchemaHubError:
        if reports:
            _show(options, lake, reports)  # a unify that failed does not undo what was ingested
        raise
    _finish(options, lake, reports)


@command(run_group, "load")
@click.argument("source", type=click.Choice(list(EXCHANGES)))
@click.option("--from", "uri", required=True, help="Folder or s3://bucket/prefix of landed objects.")
@click.option("--products", help="Comma-separated, in the venue's own spelling  [default: all that are there].")
def run_load_command(options: Globals, source: str, uri: str, products: str | None) -> None:
    """Load landed objects into raw_<source>_trades, each exactly once."""
    import threading

    from schemahub_lib import render
    from schemahub_lib.landing.store import at_uri
    from schemahub_lib.pipeline.load import load
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id
    from schemahub_lib.pipeline.workers import exit_code

    store, prefix = at_uri(uri)
    with Progress(live=live(options)) as progress:
        outcomes = load(
            options.lake(),
            EXCHANGES[source],
            store,
            prefix,
            names(products, "--products"),
            new_run_id(),
            progress,
            threading.Event(),
        )
    render.show_json(outcomes) if options.json else render.show_outcomes(outcomes)
    if code := exit_code([outcome.status for outcome in outcomes]):
        raise click.exceptions.Exit(code)


def _show(options: Globals, lake: Lake, reports: list[Report]) -> None:
    from schemahub_lib import render

    lake.close()
    render.show_json(reports) if options.json else render.show_reports(reports)


def _finish(options: Globals, lake: Lake, reports: list[Report]) -> None:
    """Print what the run did, stop Spark, and exit with the code the outcome has."""
    from schemahub_lib.pipeline.runs import exit_code

    _show(options, lake, reports)
    if code := exit_code(reports):
        raise click.exceptions.Exit(code)
