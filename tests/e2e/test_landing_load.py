"""Landed objects into the raw tables: each once, and what comes of them is what direct ingestion gives."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.names import default_prefix
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state
from tests.e2e.conftest import Outcome
from tests.e2e.pipelines import PRODUCTS, WAYS, ingest, raw_keys, settings_for, tape, unified, unify
from tests.e2e.support import keys
from tests.e2e.tape import TapeServer, with_holes
from tests.soak import PRODUCT, Place, assert_exact, begin, finish

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(seed=5, speed=0, trade_rate=0.05, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def lake(tmp_path: Path, market: Simulator) -> Lake:
    """A warehouse of its own; no Spark is started for what is loaded."""
    return Lake(Settings.load(warehouse=str(tmp_path / "warehouse"), environment=settings_for(market.urls)))


@pytest.fixture
def run(cli: Cli, lake: Lake, market: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    return lambda *arguments: cli(*arguments, **settings)


def load(run: Cli, source: str, folder: Path, code: int = 0) -> list[dict[str, Any]]:
    """What `run load` says of each product."""
    told = run("run", "load", source, "--from", str(folder), "--json")
    assert told.code == code, told.err
    outcomes: list[dict[str, Any]] = json.loads(told.out)
    return outcomes


def land_one(run: Cli, source: str, folder: Path) -> Path:
    """One object with what is newest of an exchange's first product."""
    product = PRODUCTS[source][0]
    told = run("ingest", product, "--source", source, "--cold-start-window", "20m", "--out", str(folder))
    assert told.code == 0, told.err
    (landed,) = (folder / default_prefix(source)).glob("raw_*")
    return landed


def assert_each_once(lake: Lake, source: str, landed: Path) -> None:
    expected = Counter(
        (source.upper(), PRODUCTS[source][0], json.loads(line)[_id(source)]) for line in landed.read_text().splitlines()
    )
    assert set(expected.values()) == {1}
    assert len(expected) > 20
    assert raw_keys(lake, source) == expected


def _id(source: str) -> str:
    exchange = EXCHANGES[source]
    return next(field.key for field in exchange.fields if field.column == exchange.id_column)


@pytest.mark.slow
def test_landing_loading_and_unifying_gives_what_ingesting_gives(
    make_lake: Callable[..., Lake], market: Simulator, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = make_lake("landed", **settings_for(market.urls))
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    out, since = str(tmp_path / "out"), datetime.now(UTC) - timedelta(minutes=40)
    for source, products in PRODUCTS.items():
        back = ("--source", source, "--products", ",".join(products), "--since", f"{since:%Y-%m-%dT%H:%M:%S}")
        assert cli("backfill", *back, "--out", out, "--format", "parquet", **settings).code == 0
    market.advance(120)
    for source in PRODUCTS:
        new = cli("ingest", "--source", source, "--cold-start-window", "10m", "--out", out, "--compress", "zstd")
        assert new.code == 0, new.err
        assert cli("run", "load", source, "--from", out).code == 0
    since = since.replace(microsecond=0)
    expected = tape(market.urls, since)
    for source in PRODUCTS:
        assert raw_keys(lake, source) == Counter(key for key in expected if key[0] == source.upper())
    unify(lake)
    direct = make_lake("direct", **settings_for(market.urls))
    ingest(direct, since=since)
    unify(direct)
    assert unified(lake) == unified(direct) == expected
    assert len(expected) > 300


@pytest.mark.parametrize("source", WAYS)
def test_an_object_is_loaded_once(run: Cli, lake: Lake, source: str, tmp_path: Path) -> None:
    landed = land_one(run, source, tmp_path / "out")
    (first,) = load(run, source, tmp_path / "out")
    assert (first["status"], first["objects"]) == ("ok", 1)
    assert first["trades"] == len(landed.read_text().splitlines())
    for _ in range(2):
        (again,) = load(run, source, tmp_path / "out")
        assert (again["status"], again["objects"], again["trades"]) == ("nothing new", 0, 0)
    assert_each_once(lake, source, landed)


@pytest.mark.parametrize("source", WAYS)
def test_of_an_object_written_anew_only_new_trades_are_loaded(
    run: Cli, lake: Lake, source: str, tmp_path: Path
) -> None:
    landed = land_one(run, source, tmp_path / "out")
    whole = landed.read_text()
    lines = whole.splitlines(keepends=True)
    for part in (len(lines) // 3, len(lines) // 2, len(lines)):
        landed.write_text("".join(lines[:part]))
        load(run, source, tmp_path / "out")
    assert_each_once(lake, source, landed)


@pytest.mark.parametrize("source", WAYS)
def test_trades_that_lie_in_two_objects_or_twice_in_one_are_loaded_once(
    run: Cli, lake: Lake, source: str, tmp_path: Path
) -> None:
    landed = land_one(run, source, tmp_path / "out")
    whole = landed.read_text()
    lines = whole.splitlines(keepends=True)
    for part in (lines[10:11], lines[5:15] * 2):
        landed.with_name("one").mkdir(exist_ok=True)
        (landed.with_name("one") / landed.name).write_text("".join(part))
        load(run, source, landed.with_name("one"))
    load(run, source, tmp_path / "out")
    assert_each_once(lake, source, landed)


@pytest.mark.parametrize("source", WAYS)
def test_what_was_loaded_is_not_fetched_into_the_table_again(
    run: Cli, lake: Lake, market: Simulator, source: str, tmp_path: Path
) -> None:
    landed = land_one(run, source, tmp_path / "out")
    lines = landed.read_text().splitlines(keepends=True)
    landed.write_text("".join(lines[5:-5]))
    load(run, source, tmp_path / "out")
    product, since = PRODUCTS[source][0], datetime.now(UTC) - timedelta(minutes=25)
    told = run("run", "ingest", source, "--products", product, "--since", f"{since:%Y-%m-%dT%H:%M:%S}")
    assert told.code == 0, told.err
    since = since.replace(microsecond=0)
    assert raw_keys(lake, source) == Counter(tape(market.urls, since, products={source: (product,)}).keys())


def test_a_damaged_object_is_named_and_the_others_are_loaded(run: Cli, lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for product in PRODUCTS["coinbase"][:2]:
        assert run("ingest", product, "--cold-start-window", "20m", "--format", "parquet", "--out", str(out)).code == 0
    (damaged,) = out.rglob("raw_*_BTC-USD_*")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    told = run("run", "load", "coinbase", "--from", str(out))
    assert told.code == 3
    assert f"{damaged} is damaged" in told.err
    assert "Move it away, or land it again" in told.err
    assert {key[1] for key in raw_keys(lake, "coinbase")} == {"ETH-USD"}
    damaged.write_bytes(whole)
    assert {outcome["status"] for outcome in load(run, "coinbase", out)} == {"ok", "nothing new"}
    found = raw_keys(lake, "coinbase")
    assert {key[1] for key in found} == {"BTC-USD", "ETH-USD"}
    assert set(found.values()) == {1}


def test_where_one_of_a_products_objects_is_damaged_it_is_loaded_in_part(run: Cli, lake: Lake, tmp_path: Path) -> None:
    landed = land_one(run, "coinbase", tmp_path / "out")
    lines = landed.read_text().splitlines(keepends=True)
    landed.write_text("".join(lines[:10]))
    others = [landed.with_name(landed.name.replace("Z_", f"Z_{number}")) for number in (1, 2)]
    for other, rows in zip(others, (lines[10:20], lines[20:]), strict=True):
        other.write_text("".join(rows))
    others[0].write_text('{"trade_id":')
    (outcome,) = load(run, "coinbase", tmp_path / "out", code=3)
    assert (outcome["status"], outcome["objects"], outcome["trades"]) == ("partial", 2, len(lines) - 10)
    assert f"{others[0]} is damaged" in outcome["error"]
    assert load(run, "coinbase", tmp_path / "out", code=3)[0]["status"] == "partial", "the rest is there"
    for file in (landed, others[1]):
        file.unlink()
    assert load(run, "coinbase", tmp_path / "out", code=1)[0]["status"] == "failed"


def test_files_beside_the_objects_are_left_alone(run: Cli, lake: Lake, tmp_path: Path) -> None:
    landed = land_one(run, "coinbase", tmp_path / "out")
    beside = {
        "notes.txt": b"hello",
        "raw_coinbase_trades_BTC-USD_20240101_1.jsonl": b'{"trade_id":"1"}\n',
        "raw_coinbase_trades_BTC-USD_20240101T000000000000Z_1.csv": b"1,2,3\n",
        f"{landed.name}.corrupt-20240101T000000000000Z": b"{",
        ".schemahub-0123.tmp": landed.read_bytes()[:100],
    }
    for name, body in beside.items():
        landed.with_name(name).write_bytes(body)
    assert len(load(run, "coinbase", tmp_path / "out")) == 1
    assert_each_once(lake, "coinbase", landed)
    assert {name: landed.with_name(name).read_bytes() for name in beside} == beside


@pytest.mark.slow
def test_a_load_killed_on_its_way_is_completed_by_the_next(tmp_path: Path) -> None:
    with TapeServer(BTC_USD=with_holes(8000, (3000, 3500))) as server:
        place = Place.make(tmp_path, server, None)
        assert finish(begin(place, 2000, "backfill", "--products", PRODUCT, *place.flags)).returncode == 0
        command = ("run", "load", "coinbase", "--from", place.store.uri)
        for files in (1, 3, 6):
            loading = begin(place, 500, *command)
            while len(list(tmp_path.glob("warehouse/**/data/**/*.parquet"))) < files and loading.poll() is None:
                time.sleep(0.01)
            loading.kill()
            finish(loading)
        ended = finish(begin(place, 500, *command))
        assert ended.returncode == 0, ended.stderr
        lake = Lake(Settings.load(environment=place.env))
        found = keys(lake, "raw_coinbase_trades", ("trade_id",))
        assert_exact(Counter({int(key[0]): times for key, times in found.items()}), server.tapes[PRODUCT].ids)
        table = lake.find("raw_coinbase_trades")
        assert table is not None
        assert read_state(table).streams[PRODUCT].covered == ((1, 2999), (3501, 8000))
        again = finish(begin(place, 500, *command, "--json"))
        (outcome,) = json.loads(again.stdout)
        assert (outcome["status"], outcome["trades"]) == ("nothing new", 0)
