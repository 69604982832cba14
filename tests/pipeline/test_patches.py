"""Patches: `git apply` takes them all, in their order, and makes what was proposed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.http.messages import Page, Rejected
from schemahub_lib.pipeline.drift import proposals
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.patches import CHECKOUT, Series, mapped
from schemahub_lib.pipeline.pipeline import run_ingest
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.quality.drift import Watch
from schemahub_lib.schemas import Column
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

PRODUCT = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XBTUSD", "okx": "BTC-USDT"}
NEW = {name: "member_7" if name == "kraken" else "maker_fee" for name in PRODUCT}
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


def series(lake: Lake) -> Series:
    """The patches of all sources."""
    made = Series(lake)
    specs = {spec.source: spec for spec in mappings_for(lake, "trades_unified")}
    for exchange in EXCHANGES.values():
        made.add(exchange, specs.get(exchange.raw_table.name), proposals(lake, exchange))
    return made


def names(made: Series) -> list[str]:
    return [patch.name for patch in made.patches]


def drifted(lake: Lake, fields: Mapping[str, object]) -> Series:
    """The patches when sources, of those whose payloads are objects, send a field more, called `extra`."""
    for source, value in fields.items():
        exchange = EXCHANGES[source]
        watch = Watch(exchange)
        none = {exchange.time_column: [], "_raw_payload": []}
        watch.page(PRODUCT[source], Page(none, [Rejected("no trade", json.dumps({"extra": value}))], "7"))
        watch.settle(lake)
    return series(lake)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    for name in ("schemahub_lib", "mappings"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def apply(files: list[Path], checkout: Path) -> None:
    subprocess.run(["git", "apply", *map(str, files)], cwd=checkout, check=True)


@pytest.fixture
def feed() -> Iterator[Simulator]:
    with Simulator(seed=3, now=NOON, speed=0, trade_rate=0.2, rate_limits=False) as running:
        yield running


@pytest.mark.slow
def test_patches_of_all_sources_at_once_are_taken_by_git_and_make_what_was_proposed(
    make_lake: Callable[..., Lake], feed: Simulator, checkout: Path, tmp_path: Path
) -> None:
    lake = make_lake(**{f"SCHEMAHUB_{name.upper()}_URL": url for name, url in feed.urls.items()})
    for fault in ("new-field", "retyped-field"):
        feed.set_faults({fault: 1})
        feed.advance(60)
        for source, product in PRODUCT.items():
            options = IngestOptions(products=[product], since=NOON - timedelta(minutes=5))
            with Progress(live=False) as progress:
                run_ingest(lake, [EXCHANGES[source]], options, "run", progress)
    made = series(lake)
    written = made.write(str(tmp_path / "patches"))
    assert [file.name for file in written] == [
        f"{2 * number + layer:02}-{source}-{('raw', 'unified')[layer - 1]}.patch"
        for number, source in enumerate(EXCHANGES)
        for layer in (1, 2)
    ]
    apply(sorted((tmp_path / "patches").iterdir()), checkout)
    schemas = (checkout / "schemahub_lib/schemas.py").read_text()
    for source, name in NEW.items():
        connector = (checkout / f"schemahub_lib/exchanges/{source}.py").read_text()
        assert f'Column("{name}", "DOUBLE"' in connector
        assert f'"{name}", NUMBER, optional=True, since=datetime(' in connector
        assert 'NUMBER, json="number")' in connector
        assert schemas.count(f'Column("{name}", "DOUBLE"') == 1
        assert f"  {name}: {name}\n" in (checkout / f"mappings/{source}_trades.yaml").read_text()
    validate = [sys.executable, "-m", "schemahub_lib", "mappings", "validate"]
    subprocess.run(validate, cwd=checkout, check=True, stdout=subprocess.DEVNULL)


def test_of_two_types_under_one_name_the_target_gets_the_first(lake: Lake, checkout: Path, tmp_path: Path) -> None:
    made = drifted(lake, {"coinbase": "0.5", "binance": True, "okx": "0.25"})
    assert names(made) == [
        "01-coinbase-raw.patch",
        "02-coinbase-unified.patch",
        "03-binance-raw.patch",
        "04-okx-raw.patch",
        "05-okx-unified.patch",
    ]
    apply(made.write(str(tmp_path / "patches")), checkout)
    assert (checkout / "schemahub_lib/schemas.py").read_text().count('Column("extra", "DOUBLE"') == 1


def test_without_a_mapping_there_is_the_connectors_patch(lake: Lake) -> None:
    drifted(lake, {"coinbase": "0.5"})
    (patch,) = Series(lake).add(EXCHANGES["coinbase"], None, proposals(lake, EXCHANGES["coinbase"]))
    assert patch.name == "01-coinbase-raw.patch"


def test_a_folder_has_the_patches_of_the_last_run_and_what_others_put_there(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "patches"
    made = drifted(lake, {"coinbase": "0.5", "okx": "0.25"})
    made.write(str(folder))
    for name in ("README.md", "0001-mine.patch"):
        (folder / name).touch()
    fewer = Series(lake)
    fewer.add(EXCHANGES["okx"], None, proposals(lake, EXCHANGES["okx"]))
    fewer.write(str(folder))
    assert sorted(file.name for file in folder.iterdir()) == ["0001-mine.patch", "01-okx-raw.patch", "README.md"]


WITHOUT_ITS_END = """\
source: raw_coinbase_trades
target_table: trades_unified
constants: {exchange: COINBASE}
transforms: {side: taker_from_maker}
mappings:
  trade_id: trade_id
  product_id: symbol
  side: side
  price: price
  size: quantity
  time: trade_ts"""
ON_ONE_LINE = WITHOUT_ITS_END.replace("\n  ", ", ").replace("mappings:,", "mappings: {") + "}"


@pytest.mark.parametrize("mapping", [WITHOUT_ITS_END, ON_ONE_LINE])
def test_another_folder_of_the_checkout_is_patched_in_its_place(
    lake: Lake, checkout: Path, tmp_path: Path, mapping: str
) -> None:
    drifted(lake, {"coinbase": "0.5"})
    own = checkout / "own"
    own.mkdir()
    (own / "coinbase.yaml").write_text(mapping)
    program = [sys.executable, "-m", "schemahub_lib", "mappings"]
    options = ["--mappings", "own", "--warehouse", lake.settings.warehouse, "--open", str(tmp_path / "patches")]
    drift = subprocess.run([*program, "drift", *options], cwd=checkout, check=True, capture_output=True, text=True)
    files = [tmp_path / "patches" / f"{name}.patch" for name in ("01-coinbase-raw", "02-coinbase-unified")]
    assert drift.stderr.splitlines() == [f"wrote {file}" for file in files]
    apply(files, checkout)
    mappings = yaml.safe_load((own / "coinbase.yaml").read_text())["mappings"]
    assert mappings == yaml.safe_load(mapping)["mappings"] | {"extra": "extra"}
    validate = [*program, "validate", "own"]
    assert subprocess.run(validate, cwd=checkout, check=True, capture_output=True, text=True).stdout


def test_mappings_outside_the_checkout_get_no_patch_that_would_change_others(lake: Lake, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mappings"
    shutil.copytree(CHECKOUT / "mappings", elsewhere)
    settings = Settings.load(warehouse=lake.settings.warehouse, mappings=str(elsewhere), environment={})
    made = drifted(Lake(settings), {"coinbase": "0.5"})
    assert f"+++ b/{elsewhere}/coinbase_trades.yaml" in made.patches[1].text
    with pytest.raises(UsageError, match=f"the mappings in {elsewhere} are outside the checkout .* with --mappings"):
        made.write(str(tmp_path / "patches"))
    assert not (tmp_path / "patches").exists()


def test_a_mapping_gets_its_lines_however_it_is_written() -> None:
    added = [Column("fee", "DOUBLE"), Column("flag", "BOOLEAN")]
    block = "source: a\nmappings:\n    x: y   # why\n    z: w\n# the rest\nconstants: {}\n"
    assert mapped(block, added) == block.replace("z: w\n", "z: w\n    fee: fee\n    flag: flag\n")
    flow = "mappings: {x: y, z: w}  # all\nsource: a\n"
    assert mapped(flow, added) == flow.replace("z: w", "z: w, fee: fee, flag: flag")
    open_ended = "mappings:\n  x: y"
    assert mapped(open_ended, added) == "mappings:\n  x: y\n  fee: fee\n  flag: flag\n"
