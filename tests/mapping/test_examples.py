"""Examples beside a mapping are read strictly, and run by Spark: what they expect must become of what they give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemahub_lib.errors import MappingError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.mapping.examples import parse_examples
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.registry import load_examples, load_mappings
from schemahub_lib.pipeline.examples import run_examples
from schemahub_lib.schemas import TRADES_UNIFIED, Table

COINBASE = EXCHANGES["coinbase"].raw_table
SHIPPED = Path(__file__).resolve().parents[2] / "mappings"
TEXT = """\
given: {trade_id: "7", product_id: BTC-USD, price: 1.5, size: 2, time: 2024-02-08T15:12:04Z, side: BUY}
examples:
  - name: whole
    expect: {trade_id: "7", side: SELL, quantity: 2.0, trade_ts: 2024-02-08T15:12:04Z}
  - name: other
    given: {side: null, price: -1}
    expect: {side: null}
"""


def test_what_is_given_is_what_all_have_in_common_and_what_is_an_examples_own() -> None:
    whole, other = parse_examples(TEXT, "x_test.yaml", COINBASE, TRADES_UNIFIED)
    assert (whole.name, whole.line, whole.given["size"]) == ("whole", 3, 2.0)
    assert whole.given["time"] == datetime(2024, 2, 8, 15, 12, 4, tzinfo=UTC)
    assert other.given == {**whole.given, "side": None, "price": -1.0}
    assert other.expected == {"side": None}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("side: BUY", "sid: BUY", "1:94: raw_coinbase_trades has no column 'sid'; did you mean 'side'?"),
        ("side: SELL", "sides: SELL", "4:29: trades_unified has no column 'sides'; did you mean 'side'?"),
        ('trade_id: "7", p', "trade_id: 7, p", "1:19: 'trade_id' is STRING, not the int `7` (put it in quotes"),
        ("price: 1.5", "price: high", "1:52: 'price' is DOUBLE, not the str `high`"),
        ("given: {side", "gives: {side", "6:5: unknown key 'gives'; did you mean 'given'?"),
        ("  - name: whole\n", "  - nam: whole\n", "3:5: unknown key 'nam'; did you mean 'name'?"),
        ("    expect: {side: null}\n", "", "5:5: an example needs `expect: {target column: value}`"),
        (TEXT, "given: {}\n", "1:1: there are no examples"),
        (
            "time: 2024-02-08T",
            "time: 2024-02-30T",
            "1:72: 'time' is TIMESTAMP, not the timestamp `2024-02-30T15",
        ),
        ("15:12:04Z, side: BUY", "25:12:04Z, side: BUY", "1:72: 'time' is TIMESTAMP, not the timestamp"),
        ("time: 2024-02-08T15:12:04Z", "time: 0001-01-01T00:00:00+14:00", "1:72: 'time' is TIMESTAMP, not the timest"),
        ("size: 2,", f"size: {'9' * 400},", "1:63: 'size' is DOUBLE, not the int `999"),
        ("size: 2,", "size: !!int abc,", "1:63: 'size' is DOUBLE, not the int `abc`"),
        ("price: 1.5", "price: 1e3", "1:52: 'price' is DOUBLE, not the str `1e3` (write it as 1000.0)"),
        ("quantity: 2.0", "quantity: .nan", "4:51: 'quantity' is DOUBLE, not the float `.nan`"),
        (
            "side: SELL",
            "ingest_ts: 2024-01-01",
            "4:29: 'ingest_ts' is filled with the time of the run, where examples are not run",
        ),
    ],
)
def test_a_mistake_is_told_where_it_is(old: str, new: str, expected: str) -> None:
    assert old in TEXT
    with pytest.raises(MappingError) as refused:
        parse_examples(TEXT.replace(old, new, 1), "x_test.yaml", COINBASE, TRADES_UNIFIED)
    assert str(refused.value).splitlines()[0].startswith(f"x_test.yaml:{expected}")


def test_every_shipped_mapping_has_examples_and_they_hold(spark_jvm: None, raw_tables: Mapping[str, Table]) -> None:
    specs = load_mappings(None, raw_tables)["trades_unified"]
    parts = load_examples(None, specs, raw_tables)
    assert [spec for spec, _ in parts] == list(specs)
    outcomes = run_examples(parts)
    assert len(outcomes) == sum(len(examples) for _, examples in parts)
    assert [outcome for outcome in outcomes if outcome.differences] == []


def test_what_differs_is_told_and_so_is_what_a_filter_leaves_out(
    spark_jvm: None, raw_tables: Mapping[str, Table]
) -> None:
    text = (SHIPPED / "coinbase_trades.yaml").read_text() + "\nfilters:\n  - price > 0\n"
    spec = parse_mapping(text, "x.yaml", raw_tables)
    examples = parse_examples(
        TEXT.replace("side: SELL, quantity: 2.0", "side: BUY, quantity: 2.5")
        + "  - name: left out\n    given: {price: 0}\n    expect: nothing\n"
        + "  - name: not left out\n    expect: nothing\n",
        "x_test.yaml",
        COINBASE,
        TRADES_UNIFIED,
    )
    assert [outcome.differences for outcome in run_examples([(spec, examples)])] == [
        ("side: expected 'BUY', got 'SELL'", "quantity: expected 2.5, got 2.0"),
        ("nothing came of it: a filter left it out",),
        (),
        ("a row came of it, and nothing was expected",),
    ]
