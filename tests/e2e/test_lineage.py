"""Runs told as OpenLineage events, by OpenLineage's own settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome
from tests.e2e.pipelines import NOW, PRODUCTS, settings_for

pytestmark = pytest.mark.slow

PIPELINE = ("run", "pipeline", "--sources", "coinbase,binance", "--since", "2024-02-08T15:19:00Z")

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def place(make_lake: Callable[..., Lake], market: Simulator, tmp_path: Path) -> dict[str, str]:
    return settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": str(tmp_path / "warehouse")}


def to_file(file: Path) -> dict[str, str]:
    transport = {"TYPE": "file", "LOG_FILE_PATH": str(file), "APPEND": "true"}
    return {f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in transport.items()}


def of_job(events: list[dict[str, Any]], job: str) -> list[dict[str, Any]]:
    return [event for event in events if event["job"]["name"] == job]


def names(datasets: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(dataset["namespace"], dataset["name"]) for dataset in datasets}


def test_a_pipeline_is_told_from_the_exchanges_to_the_unified_columns(
    cli: Cli, place: dict[str, str], market: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "lineage.ndjson"
    assert cli(*PIPELINE, **place | to_file(file)).code == 0
    events = [json.loads(line) for line in file.read_text().splitlines()]
    tables = {
        name: ("file", f"{tmp_path}/warehouse/schemahub/{name}")
        for name in ("raw_coinbase_trades", "raw_binance_trades", "trades_unified")
    }

    began, ended = of_job(events, "ingest.coinbase")
    assert (began["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert began["run"]["runId"] == ended["run"]["runId"]
    assert began["eventTime"] < ended["eventTime"]
    assert names(ended["inputs"]) == {(market.urls["coinbase"], "trades")}
    assert names(ended["outputs"]) == {tables["raw_coinbase_trades"]}
    assert ended["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] > len(PRODUCTS["coinbase"])

    _, ended = of_job(events, "unify.trades_unified")
    assert names(ended["inputs"]) == {tables["raw_coinbase_trades"], tables["raw_binance_trades"]}
    (output,) = ended["outputs"]
    assert names([output]) == {tables["trades_unified"]}
    (symlink,) = output["facets"]["symlinks"]["identifiers"]
    assert symlink == {"namespace": f"{tmp_path}/warehouse", "name": "schemahub.trades_unified", "type": "TABLE"}
    columns = output["facets"]["columnLineage"]["fields"]
    read = {
        (Path(field["name"]).name, field["field"], field["transformations"][0]["description"])
        for field in columns["side"]["inputFields"]
    }
    assert read == {
        ("raw_coinbase_trades", "side", "taker_from_maker"),
        ("raw_binance_trades", "is_buyer_maker", "taker_from_is_buyer_maker"),
    }


def test_a_run_that_fails_is_told_with_its_error(cli: Cli, place: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "lineage.ndjson"
    assert cli("run", "ingest", "coinbase", "--products", "NOT-THERE", **place | to_file(file)).code == 1
    _, ended = [json.loads(line) for line in file.read_text().splitlines()]
    assert ended["eventType"] == "FAIL"
    assert "NOT-THERE" in ended["run"]["facets"]["errorMessage"]["message"]


def test_a_lineage_server_that_is_down_stops_no_run(cli: Cli, place: dict[str, str]) -> None:
    done = cli("run", "ingest", "coinbase", "--products", "BTC-USD", **place, OPENLINEAGE_URL="http://127.0.0.1:9")
    assert done.code == 0
    assert "lineage was not told" in done.err
