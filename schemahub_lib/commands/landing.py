"""`schemahub ingest`, `backfill` and `update-seed`: trades as objects, history, and which products there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from schemahub_lib.commands.base import Globals, command, live, main_group, names, period, product_names
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES

if TYPE_CHECKING:
    from schemahub_lib.config import Settings
    from schemahub_lib.pipeline.backfill import BackfillOptions
    from schemahub_lib.pipeline.landing import Landing
    from schemahub_lib.pipeline.workers import Outcome

OBJECT_OPTIONS = ("s3_bucket", "out", "s3_prefix", "format_", "compress")

_source = click.option(
    "--source", type=click.Choice(list(EXCHANGES)), default="coinbase", show_default=True, help="Exchange."
)


def _landing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--s3-bucket", help="Bucket in which objects are landed."),
        click.option("--out", metavar="DIR", help="Folder in place of a bucket."),
        click.option("--s3-prefix", help="What keys begin with  [default: schemahub/raw_<source>_trades]."),
        click.option(
            "--format",
            "format_",
            type=click.Choice(["jsonl", "parquet"]),
            help="What objects hold  [default: jsonl].",
        ),
        click.option(
            "--compress",
            type=click.Choice(["none", "gzip", "zstd"]),
            help="How objects are packed; Parquet always is, with zstd unless told gzip  [default: none].",
        ),
        click.option("--no-payload", is_flag=True, help="Do not keep each trade's own JSON."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _landing(source: str, values: dict[str, Any], *, make: bool = True) -> Landing:
    from schemahub_lib.landing.names import default_prefix
    from schemahub_lib.landing.store import open_store
    from schemahub_lib.pipeline.landing import Landing

    return Landing(
        open_store(bucket=values["s3_bucket"], out=values["out"], make=make),
        (values["s3_prefix"] or default_prefix(source)).strip("/"),
        values["format_"] or "jsonl",
        values["compress"] or "none",
        keep_payload=not values["no_payload"],
    )


def _refuse(values: Mapping[str, Any], options: Sequence[str], why: str) -> None:
    """Raise UsageError for the first of some options that is given, though it has no effect."""
    for option in options:
        if values[option]:
            raise UsageError(f"{why}, so --{option.strip('_').replace('_', '-')} has no effect: remove it")


def _settings(options: Globals) -> Settings:
    from schemahub_lib.config import Settings

    return Settings.load(profile=options.profile, warehouse=options.warehouse, mappings=options.mappings)


@command(main_group, "ingest")
@click.argument("product", required=False)
@_source
@click.option("--seed-path", help="Product seed file, in place of the one shipped.")
@click.option("--limit", type=click.IntRange(1), help="Trades a request  [default, and at most: what the API gives].")
@click.option("--before", type=click.IntRange(0), help="Only ids above this one, whatever the watermark says.")
@click.option("--after", type=click.IntRange(0), help="Only ids below this one.")
@click.option("--skip-checkpoint", is_flag=True, help="Fetch the last minutes anew, whatever the watermark says.")
@click.option("--cold-start-window", help="How far back a new product starts  [default: 45m].")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Products at a time.")
@_landing_options
def ingest_command(
    options: Globals, product: str | None, source: str, cold_start_window: str | None, **values: Any
) -> None:
    """Land what is new of PRODUCT, or of every product in the seed file, as objects; each after its watermark."""
    import threading

    from schemahub_lib.config import parse_duration
    from schemahub_lib.pipeline.land_new import MicrobatchOptions, land_new
    from schemahub_lib.pipeline.progress import Progress

    chosen = MicrobatchOptions(
        products=product_names(product, values["seed_path"], "PRODUCT"),
        cold_start_window=parse_duration(cold_start_window or "45m"),
        **{name: values.pop(name) for name in ("seed_path", "limit", "before", "after", "skip_checkpoint", "workers")},
    )
    if len(chosen.products) > 1:
        raise UsageError(f"{product}: give one PRODUCT, or leave it out for those of a seed file (--seed-path)")
    if chosen.before is not None and chosen.after is not None and chosen.after <= chosen.before + 1:
        raise UsageError(f"no id is above --before {chosen.before} and below --after {chosen.after}")
    if chosen.before is not None and cold_start_window is not None:
        raise UsageError("--before says where to begin, so --cold-start-window has no effect: leave one of them out")
    landing = _landing(source, values)
    with Progress(live=live(options)) as progress:
        outcomes = land_new(_settings(options), EXCHANGES[source], chosen, landing, progress, threading.Event())
    _show(options, outcomes)


@command(main_group, "backfill")
@_source
@click.option("--products", help="Comma-separated, in the venue's own spelling  [default: the seed file].")
@click.option("--seed-path", help="Product seed file, in place of the one shipped.")
@click.option("--since", help="Go back to this time (UTC)  [default: to the first trade].")
@click.option("--until", help="Begin before the first trade at or after this time (UTC)  [default: now].")
@click.option(
    "--to", type=click.Choice(["landing", "raw"]), help="Objects, or the raw table itself  [default: landing]."
)
@click.option("--chunk-size", type=click.IntRange(1), default=1000, show_default=True, help="Trades fetched at once.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Products at a time.")
@click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Chunks at once, a product.")
@click.option("--resume", is_flag=True, help="Go on where each product's checkpoint says; --to raw always does.")
@click.option("--checkpoint-s3", is_flag=True, help="Keep checkpoints beside the objects, not in ./state.")
@click.option("--gaps", is_flag=True, help="Only what lies between parts that the raw table covers (--to raw).")
@click.option(
    "--from-archive", "archives", multiple=True, metavar="FILE", help="Load this official bulk file; repeatable."
)
@click.option(
    "--distributed",
    is_flag=True,
    help="Fetch on Spark's executors. Helps where they have addresses of their own: limits are per IP address.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be fetched, how long it takes and how big it is.")
@_landing_options
def backfill_command(options: Globals, source: str, archives: tuple[str, ...], **values: Any) -> None:
    """Fetch history, from new to old, as objects or straight into raw_<source>_trades."""
    import threading

    from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
    from schemahub_lib.pipeline.progress import Journey
    from schemahub_lib.pipeline.reports import new_run_id

    if archives:
        return _show(options, _from_archives(options, source, archives, values))
    since, until = period(values.pop("since"), values.pop("until"))
    chosen = BackfillOptions(
        products=product_names(values.pop("products"), values["seed_path"]),
        since=since,
        until=until,
        keep_payload=not values["no_payload"],
        **{name: values.pop(name) for name in ("seed_path", "chunk_size", "workers", "concurrency", "gaps")},
    )
    to, distributed, resume = values["to"], values["distributed"], values["resume"]
    if chosen.gaps and to == "landing":
        raise UsageError("--gaps are those of the raw table: use it with --to raw")
    raw = to == "raw" or chosen.gaps
    if raw:
        flag = "--gaps" if chosen.gaps else "--to raw"
        _refuse(values, (*OBJECT_OPTIONS, "checkpoint_s3"), f"{flag} writes into the warehouse (--warehouse)")
    if values["dry_run"]:
        return _plan(options, source, chosen, raw, values)
    exchange, stop = EXCHANGES[source], threading.Event()
    lake = options.lake() if raw or distributed else None
    cluster = None
    if distributed and lake is not None:
        from schemahub_lib.pipeline.distributed import Cluster

        cluster = Cluster(lake.spark, lake.settings.exchange_url(source))
    with Journey(live=live(options)) as journey:
        if raw and lake is not None:
            outcomes = backfill_raw(lake, exchange, chosen, new_run_id(), journey, stop, cluster)
        else:
            from schemahub_lib.pipeline.land_history import land_history
            from schemahub_lib.pipeline.resume import Resumption

            landing = _landing(source, values)
            outcomes = land_history(
                _settings(options),
                exchange,
                chosen,
                landing,
                Resumption(exchange, landing, beside=values["checkpoint_s3"]),
                journey,
                stop,
                resume=resume,
                cluster=cluster,
            )
    if lake is not None:
        lake.close()
    _show(options, outcomes)


def _plan(options: Globals, source: str, chosen: BackfillOptions, raw: bool, values: dict[str, Any]) -> None:
    from schemahub_lib import render
    from schemahub_lib.pipeline.plan import bytes_a_trade, plan
    from schemahub_lib.pipeline.resume import Resumption

    exchange = EXCHANGES[source]
    lake, resumption = options.lake() if raw else None, None
    if values["resume"] and not raw:
        resumption = Resumption(exchange, _landing(source, values, make=False), beside=values["checkpoint_s3"])
    format_ = "raw" if raw else values["format_"] or "jsonl"
    size = bytes_a_trade(format_, values["compress"] or "none", keep_payload=not values["no_payload"])
    plans = plan(_settings(options), exchange, chosen, size, lake, resumption)
    render.show_json(plans) if options.json else render.show_plans(plans)
    _exit(["failed" if plan.error else "ok" for plan in plans])


def _from_archives(options: Globals, source: str, archives: tuple[str, ...], values: dict[str, Any]) -> list[Outcome]:
    import threading
    from pathlib import Path

    from schemahub_lib.pipeline.archive import load_archives
    from schemahub_lib.pipeline.progress import Progress
    from schemahub_lib.pipeline.reports import new_run_id

    why = "--from-archive loads whole files into the raw table"
    ruled_out = ("since", "until", "gaps", "seed_path", "distributed", "dry_run", "resume", "checkpoint_s3")
    _refuse(values, (*ruled_out, *OBJECT_OPTIONS), why)
    if values["to"] == "landing":
        raise UsageError(f"{why}, so --to landing has no effect: remove it")
    with Progress(live=live(options)) as progress:
        return load_archives(
            options.lake(),
            EXCHANGES[source],
            [Path(name) for name in archives],
            names(values["products"], "--products"),
            new_run_id(),
            progress,
            threading.Event(),
            keep_payload=not values["no_payload"],
        )


def _show(options: Globals, outcomes: list[Outcome]) -> None:
    """Print what was done, and exit with the code the outcome has."""
    from schemahub_lib import render

    render.show_json(outcomes) if options.json else render.show_outcomes(outcomes)
    _exit([outcome.status for outcome in outcomes])


def _exit(statuses: Sequence[str]) -> None:
    from schemahub_lib.pipeline.workers import exit_code

    if code := exit_code(statuses):
        raise click.exceptions.Exit(code)


@command(main_group, "update-seed")
@_source
@click.option("--path", help="Seed file  [default: mappings/product_ids_seed.yaml, or ..._<source>.yaml].")
@click.option("--fetch", is_flag=True, help="Ask the exchange for its products, as is done without it too.")
@click.option("--write", is_flag=True, help="Write the file anew, without its comments; else the difference is shown.")
@click.option("--merge", is_flag=True, help="Keep the ids that are in the file already, offered or not.")
@click.option("--filter-regex", help="Only ids that this matches as a whole, e.g. '.*-USD'.")
@click.option("--dry-run", is_flag=True, help="Only show the difference, whatever else is said.")
def update_seed_command(
    options: Globals, source: str, path: str | None, fetch: bool, write: bool, dry_run: bool, **choice: Any
) -> None:
    """Bring a product seed file up to date with what the exchange offers."""
    from schemahub_lib import render
    from schemahub_lib.pipeline.seeds import update_seed

    change = update_seed(_settings(options), EXCHANGES[source], path=path, write=write and not dry_run, **choice)
    render.show_json(change) if options.json else render.show_seed_change(change)
