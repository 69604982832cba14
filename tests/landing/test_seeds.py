"""Product seed files: what is in them is read exactly, what is written is whole or not there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.errors import UsageError
from schemahub_lib.landing.seeds import Seed, is_product_id, read_seed, seed_file, seed_target, write_seed

WHEN = datetime(2025, 12, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "product_ids:", "product_ids: BTC-USD", "product_ids: [BTC-USD, 7]", "product_ids: [A B]", "[1", "\0"]
)
def test_a_seed_file_that_is_none_is_refused_and_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=str(file)):
        read_seed(file)


def test_a_missing_seed_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none[.]yaml cannot be read"):
        read_seed(tmp_path / "none.yaml")


def test_a_file_is_written_in_the_documented_format(tmp_path: Path) -> None:
    write_seed(tmp_path / "new" / "seed.yaml", Seed(("BTC-USD", "ETH-USD"), "coinbase", WHEN))
    assert (tmp_path / "new" / "seed.yaml").read_text() == (
        "product_ids:\n  - BTC-USD\n  - ETH-USD\n"
        "metadata:\n  source: coinbase\n  last_updated: 2025-12-15T12:00:00Z\n  count: 2\n"
    )
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["seed.yaml"]


@given(st.lists(st.text(min_size=1, max_size=12).filter(is_product_id), min_size=1, unique=True))
def test_every_name_that_may_be_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    file = tmp_path_factory.mktemp("seed") / "seed.yaml"
    write_seed(file, Seed(tuple(names), "binance", WHEN))
    assert read_seed(file) == names


def test_a_file_that_cannot_be_written_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: File exists$"):
        write_seed(tmp_path / "file" / "seed.yaml", Seed(("A",), "kraken", WHEN))


def test_the_folder_at_hand_comes_before_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_seed(seed_file("kraken", None))[0] == "XBTUSD"
    write_seed(seed_target("kraken", None), Seed(("SOLUSD",), "kraken", WHEN))
    assert read_seed(seed_file("kraken", None)) == ["SOLUSD"]
    assert read_seed(seed_file("coinbase", None))[0] == "BTC-USD"
    assert seed_target("coinbase", None) == Path("mappings/product_ids_seed.yaml")
