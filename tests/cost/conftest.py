from __future__ import annotations

from collections.abc import Callable

import pytest

from schemahub_lib.cost.estimate import Estimate, estimate
from schemahub_lib.cost.jobs import Job
from schemahub_lib.cost.workload import Source, Workload, spread
from schemahub_lib.exchanges import EXCHANGES

# Two workers of a kind, and schedules, as a file of jobs may have them.
JOBS = {
    name: Job(2, "G.1X", 172_800, 4, runs)
    for name, runs in {"pipeline": 48, "maintain": 1, "backfill": None, "unify": None}.items()
} | {f"ingest_{name}": Job(2, "G.1X", 3600, 4, None) for name in EXCHANGES}

Reckon = Callable[..., Estimate]


@pytest.fixture
def reckon() -> Reckon:
    """The estimate of a workload of three products an exchange, but for what is said."""

    def reckon(
        *,
        sources: tuple[str, ...] = tuple(EXCHANGES),
        products: int | None = None,
        trades_a_day: float = 1_000_000,
        setup: str = "glue",
        region: str = "us-east-1",
        jobs: dict[str, Job] = JOBS,
        runs_a_day: float = 48,
        **workload: float,
    ) -> Estimate:
        known = [Source(EXCHANGES[name], 3) for name in sources]
        shared = spread(known, products=products, trades_a_day=trades_a_day)
        return estimate(Workload(shared, runs_a_day, **workload), jobs, setup=setup, region=region)

    return reckon
