"""update-seed: what an exchange offers today, against a seed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.seeds import read_seed, seed_file
from schemahub_lib.pipeline.seeds import SeedChange, update_seed
from schemahub_lib.simulator import Simulator


@pytest.fixture
def settings(market: Simulator, tmp_path: Path) -> Settings:
    urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in market.urls.items()}
    return Settings.load(warehouse=str(tmp_path / "w"), environment=urls)


def change(
    settings: Settings,
    path: Path | None,
    *,
    source: str = "coinbase",
    filter_regex: str | None = None,
    merge: bool = False,
    write: bool = True,
) -> SeedChange:
    exchange = EXCHANGES[source]
    return update_seed(settings, exchange, path=path and str(path), filter_regex=filter_regex, merge=merge, write=write)


@pytest.mark.parametrize("source", EXCHANGES)
def test_the_file_gets_what_the_exchange_lists_as_open(settings: Settings, tmp_path: Path, source: str) -> None:
    file = tmp_path / "seed.yaml"
    changed = change(settings, file, source=source)
    assert read_seed(file) == list(changed.product_ids) == sorted(changed.added)
    assert {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XBTUSD", "okx": "BTC-USDT"}[
        source
    ] in changed.product_ids
    assert not set(changed.left_out) & set(changed.product_ids)


def test_delisted_products_are_left_out_and_named(tmp_path: Path) -> None:
    with Simulator(now="2026-06-01T00:00:00Z", speed=0) as today:
        urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in today.urls.items()}
        settings = Settings.load(warehouse=str(tmp_path / "w"), environment=urls)
        assert change(settings, tmp_path / "c.yaml").left_out == {"MIR-USD": "delisted"}
        assert change(settings, tmp_path / "b.yaml", source="binance").left_out == {"MIRUSDT": "BREAK"}


def test_without_write_only_the_difference_is_told(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text("product_ids: [BTC-USD, OLD-USD]")
    changed = change(settings, file, write=False, filter_regex="(BTC|ETH)-USD")
    assert (changed.added, changed.removed) == (("ETH-USD",), ("OLD-USD",))
    assert read_seed(file) == ["BTC-USD", "OLD-USD"]


def test_merge_keeps_what_is_there(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text("product_ids: [OLD-USD]")
    changed = change(settings, file, merge=True, filter_regex="BTC-USD")
    assert read_seed(file) == ["BTC-USD", "OLD-USD"]
    assert changed.kept == {"OLD-USD": "not listed"}


def test_merge_tells_a_product_that_is_kept_from_one_that_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text("product_ids: [ETH-USD, MIR-USD]")
    with Simulator(now="2026-06-01T00:00:00Z", speed=0) as today:
        settings = Settings.load(environment={"SCHEMAHUB_COINBASE_URL": today.urls["coinbase"]})
        changed = change(settings, file, merge=True, filter_regex="BTC-USD")
        assert (changed.kept, changed.left_out) == ({"MIR-USD": "delisted"}, {})
        assert change(settings, file, filter_regex="(BTC|MIR)-USD").left_out == {"MIR-USD": "delisted"}


def test_without_a_file_of_ones_own_the_one_shipped_is_compared(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = read_seed(seed_file("coinbase", None))
    changed = change(settings, None, write=False, filter_regex="BTC-USD|MIR-USD")
    assert changed.added == ("MIR-USD",)
    assert changed.removed == tuple(name for name in shipped if name != "BTC-USD")
    assert changed.compared_with == str(seed_file("coinbase", None)) != changed.path
    change(settings, None, merge=True, filter_regex="MIR-USD")
    assert read_seed(tmp_path / "mappings/product_ids_seed.yaml") == sorted([*shipped, "MIR-USD"])


def test_a_filter_that_is_none_is_refused_before_anything_is_asked(
    settings: Settings, tmp_path: Path, market: Simulator
) -> None:
    before = market.stats["coinbase"]["requests"]
    with pytest.raises(UsageError, match=r"--filter-regex '\*-USD' is not a regular expression"):
        change(settings, tmp_path / "seed.yaml", filter_regex="*-USD")
    assert market.stats["coinbase"]["requests"] == before


def test_a_filter_that_nothing_matches_does_not_empty_the_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text("product_ids: [BTC-USD]")
    with pytest.raises(UsageError, match="none matches --filter-regex"):
        change(settings, file, filter_regex="nothing")
    assert read_seed(file) == ["BTC-USD"]
