"""`schemahub estimate`: what it costs."""

from __future__ import annotations

import click

from schemahub_lib.commands.base import Globals, command, main_group, names
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES

TRADES_A_DAY = 1_000_000


@command(main_group, "estimate")
@click.option("--sources", help="Comma-separated exchanges  [default: all].")
@click.option(
    "--products", type=click.IntRange(1), help="Of all exchanges together  [default: those of the seed files]."
)
@click.option("--trades-a-day", type=click.IntRange(0), help=f"Of all products together  [default: {TRADES_A_DAY:,}].")
@click.option("--every", help="How often it runs, such as 30m  [default: the pipeline job's schedule].")
@click.option(
    "--run-seconds",
    type=click.FloatRange(0, min_open=True),
    help="How long a run works once it has started  [default: from rate limits and measurements].",
)
@click.option(
    "--history",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Trades that are fetched once, to begin with.",
)
@click.option(
    "--month",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="The month to reckon: storage grows with each.",
)
@click.option("--queries", type=click.IntRange(0), default=1000, show_default=True, help="Queries a month.")
@click.option(
    "--query-mb", type=click.FloatRange(0), default=10.0, show_default=True, help="What a query scans, in MB."
)
@click.option("--secrets", type=click.IntRange(0), default=0, show_default=True, help="API keys in Secrets Manager.")
@click.option("--region", default="us-east-1", show_default=True, help="Whose prices: us-east-1 or eu-west-1.")
@click.option("--on", "setup", default="glue", show_default=True, help="Whose bill is shown; the last table names all.")
@click.option("--params", metavar="FILE", help="Jobs, workers and schedules  [default: glue_job_params.json].")
@click.option(
    "--from-warehouse",
    is_flag=True,
    help="Products, trades a day and seconds a run as the tables' own ledgers tell them, where no option does.",
)
def estimate_command(
    options: Globals,
    sources: str | None,
    products: int | None,
    trades_a_day: int | None,
    every: str | None,
    run_seconds: float | None,
    params: str | None,
    from_warehouse: bool,
    setup: str,
    region: str,
    history: int,
    month: int,
    queries: int,
    query_mb: float,
    secrets: int,
) -> None:
    """What running it costs a month, with every formula, from dated prices; asks no exchange and no cloud."""
    from schemahub_lib import render, render_cost
    from schemahub_lib.cost.estimate import estimate
    from schemahub_lib.cost.jobs import read_jobs
    from schemahub_lib.cost.workload import Source, Workload, spread
    from schemahub_lib.landing.seeds import read_seed, seed_file

    jobs = read_jobs(params)
    chosen = names(sources, "--sources") or tuple(EXCHANGES)
    if unknown := [name for name in chosen if name not in EXCHANGES]:
        raise UsageError(f"--sources: there is no exchange {unknown[0]!r}; there are {', '.join(EXCHANGES)}")
    if from_warehouse:
        from schemahub_lib.pipeline.usage import usage

        used, measured = usage(options.lake(), [EXCHANGES[name] for name in chosen])
        run_seconds = run_seconds or measured
    else:
        used = [Source(EXCHANGES[name], len(read_seed(seed_file(name, None)))) for name in chosen]
        trades_a_day = TRADES_A_DAY if trades_a_day is None else trades_a_day
    workload = Workload(
        spread(used, products=products, trades_a_day=trades_a_day),
        _runs_a_day(every, jobs["pipeline"].runs_a_day),
        run_seconds,
        history,
        month,
        queries,
        query_mb,
        secrets,
    )
    told = estimate(workload, jobs, setup=setup, region=region)
    render.show_json(told) if options.json else render_cost.show_estimate(told)


def _runs_a_day(every: str | None, scheduled: float | None) -> float:
    from schemahub_lib.config import parse_duration

    if every is None:
        if scheduled is None:
            raise UsageError("the pipeline job has no schedule: say how often it runs with --every")
        return scheduled
    if not (between := parse_duration(every).total_seconds()):
        raise UsageError(f"--every {every}: nothing runs as often as that")
    return 86_400 / between
