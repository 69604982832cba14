"""From a feed that drifts to a column in the unified table, as people go: seen, proposed, tried, shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome
from tests.e2e.pipelines import NOW, lake_at
from tests.e2e.support import ROOT, environment

PRODUCTS = "BTC-USD,ETH-USD"
PIPELINE = ("run", "pipeline", "--sources", "coinbase", "--products", PRODUCTS)


@pytest.fixture
def feed() -> Iterator[Simulator]:
    with Simulator(seed=4, now=NOW, speed=0, trade_rate=0.2, rate_limits=False) as running:
        yield running


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


@pytest.fixture
def run(cli: Callable[..., Outcome], feed: Simulator, warehouse: Path) -> Callable[..., Outcome]:
    """The command line on the drifting feed."""
    urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in feed.urls.items()}

    def run(*arguments: str) -> Outcome:
        outcome = cli(*arguments, **urls, SCHEMAHUB_WAREHOUSE=str(warehouse))
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def ingest(run: Callable[..., Outcome]) -> Outcome:
    return run("run", "ingest", "coinbase", "--products", PRODUCTS, "--since", NOW)


def column(lake: Lake, table: str, name: str) -> list[Any]:
    found = lake.find(table)
    assert found is not None
    return list(found.scan(selected_fields=(name,)).to_arrow()[name].to_pylist())


def heads(lake: Lake) -> dict[str, str]:
    """Every table's metadata, but that of the ledgers."""
    return {
        name: found.metadata_location
        for name in lake.table_names()
        if not name.startswith("schemahub_") and (found := lake.find(name)) is not None
    }


def test_a_new_field_is_tried_on_what_has_come_and_no_table_changes(
    spark_jvm: None, run: Callable[..., Outcome], feed: Simulator, warehouse: Path
) -> None:
    feed.advance(60)
    ingest(run)
    lake = lake_at(warehouse, feed.urls)
    before = len(column(lake, "raw_coinbase_trades", "trade_id"))
    feed.set_faults({"new-field": 1})
    feed.advance(120)
    said = ingest(run).err
    assert said.count("maker_fee is new (string)") == 1
    assert "warning: coinbase: payloads differ from what is known of them: maker_fee" in run("status").out
    drifted = len(column(lake, "raw_coinbase_trades", "trade_id")) - before
    tables = heads(lake)

    (told,) = json.loads(run("mappings", "drift", "coinbase", "--try", "--json").out)
    (proposal,), (trial,) = told["proposals"], told["trials"]
    alter = " ".join(proposal["alter"].split())
    assert alter.startswith("ALTER TABLE schemahub.schemahub.raw_coinbase_trades ADD COLUMN maker_fee DOUBLE")
    assert trial["rows"] == before + drifted
    assert trial["shown"] == trial["filled"] == trial["unified"] == drifted > 0
    assert {float(value["payload"]) for value in trial["values"]} == {
        float(value["column"]) for value in trial["values"]
    }
    assert heads(lake) == tables

    shown = run("mappings", "drift", "--try").out
    assert "coinbase: maker_fee is new  (confidence: low)" in shown
    assert f"of {before + drifted} rows fetched since" in shown
    assert "ADD COLUMN maker_fee DOUBLE" in shown


def test_a_feed_without_drift_has_nothing_to_propose(run: Callable[..., Outcome]) -> None:
    ingest(run)
    assert "no drift" in run("mappings", "drift").out
    assert json.loads(run("mappings", "drift", "kraken", "--json").out) == [
        {"source": "kraken", "proposals": [], "patches": [], "trials": []}
    ]


@pytest.mark.slow
def test_a_patch_that_is_applied_fills_both_tables_and_an_older_program_goes_on_beside_it(
    spark_jvm: None, run: Callable[..., Outcome], feed: Simulator, warehouse: Path, tmp_path: Path
) -> None:
    feed.set_faults({"new-field": 1})
    feed.advance(60)
    run(*PIPELINE, "--since", NOW)
    lake = lake_at(warehouse, feed.urls)
    older = len(column(lake, "trades_unified", "trade_id"))
    run("mappings", "drift", "coinbase", "--open", str(tmp_path / "patches"))

    patched = tmp_path / "patched"
    for name in ("schemahub_lib", "mappings"):
        shutil.copytree(ROOT / name, patched / name, ignore=shutil.ignore_patterns("__pycache__"))
    for patch in ("coinbase-raw.patch", "coinbase-unified.patch"):
        subprocess.run(["git", "apply", str(tmp_path / "patches" / patch)], cwd=patched, check=True)

    def newer(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "schemahub_lib", *arguments],
            cwd=patched,
            env=environment(feed.urls, warehouse),
            capture_output=True,
            text=True,
            check=True,
        )

    assert newer("mappings", "validate").stdout.count("ok") == 3
    feed.advance(60)
    assert "WARNING" not in newer(*PIPELINE).stderr
    assert "no drift" in newer("mappings", "drift").stdout
    for table in ("raw_coinbase_trades", "trades_unified"):
        fees = column(lake, table, "maker_fee")
        assert fees.count(None) == older
        assert {fee for fee in fees if fee is not None} <= {number / 10_000 for number in range(25)}
        assert len(fees) > older

    before = len(column(lake, "trades_unified", "maker_fee"))
    feed.advance(60)
    assert "maker_fee is new" in run(*PIPELINE).err
    fees = column(lake, "trades_unified", "maker_fee")
    assert len(fees) > before
    assert fees.count(None) == older + len(fees) - before
