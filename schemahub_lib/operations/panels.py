"""The panels: what each tells, how it is drawn, and what to run where there is nothing to tell yet.

The SQL of a panel is in Athena's dialect, in `sql/<its id>.sql` where it is not told here. A query about `each_table`
is asked of each of the panel's tables; of a raw one it may name `each_source`, `each_symbol`, `each_id`, `each_time`
and `each_start`: when the last 48 hours that have trades begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemahub_lib.exchanges import raw_tables
from schemahub_lib.operations.charts import Draw, Rows, bars, heat_map, lines, stacked_bars, stacks
from schemahub_lib.operations.finish import maintenance_due, monthly_bill
from schemahub_lib.pipeline.maintain import our_tables
from schemahub_lib.pipeline.usage import USAGE
from schemahub_lib.schemas import LEDGERS
from schemahub_lib.tables.lake import Lake

RUN = "schemahub run pipeline"
RAW = tuple(raw_tables())
ALL = tuple(our_tables())
GROWING = tuple(name for name in ALL if name not in {ledger.name for ledger in LEDGERS})


@dataclass(frozen=True)
class Panel:
    """`empty` says, where there are no rows, what that means and what to run. Without `draw` it is a table.

    `tables` are those a query about `each_table` is asked of. `finish` makes what is shown of what the query tells,
    where that takes more than SQL; it raises SchemaHubError where it cannot.
    """

    id: str
    title: str
    tells: str
    empty: str
    draw: Draw | None = None
    tables: Sequence[str] = ()
    sql: str | None = None
    finish: Callable[[Lake, Rows], list[dict[str, Any]]] | None = None


PANELS = (
    Panel(
        "volume",
        "Volume growth",
        "Trades that runs brought into the raw tables, added up.",
        f"Nothing was fetched yet: {RUN}",
        lines("time", "trades", "exchange", "trades"),
    ),
    Panel(
        "trades",
        "Trades by exchange and product",
        "Rows of trades_unified; of many products the 60 with most.",
        f"trades_unified has no rows yet: {RUN}",
        stacked_bars("product", "trades", "exchange", "trades"),
    ),
    Panel(
        "storage",
        "JSONL against Parquet",
        "Each raw table's trades as the exchange's own JSON, a line each, of the last 48 hours' average length, and as "
        "the table's files, which hold that JSON and the columns made of it.",
        f"No raw table keeps payloads yet: {RUN}, without --no-payload",
        bars("name", ("jsonl_mb", "parquet_mb"), "MB"),
        RAW,
    ),
    Panel(
        "files",
        "Size of the tables",
        "Files at each table's head and what they come to.",
        f"There are no tables with rows yet: {RUN}",
        bars("name", ("size_mb",), "MB"),
        ALL,
    ),
    Panel(
        "growth",
        "Size over time",
        "Megabytes of each table of trades or books, as far back as snapshots are kept.",
        f"There are no tables with rows yet: {RUN}",
        lines("time", "size_mb", "name", "MB"),
        GROWING,
    ),
    Panel(
        "outcomes",
        "How runs ended",
        "Runs by their status, over time.",
        f"Nothing was run yet: {RUN}",
        stacks("time", "runs", "status", "runs"),
    ),
    Panel(
        "success",
        "Success rate",
        "Runs of each job that ended well, with something new or nothing; the worst first.",
        f"Nothing was run yet: {RUN}",
    ),
    Panel(
        "failures",
        "Failures",
        "The last 50 runs that failed, failed in part or were interrupted, and why.",
        "No run failed, failed in part or was interrupted. What runs there were: schemahub status",
    ),
    Panel(
        "speed",
        "Rows a second",
        "Rows that runs published, by the seconds they took from start to end.",
        f"No run brought rows yet: {RUN}",
        lines("time", "rows_a_second", "run", "rows a second"),
    ),
    Panel(
        "freshness",
        "Freshness",
        "Age of each stream's newest trade, now; of many streams the 60 oldest.",
        f"No stream has a watermark yet: {RUN}",
        bars("stream", ("minutes_old",), "minutes"),
    ),
    Panel(
        "lag",
        "Lag",
        "Age of the newest trade when a run ended.",
        f"No run published a trade yet: {RUN}",
        lines("time", "lag_seconds", "source", "seconds"),
    ),
    Panel(
        "completeness",
        "Completeness",
        "Trades in the raw tables, of those that were by their ids, in the last 48 hours that have trades; of many "
        "products each exchange's 20 worst. Kraken may skip an id. To fill gaps: schemahub backfill --to raw --gaps",
        f"No raw table has trades numbered by the exchange yet: {RUN}",
        heat_map("hour", "stream", "complete_percent"),
        RAW,
    ),
    Panel(
        "quarantine",
        "Quarantine",
        "Rows set aside as they are no trades, or contradict one that is there; each finding once.",
        "No row was set aside. Runs that find one say so.",
    ),
    Panel(
        "drift",
        "Drift",
        "Fields of payloads that are new, missing or of another type. What to do about them: schemahub mappings drift",
        "No field drifted. To look at what is there: schemahub mappings drift",
    ),
    Panel(
        "audits",
        "Audits",
        "How often each audit of a publish passed, warned or blocked it.",
        "Nothing was audited yet: schemahub run unify trades_unified",
        stacked_bars("audit", "times", "status", "audits"),
    ),
    Panel(
        "maintenance",
        "Maintenance due",
        "What each table needs. To do it: schemahub tables maintain",
        f"There are no tables with rows yet: {RUN}",
        tables=ALL,
        finish=maintenance_due,
    ),
    Panel(
        "cost",
        "Estimated cost",
        "A month on AWS Glue at the pipeline job's schedule, of what the query tells is fetched; every formula: "
        "schemahub estimate --from-warehouse",
        f"Runs of less than an hour do not tell how many trades come in a day: {RUN}, again and again",
        bars("what", ("dollars",), "$ a month"),
        sql=USAGE,
        finish=monthly_bill,
    ),
)
