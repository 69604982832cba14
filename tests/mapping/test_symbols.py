"""symbols.yaml: found beside the mappings, else as shipped, and read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from schemahub_lib.errors import MappingError
from schemahub_lib.exchanges import EXCHANGES as CONNECTORS
from schemahub_lib.mapping.registry import load_mappings, load_symbols, validate
from schemahub_lib.mapping.symbols import parse_symbols
from schemahub_lib.schemas import Table

EXCHANGES = tuple(CONNECTORS)
SHIPPED = Path(__file__).resolve().parents[2] / "mappings"


def test_the_shipped_file_gives_common_tickers_by_exchange() -> None:
    tickers = load_symbols(None, EXCHANGES)
    assert (tickers["kraken"]["XBT"], tickers["kraken"]["XDG"], tickers["coinbase"]["CGLD"]) == ("BTC", "DOGE", "CELO")


def test_every_shipped_exception_tells_why() -> None:
    lines = (SHIPPED / "symbols.yaml").read_text(encoding="utf-8").splitlines()
    exceptions = [line for line in lines if line.startswith("  ")]
    assert len(exceptions) == sum(map(len, load_symbols(None, EXCHANGES).values()))
    assert [line for line in exceptions if not line.partition("#")[2].strip()] == []


def test_a_file_beside_ones_own_mappings_counts_in_place_of_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "symbols.yaml").write_text("kraken:\n  XBT: XBT\n")
    assert load_symbols(str(tmp_path), EXCHANGES) == {"kraken": {"XBT": "XBT"}}


def test_ones_own_mappings_without_one_have_the_shipped_names(tmp_path: Path) -> None:
    assert load_symbols(str(tmp_path), EXCHANGES) == load_symbols(None, EXCHANGES)


def test_it_is_no_mapping(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    for name in ("kraken_trades.yaml", "symbols.yaml"):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    assert len(load_mappings(str(tmp_path), raw_tables)["trades_unified"]) == 1
    assert validate(str(tmp_path), raw_tables, EXCHANGES) == [
        f"{tmp_path}/{name}" for name in ("kraken_trades.yaml", "symbols.yaml")
    ]


def test_validate_tells_the_problems_of_mappings_examples_and_symbols_together(
    tmp_path: Path, raw_tables: Mapping[str, Table]
) -> None:
    mapping = (SHIPPED / "kraken_trades.yaml").read_text(encoding="utf-8")
    (tmp_path / "kraken_trades.yaml").write_text(mapping.replace("price: price", "prize: price"))
    (tmp_path / "symbols.yaml").write_text("krakken: {}\n")
    (tmp_path / "okx_trades.yml").write_bytes((SHIPPED / "okx_trades.yaml").read_bytes())
    for name in ("okx_trades_test.yaml", "okx_trades_test.yml", "kraken_trades_test.yaml", "binance_trades_test.yaml"):
        (tmp_path / name).write_text("examples: [{name: all, expect: {sides: BUY}}]\n")
    with pytest.raises(MappingError) as caught:
        validate(str(tmp_path), raw_tables, EXCHANGES)
    told = {Path(problem.file).name: str(problem) for problem in caught.value.problems}
    assert told.keys() == {
        *("kraken_trades.yaml", "kraken_trades_test.yaml", "symbols.yaml", "okx_trades_test.yaml"),
        *("okx_trades_test.yml", "binance_trades_test.yaml"),  # of no mapping
    }
    assert "did you mean 'side'" in told["okx_trades_test.yaml"]
    assert "did you mean 'side'" in told["kraken_trades_test.yaml"]  # though its mapping is wrong as well
    assert "no mapping has this file" in told["okx_trades_test.yml"]


def test_every_problem_is_told_with_its_place() -> None:
    text = "krakken:\n  XBT: BTC\nkraken:\n  XDG: DO GE\n  ON: ONE\n  LUNA: LUNC\n  LUNA: LUNA\n  UST: 5\n  REP: A-B\n"
    with pytest.raises(MappingError) as caught:
        parse_symbols(text, "symbols.yaml", EXCHANGES)
    assert str(caught.value).splitlines() == [
        "symbols.yaml:1:1: there is no exchange 'krakken'; did you mean 'kraken'?",
        "symbols.yaml:4:8: 'DO GE' is no ticker: it must have no space, slash or dash",
        "symbols.yaml:5:3: a ticker must be a name, not the bool `ON`",
        "symbols.yaml:7:3: 'LUNA' is there twice, first in line 6: keep one",
        "symbols.yaml:8:8: a common ticker must be a name, not the int `5`",
        "symbols.yaml:9:8: 'A-B' is no ticker: it must have no space, slash or dash",
    ]


@pytest.mark.parametrize("text", ["kraken: [XBT]", "kraken: XBT", "- XBT", "kraken:\n  XBT: [BTC]", "kraken: {XBT: }"])
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(MappingError, match=r"symbols\.yaml:\d+:\d+: "):
        parse_symbols(text, "symbols.yaml", EXCHANGES)


def test_an_exchange_without_exceptions_may_be_named() -> None:
    assert parse_symbols("binance:\nkraken: {}\n", "symbols.yaml", EXCHANGES) == {"binance": {}, "kraken": {}}
