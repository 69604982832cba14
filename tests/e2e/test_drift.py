"""From a feed that drifts to a column in the unified table, as people go: seen, proposed, tried, shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemahub_lib import render_drift
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.drift import proposals
from schemahub_lib.pipeline.drift_trial import try_out
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.quality.drift import Watch
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import History, append_history
from schemahub_lib.tables.types import arrow_schema
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


EVERY_TYPE = {"num": "1.50", "count": 3, "isIt": True, "at": "2024-02-08T12:00:00.5Z", "word": "[/b] :x:", "a-b": "z"}


def test_a_field_of_every_type_gets_its_value_and_one_of_another_type_none(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"time": "2024-02-08T12:00:00Z", "trade_id": 7, "price": "10.0", "size": "1.0", "side": "buy"}
    coinbase, fetched = EXCHANGES["coinbase"], datetime.now(UTC)

    def row(number: int, more: dict[str, object]) -> dict[str, object]:
        shown = {"trade_id": str(number), "product_id": "BTC-USD", "price": 10.0, "size": 1.0, "side": "BUY"}
        common = {"_source": "coinbase", "_source_ingest_ts": fetched, "_raw_payload": json.dumps(known | more)}
        return shown | common | {"time": datetime(2024, 2, 8, 12, tzinfo=UTC)}

    lake.ensure(coinbase.raw_table)
    told = [row(1, EVERY_TYPE), row(2, {}), row(3, {"num": "n/a", "count": "many"})]
    rows = pa.Table.from_pylist(told, schema=arrow_schema(coinbase.raw_table))
    append_history(lake, coinbase.raw_table, "run", {"BTC-USD": History(rows, ((1, 3),))})
    watch = Watch(coinbase)
    watch.rows("BTC-USD", rows.slice(0, 1))
    watch.settle(lake)

    found = proposals(lake, coinbase)
    (spec,) = mappings_for(lake, "trades_unified", ["coinbase"])
    trials = {trial.column: trial for trial in try_out(lake, coinbase, spec, found, "run")}
    assert {name: (trial.rows, trial.filled, trial.unified) for name, trial in trials.items()} == dict.fromkeys(
        trials, (3, 1, 1)
    )
    assert {name for name, trial in trials.items() if trial.shown == 2} == {"num", "count"}
    values = {name: {value.payload: value.column for value in trial.values} for name, trial in trials.items()}
    assert values["num"] == {"1.50": "1.5", "n/a": None}
    assert values["count"] == {"3": "3", "many": None}
    assert values["is_it"] == {"true": "True"}
    assert values["word"] == {"[/b] :x:": "[/b] :x:"}
    assert values["a_b"] == {"z": "z"}
    assert values["payload_at"] == {"2024-02-08T12:00:00.5Z": "2024-02-08 12:00:00.500000+00:00"}

    render_drift.show([render_drift.Told("coinbase", found, [], list(trials.values()))])
    shown = capsys.readouterr().out
    assert "[/b] :x:" in shown
    assert "1 payloads have something else there: with this column their trades would be set aside" in shown


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
    for patch in ("01-coinbase-raw.patch", "02-coinbase-unified.patch"):
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

    assert newer("mappings", "validate").stdout.startswith("ok ")
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
