"""The command line on simulated exchanges, and on a lake that the pipeline has filled from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome
from tests.e2e.pipelines import NOW, SINCE, lake_at, pipeline, settings_for

Cli = Callable[..., Outcome]
INGEST = ("run", "ingest", "coinbase")
SINCE_TEXT = f"{SINCE:%Y-%m-%dT%H:%MZ}"
DEAD = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(seed=2, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def filled(spark_jvm: None, market: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that one run of the pipeline has filled."""
    lake = lake_at(tmp_path_factory.mktemp("cli") / "warehouse", market.urls)
    assert {report.status for report in pipeline(lake, since=SINCE).values()} == {"ok"}
    return lake


@pytest.fixture
def on_filled(cli: Cli, filled: Lake, market: Simulator) -> Cli:
    """The command line on the filled lake."""
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": filled.settings.warehouse}
    return lambda *arguments, **more: cli(*arguments, **(settings | more))
