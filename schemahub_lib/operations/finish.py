"""What panels show beyond what SQL can tell: the upkeep that is due, and a bill."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from schemahub_lib.cost.estimate import estimate
from schemahub_lib.cost.jobs import read_jobs
from schemahub_lib.cost.workload import Source, Workload
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.operations.charts import Rows
from schemahub_lib.pipeline.maintain import last_unified
from schemahub_lib.tables.due import KEEP, due
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import loaded

SHORTEST = timedelta(hours=1)  # between the first ingest and the last, for a bill to be made of what they brought


def maintenance_due(lake: Lake, rows: Rows) -> list[dict[str, Any]]:
    """The tables (`name`) with what each needs, as `tables maintain` would find it."""

    def needs(name: str) -> str:
        found = due(loaded(lake, name), keep=KEEP, now=datetime.now(UTC), wanted=last_unified(lake, name))
        return ", ".join(found.needs) or "nothing"

    return [{"name": row["name"], "due": needs(row["name"]), **row} for row in rows]


def monthly_bill(_: Lake, rows: Rows) -> list[dict[str, Any]]:
    """The lines of a month's bill, of rows of `usage.USAGE`; none while they tell of too short a time.

    Raises UsageError where the jobs and their schedule cannot be read.
    """
    if any(row["days"] < SHORTEST / timedelta(days=1) for row in rows):
        return []
    jobs = read_jobs()
    scheduled = jobs["pipeline"].runs_a_day
    if scheduled is None:
        raise UsageError("the pipeline job of glue_job_params.json has no schedule, which a month's cost is of")
    sources = tuple(Source(EXCHANGES[row["source"]], row["products"], row["trades_a_day"]) for row in rows)
    told = estimate(Workload(sources, scheduled, rows[0]["seconds_a_run"]), jobs)
    lines = [asdict(row) for row in told.bill]
    total = dict.fromkeys(lines[0]) | {"what": "total", "service": told.title, "dollars": told.dollars}
    return [{"what": line["what"], "dollars": line["dollars"]} | line for line in (total, *lines)]
