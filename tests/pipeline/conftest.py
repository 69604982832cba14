from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake


@pytest.fixture(scope="package")
def market() -> Iterator[Simulator]:
    """The simulated exchanges, at a time when Kraken still listed MIR."""
    with Simulator(seed=1, now="2022-06-01T12:00:00Z", speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def make_lake(tmp_path: Path) -> Callable[..., Lake]:
    """Lakes that never start Spark."""

    def make(name: str = "warehouse", **environment: str) -> Lake:
        return Lake(Settings.load(warehouse=str(tmp_path / name), environment=environment))

    return make


@pytest.fixture
def lake(make_lake: Callable[..., Lake]) -> Lake:
    return make_lake()
