"""A lake that real runs on the simulator filled, with what goes wrong in some of them; without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemahub_lib.pipeline.reports import Report
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.pipelines import ingest, lake_at

NOW = datetime(2024, 2, 8, 15, 20, tzinfo=UTC)
PRODUCTS = ("BTC-USD", "ETH-USD")


@dataclass(frozen=True)
class Watched:
    """The lake, and the reports of its runs of Coinbase in their order: all well, a field that is new, rows that are no
    trades, a product that there is not."""

    lake: Lake
    reports: Sequence[Report]


def watched(warehouse: Path | str, **environment: str) -> Watched:
    with Simulator(seed=4, now=NOW, speed=0, trade_rate=0.2, rate_limits=False) as market:
        lake = lake_at(warehouse, market.urls, **environment)

        def run(faults: dict[str, float], *products: str) -> Report:
            market.set_faults(faults)
            return ingest(lake, "coinbase", products=products, since=NOW - timedelta(minutes=30))["coinbase"]

        reports = [run({}, *PRODUCTS)]
        for fault in ("new-field", "malformed-row"):
            market.advance(1800)
            reports.append(run({fault: 1}, *PRODUCTS))
        reports.append(run({}, "NO-SUCH"))
    return Watched(lake, reports)
