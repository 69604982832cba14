"""The command line: parse, call one pipeline verb, print. Heavy libraries load inside the commands that need them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from schemahub_lib import __version__
from schemahub_lib.errors import Interrupted, SchemaHubError, UsageError
from schemahub_lib.exchanges import EXCHANGES

if TYPE_CHECKING:
    from datetime import datetime

    from schemahub_lib.pipeline.ingest import IngestOptions
    from schemahub_lib.pipeline.runs import Report
    from schemahub_lib.tables.lake import Lake


FAULT_EXIT = 1
PARTIAL_EXIT = 3


@dataclass
class Globals:
    """The options every command takes, before or after its name."""

    profile: str | None = None
    warehouse: str | None = None
    mappings: str | None = None
    log_format: str = "text"
    verbose: bool = False
    quiet: bool = False
    json: bool = False

    def lake(self) -> Lake:
        from schemahub_lib.config import Settings
        from schemahub_lib.tables.lake import Lake

        return Lake(Settings.load(profile=self.profile, warehouse=self.warehouse, mappings=self.mappings))


_GLOBAL_OPTIONS = (
    click.option("--profile", type=click.Choice(["local", "glue", "rest"]), help="Catalog profile  [default: local]."),
    click.option("--warehouse", help="Folder or s3:// URI of the tables  [default: ./warehouse]."),
    click.option("--mappings", help="Folder or s3:// URI of mapping files, in place of those shipped."),
    click.option("--log-format", type=click.Choice(["text", "json"]), help="How logs on stderr look."),
    click.option("-v", "--verbose", is_flag=True, default=None, help="More logs, and tracebacks of errors."),
    click.option("--quiet", is_flag=True, default=None, help="Only warnings and errors on stderr."),
    click.option("--json", is_flag=True, default=None, help="The result as JSON on stdout."),
)


def _with_globals(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_GLOBAL_OPTIONS):
        command = option(command)
    return command


def _command(group: click.Group, name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A leaf command: global options are taken here too, and the function gets them as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.pass_context
        def run(context: click.Context, /, **values: Any) -> Any:
            options: Globals = context.obj
            for option in vars(options):
                given = values.pop(option)
                if given is not None:
                    setattr(options, option, given)
            _set_up_logging(options)
            return function(options, **values)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        group.command(name, **attributes)(_with_globals(run))
        return function

    return decorate


def _set_up_logging(options: Globals) -> None:
    from schemahub_lib.logs import set_up_logging

    set_up_logging(options.log_format, verbose=options.verbose, quiet=options.quiet)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="schemahub")
@_with_globals
@click.pass_context
def main_group(context: click.Context, /, **values: Any) -> None:
    """Trades of Coinbase, Binance and Kraken in Apache Iceberg tables, unified exactly once."""
    context.obj = Globals(**{name: value for name, value in values.items() if value is not None})


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
        click.option("--no-payload", is_flag=True, help="Do not keep each trade's own JSON in _raw_payload."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _names(listed: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list."""
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


def _period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """`--since` and `--until`. Raises UsageError for a period that cannot be."""
    from datetime import UTC, datetime

    from schemahub_lib.config import parse_time

    start, end = (parse_time(text) if text else None for text in (since, until))
    if start and end and start >= end:
        raise UsageError(f"--since {since} is not before --until {until}")
    if start and start > datetime.now(UTC):
        raise UsageError(f"--since {since} is in the future")
    return start, end


def _options_from(values: dict[str, Any]) -> IngestOptions:
    from schemahub_lib.config import parse_duration
    from schemahub_lib.pipeline.ingest import IngestOptions

    since, until = _period(values["since"], values["until"])
    return IngestOptions(
        products=_names(values["products"]),
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


@_command(run_group, "ingest")
@click.argument("sources", nargs=-1, required=True, type=click.Choice(list(EXCHANGES)))
@_ingest_options
def run_ingest_command(options: Globals, sources: tuple[str, ...], **values: Any) -> None:
    """Fetch what is new since each stream's watermark into raw_<source>_trades."""
    from schemahub_lib.pipeline.pipeline import run_ingest
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.runs import new_run_id

    ingest_options = _options_from(values)
    _one_venue(ingest_options, set(sources), "give one source with it")
    lake = options.lake()
    with Progress(live=_live(options)) as progress:
        chosen = [EXCHANGES[name] for name in dict.fromkeys(sources)]
        reports = run_ingest(lake, chosen, ingest_options, new_run_id(), progress)
    _finish(options, lake, reports)


@_command(run_group, "unify")
@click.argument("target", default="trades_unified")
@click.option("--sources", help="Comma-separated exchanges  [default: all that have a mapping].")
@click.option("--dry-run", is_flag=True, help="Print the SQL and what it would insert; publish nothing.")
def run_unify_command(options: Globals, target: str, sources: str | None, dry_run: bool) -> None:
    """Publish what the raw tables gained into TARGET, in one MERGE."""
    from schemahub_lib.pipeline.pipeline import run_unify
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.runs import new_run_id
    from schemahub_lib.pipeline.unify import mappings_for

    lake = options.lake()
    specs = mappings_for(lake, target, _names(sources))
    with Progress(live=_live(options)) as progress:
        report = run_unify(lake, target, specs, new_run_id(), progress, dry_run=dry_run)
    _finish(options, lake, [report])


@_command(run_group, "pipeline")
@click.argument("target", default="trades_unified")
@click.option("--sources", help="Comma-separated exchanges  [default: all that have a mapping].")
@_ingest_options
def run_pipeline_command(options: Globals, target: str, sources: str | None, **values: Any) -> None:
    """Ingest all sources, then unify into TARGET in one atomic publish: one Spark start, or none."""
    from schemahub_lib.pipeline.pipeline import run_pipeline
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.runs import new_run_id
    from schemahub_lib.pipeline.unify import mappings_for

    ingest_options = _options_from(values)
    lake = options.lake()
    specs = mappings_for(lake, target, _names(sources))
    exchanges = [e for e in EXCHANGES.values() if e.raw_table.name in {spec.source for spec in specs}]
    _one_venue(ingest_options, exchanges, "give one source with --sources")
    with Progress(live=_live(options)) as progress:
        reports = run_pipeline(lake, exchanges, target, specs, ingest_options, new_run_id(), progress)
    _finish(options, lake, reports)


@_command(main_group, "backfill")
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
@click.option("--no-payload", is_flag=True, help="Do not keep each trade's own JSON.")
def backfill_command(options: Globals, source: str, no_payload: bool, **values: Any) -> None:
    """Fetch history, from new to old, as objects or straight into raw_<source>_trades."""
    import threading

    from schemahub_lib import render
    from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
    from schemahub_lib.pipeline.progress import Journey
    from schemahub_lib.pipeline.runs import new_run_id
    from schemahub_lib.pipeline.workers import exit_code

    since, until = _period(values["since"], values["until"])
    backfill_options = BackfillOptions(
        products=_names(values["products"]),
        since=since,
        until=until,
        keep_payload=not no_payload,
        **{name: values[name] for name in ("seed_path", "chunk_size", "workers", "concurrency", "gaps")},
    )
    with Journey(live=_live(options)) as journey:
        outcomes = backfill_raw(
            options.lake(), EXCHANGES[source], backfill_options, new_run_id(), journey, threading.Event()
        )
    render.show_json(outcomes) if options.json else render.show_outcomes(outcomes)
    if code := exit_code(outcomes):
        raise click.exceptions.Exit(code)


@_command(main_group, "update-seed")
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


@_command(main_group, "status")
def status_command(options: Globals) -> None:
    """Every stream's watermark, lag and gaps; every table's rows and files."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.status import status

    found = status(options.lake())
    render.show_json(found) if options.json else render.show_status(found)


@_command(main_group, "query")
@click.argument("sql")
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How rows are written to stdout.",
)
@click.option("--as-of", help="The tables as they were at this time (UTC).")
def query_command(options: Globals, sql: str, output: str, as_of: str | None) -> None:
    """Run one read-only SELECT (DuckDB's SQL, times in UTC) over the tables."""
    from schemahub_lib import render
    from schemahub_lib.config import parse_time
    from schemahub_lib.pipeline.query import query

    rows = query(options.lake(), sql, parse_time(as_of) if as_of else None)
    render.show_rows(rows, "json" if options.json else output)


@_command(main_group, "doctor")
def doctor_command(options: Globals) -> None:
    """Check Java, jars, catalog, credentials, endpoints and clock, and say what to do about each."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.doctor import examine

    findings = examine(options.lake())
    render.show_json(findings) if options.json else render.show_findings(findings)
    if any(finding.status == "fail" for finding in findings):
        raise click.exceptions.Exit(FAULT_EXIT)


@main_group.group("mappings")
def mappings_group() -> None:
    """Check and look at mapping files."""


@_command(mappings_group, "validate")
@click.argument("location", required=False)
def mappings_validate_command(options: Globals, location: str | None) -> None:
    """Check every mapping in LOCATION (default: those in use); all problems at once, with file and line."""
    from schemahub_lib import render
    from schemahub_lib.config import Settings
    from schemahub_lib.mapping.registry import load_mappings
    from schemahub_lib.pipeline.unify import raw_tables

    place = location or options.mappings or Settings.load(warehouse=options.warehouse).mappings
    found = load_mappings(place, raw_tables())
    names = [spec.file for specs in found.values() for spec in specs]
    render.show_json({"valid": names}) if options.json else click.echo("\n".join(f"ok  {name}" for name in names))


@_command(mappings_group, "show")
@click.argument("source", type=click.Choice(list(EXCHANGES)))
@click.option("--target", default="trades_unified", show_default=True, help="Unified table.")
def mappings_show_command(options: Globals, source: str, target: str) -> None:
    """Where each column of the target comes from, and the SQL that fills it."""
    from datetime import UTC, datetime

    from schemahub_lib import render
    from schemahub_lib.mapping.compiler import explain_columns, increment_select, to_sql
    from schemahub_lib.pipeline.unify import mappings_for
    from schemahub_lib.schemas import PRODUCTS, TARGETS

    (spec,) = mappings_for(options.lake(), target, [source])
    columns = explain_columns(spec, TARGETS[target])
    select = increment_select(spec, TARGETS[target], f"{spec.source}_increment", PRODUCTS.name, datetime.now(UTC))
    render.show_mapping(spec, columns, to_sql(select), as_json=options.json)


@_command(main_group, "simulate")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same market.")
@click.option("--now", help="Where the simulator's clock starts (UTC)  [default: now].")
@click.option("--speed", default=1.0, show_default=True, help="How fast its clock runs; 0 stands still.")
@click.option("--scenario", help="A known event, such as burst-2024-02-08.")
@click.option("--recorded", metavar="DIR", help="Serve recorded response files instead of a made-up market.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=RATE",
    help="Break answers on purpose; repeatable: kraken:500=0.1.",
)
@click.option("--latency", default=0.0, show_default=True, help="Seconds added to every answer.")
@click.option("--trade-rate", default=1.0, show_default=True, help="How many trades, as a multiple.")
@click.option("--no-rate-limit", is_flag=True, help="Do not throttle.")
@click.option("--port", "ports", multiple=True, metavar="EXCHANGE=PORT", help="Fixed port  [default: any free one].")
def simulate_command(options: Globals, ports: tuple[str, ...], no_rate_limit: bool, **values: Any) -> None:
    """Serve a make-believe Coinbase, Binance and Kraken on this machine until stopped."""
    from schemahub_lib.simulator import serve

    fixed: dict[str, int] = {}
    for text in ports:
        exchange, _, number = text.partition("=")
        if not number.isdecimal() or int(number) > 65535:
            raise UsageError(f"--port {text}: write it as coinbase=8080")
        fixed[exchange] = int(number)
    serve(as_json=options.json, ports=fixed, rate_limits=not no_rate_limit, **values)


def _live(options: Globals) -> bool:
    return sys.stderr.isatty() and not options.quiet and options.log_format == "text"


def _finish(options: Globals, lake: Lake, reports: list[Report]) -> None:
    """Print what the run did, stop Spark, and exit with the code the outcome has."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.runs import exit_code

    lake.close()
    render.show_json(reports) if options.json else render.show_reports(reports)
    if code := exit_code(reports):
        raise click.exceptions.Exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A SIGTERM ends it as Ctrl-C does."""
    verbose = "-v" in (argv or sys.argv) or "--verbose" in (argv or sys.argv)
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)  # the only name boto3 reads
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # click returns the code of an Exit; commands return nothing
        code: int | None = main_group.main(argv, prog_name="schemahub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return Interrupted.exit_code
    except SchemaHubError as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug or a broken machine: people get a sentence first
        if verbose:
            traceback.print_exc()
        click.echo(f"error: {type(error).__name__}: {error}", err=True)
        if not verbose:
            click.echo("Run it again with -v for the traceback.", err=True)
        return FAULT_EXIT
    finally:
        signal.signal(signal.SIGTERM, before)
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
