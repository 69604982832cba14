"""What a lake is used for: products, trades a day and how long a run takes, from its own ledgers. Starts no JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemahub_lib.cost.workload import Source
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.pipeline.query import DIALECT, query
from schemahub_lib.schemas import RUNS, WATERMARKS
from schemahub_lib.tables.lake import Lake

# In Athena's SQL. A run brings what came since the one before, so the first one's rows belong to a time that nobody
# tells. A whole run is one that unified too.
USAGE = """\
WITH done AS (
  SELECT run_id, job, source, to_unixtime(started_at) AS start, seconds, rows
  FROM schemahub_runs
  WHERE status IN ('ok', 'partial', 'nothing_new')
),
ingests AS (
  SELECT source, count(*) AS runs, sum(rows) - min_by(rows, start) AS trades, (max(start) - min(start)) / 86400 AS days
  FROM done
  WHERE job = 'ingest'
  GROUP BY source
),
products AS (
  SELECT source, count(*) AS products
  FROM schemahub_watermarks
  GROUP BY source
),
whole AS (
  SELECT max(start + seconds) - min(start) AS seconds
  FROM done
  GROUP BY run_id
  HAVING count_if(job = 'ingest') > 0 AND count_if(job = 'unify') > 0
)
SELECT
  ingests.source,
  products.products,
  ingests.runs,
  ingests.days,
  ingests.trades / nullif(ingests.days, 0) AS trades_a_day,
  (SELECT approx_percentile(seconds, 0.5) FROM whole) AS seconds_a_run
FROM ingests
JOIN products ON products.source = ingests.source
ORDER BY ingests.source
"""


def usage(lake: Lake, exchanges: Sequence[Exchange]) -> tuple[list[Source], float | None]:
    """Those of the exchanges that were ingested, with their products that have a watermark; and the median seconds of
    the runs that unified too, None without any.

    Raises UsageError where the ledgers do not tell how many trades come in a day.
    """
    there = {RUNS.name, WATERMARKS.name} <= set(lake.table_names())
    told = {row["source"]: row for row in query(lake, USAGE, dialect=DIALECT).to_pylist()} if there else {}
    found = [(exchange, told[exchange.name]) for exchange in exchanges if exchange.name in told]
    if not found:
        raise UsageError(f"nothing was ingested into {lake.settings.warehouse} yet, so it does not tell what is used")
    return [_source(exchange, row) for exchange, row in found], found[0][1]["seconds_a_run"]


def _source(exchange: Exchange, row: Mapping[str, Any]) -> Source:
    if row["trades_a_day"] is None:
        raise UsageError(
            f"{exchange.name} was ingested once, which does not tell how many trades come in a day: ingest it again "
            "later, or leave --from-warehouse out"
        )
    return Source(exchange, row["products"], row["trades_a_day"])
