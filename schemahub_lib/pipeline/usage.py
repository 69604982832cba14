"""What a lake is used for: products, trades a day and how long a run takes, from its own ledgers. Starts no JVM."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from schemahub_lib.cost.workload import Source
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state

_DONE = ("ok", "partial", "nothing_new")


def usage(lake: Lake, exchanges: Sequence[Exchange]) -> tuple[list[Source], float | None]:
    """Those of the exchanges that were ingested, with their products that have a watermark; and the median seconds of
    the runs that unified too, None without any.

    Raises UsageError where the ledger does not tell how many trades come in a day, and StateCorrupt.
    """
    ledger = lake.find(RUNS.name)
    columns = ("run_id", "job", "source", "status", "started_at", "seconds", "rows")
    rows = ledger.scan(selected_fields=columns).to_arrow().sort_by("started_at").to_pylist() if ledger else []
    done = [row for row in rows if row["status"] in _DONE]
    found = []
    for exchange in exchanges:
        runs = [row for row in done if (row["job"], row["source"]) == ("ingest", exchange.name)]
        raw = lake.find(exchange.raw_table.name)
        streams = read_state(raw).streams.values() if raw is not None else ()
        if runs and (products := sum(stream.watermark is not None for stream in streams)):
            found.append(Source(exchange, products, _trades_a_day(exchange, runs)))
    if not found:
        raise UsageError(f"nothing was ingested into {lake.settings.warehouse} yet, so it does not tell what is used")
    return found, _seconds(done)


def _trades_a_day(exchange: Exchange, runs: list[dict[str, Any]]) -> float:
    """A run brings what came since the one before, so the first one's rows belong to a time that nobody tells."""
    between: timedelta = runs[-1]["started_at"] - runs[0]["started_at"]
    if not between:
        raise UsageError(
            f"{exchange.name} was ingested once, which does not tell how many trades come in a day: ingest it again "
            "later, or leave --from-warehouse out"
        )
    return float(sum(run["rows"] for run in runs[1:]) / (between / timedelta(days=1)))


def _seconds(runs: Iterable[dict[str, Any]]) -> float | None:
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_id[run["run_id"]].append(run)
    whole = [
        (
            max(run["started_at"] + timedelta(seconds=run["seconds"]) for run in parts)
            - min(run["started_at"] for run in parts)
        ).total_seconds()
        for parts in by_id.values()
        if {"ingest", "unify"} <= {run["job"] for run in parts}
    ]
    return median(whole) if whole else None
