from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.spec import Constant
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import TARGETS, TRADES_UNIFIED, Column, Table

# The two mappings of the original description, letter for letter.
BINANCE = """\
# config/mappings/binance_trades.yaml
source: raw_binance_trades
target_table: trades_unified

mappings:
  id: trade_id
  symbol: symbol
  price: price
  qty: quantity
  time: trade_ts

constants:
  exchange: BINANCE

transforms:
  trade_ts: "from_ms"       # ms epoch → TIMESTAMP
  price: "to_double"
  qty: "to_double"
"""
COINBASE = """\
# config/mappings/coinbase_trades.yaml
source: raw_coinbase_trades
target_table: trades_unified

mappings:
  trade_id: trade_id
  product_id: symbol
  price: price
  size: quantity
  time: trade_ts

constants:
  exchange: COINBASE

transforms:
  trade_ts: "iso8601"
  price: "to_double"
  quantity: "to_double"
"""


def problems(text: str, raw_tables: Mapping[str, Table], targets: Mapping[str, Table] = TARGETS) -> list[str]:
    """What is said about `text`, as `line:column: message`."""
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "m.yaml", raw_tables, targets)
    return [str(problem).removeprefix("m.yaml:").strip() for problem in caught.value.problems]


@pytest.mark.parametrize(("text", "exchange"), [(BINANCE, "BINANCE"), (COINBASE, "COINBASE")])
def test_the_documented_mappings_are_valid_as_they_stand(
    text: str, exchange: str, raw_tables: Mapping[str, Table]
) -> None:
    spec = parse_mapping(text, "m.yaml", raw_tables)
    assert [c.target for c in spec.columns] == ["exchange", "symbol", "trade_id", "price", "quantity", "trade_ts"]
    assert spec.by_target["exchange"].origin == Constant(exchange)


def test_a_transform_may_be_keyed_by_the_raw_or_the_target_name(raw_tables: Mapping[str, Table]) -> None:
    by_raw = parse_mapping(BINANCE, "m.yaml", raw_tables)
    by_target = parse_mapping(BINANCE.replace('qty: "to', 'quantity: "to'), "m.yaml", raw_tables)
    assert by_raw == by_target
    assert by_raw.by_target["quantity"].transform is TRANSFORMS["to_double"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "source: raw_binance_trades",
            "source: raw_binanc_trades",
            "2:9: unknown raw table 'raw_binanc_trades'; did you mean 'raw_binance_trades'?",
        ),
        (
            "target_table: trades_unified",
            "target_table: trades",
            "3:15: unknown target table 'trades'; did you mean 'trades_unified'?",
        ),
        (
            "target_table: trades_unified",
            "target_table: candles",
            "3:15: unknown target table 'candles'; choose one of trades_unified",
        ),
        ("target_table: trades_unified", "target_table:", "3:14: the target table must be a name, not nothing"),
        ("source: raw_binance_trades", "", "3:1: the key 'source' is missing"),
        ("transforms:", "transform:", "15:1: unknown key 'transform'; did you mean 'transforms'?"),
        ("  qty: quantity", "  qtty: quantity", "9:3: raw_binance_trades has no column 'qtty'; did you mean 'qty'?"),
        ("  qty: quantity", "  qty: qantity", "9:8: trades_unified has no column 'qantity'; did you mean 'quantity'?"),
        ("  qty: quantity", "  qty: price", "9:8: target column 'price' is mapped twice: keep one raw column for it"),
        ("  symbol: symbol", "  id: symbol", "7:3: 'id' is there twice, first in line 6: keep one"),
        ("constants:", "source: x\nconstants:", "12:1: 'source' is there twice, first in line 2: keep one"),
        ("  id: trade_id", "  trade_id: id", "6:3: lines read `raw: target`: write `id: trade_id`"),
        ("  id: trade_id", "  id: 7", "6:7: the target column of 'id' must be a name, not the int `7`"),
        ("  id: trade_id", "  yes: trade_id", "6:3: a raw column must be a name, not the bool `yes`"),
        ("  id: trade_id", "  id: [trade_id]", "6:7: the target column of 'id' must be a name, not a list"),
        (
            "  time: trade_ts",
            "  time: ingest_ts",
            "10:9: 'ingest_ts' cannot be mapped: SchemaHub fills it with the time of the run; remove this line",
        ),
        (
            "  exchange: BINANCE",
            "  exchange: BINANCE\n  base_asset: BTC",
            "14:3: 'base_asset' cannot be mapped: SchemaHub fills it from the exchange's product list; "
            "remove this line",
        ),
        (
            "  exchange: BINANCE",
            "  exchange: BINANCE\n  price: 1.5",
            "14:3: 'price' is mapped from 'price' and a constant too: keep one",
        ),
        (
            "  exchange: BINANCE",
            "  exchange: 12",
            "13:13: the constant of 'exchange' must be STRING, not the int `12` (put it in quotes to make it text)",
        ),
        (
            "  exchange: BINANCE",
            "  exchang: BINANCE",
            "13:3: trades_unified has no column 'exchang'; did you mean 'exchange'?",
        ),
        (
            "  exchange: BINANCE",
            "",
            "6:3: trades_unified requires 'exchange' (its name in capitals, e.g. COINBASE): map a raw column to it, "
            "or make it constant",
        ),
        ("  time: trade_ts", "", "6:3: trades_unified requires 'trade_ts' (when the trade executed): map a raw column"),
        (
            '  qty: "to_double"',
            '  qty: "to_duoble"',
            "18:8: unknown transform 'to_duoble'; did you mean 'to_double'?",
        ),
        (
            '  qty: "to_double"',
            "  qty: from_ms",
            "18:8: from_ms reads BIGINT or STRING, and raw column 'qty' is DOUBLE; remove it",
        ),
        (
            '  qty: "to_double"',
            "  id: to_double",
            "18:7: to_double gives DOUBLE, and 'trade_id' needs STRING; remove it",
        ),
        (
            '  qty: "to_double"',
            '  qty: "to_double"\n  quantity: to_double',
            "19:3: 'quantity' and 'qty' are the same mapping: give its transform once",
        ),
        ('  qty: "to_double"', "  exchange: upper", "18:3: 'exchange' is a constant: transforms apply to mapped raw"),
        (
            '  qty: "to_double"',
            "  quote_qty: to_double",
            "18:3: 'quote_qty' is not under mappings, so there is nothing",
        ),
        ('  qty: "to_double"', "  qnty: to_double", "18:3: no mapping has a column 'qnty'; did you mean 'qty'?"),
        ('  qty: "to_double"', "  - to_double", "18:3: not valid YAML: expected <block end>, but found '-'"),
        (
            "  symbol: symbol",
            "  symbol: symbol\n  is_buyer_maker: side",
            "8:19: 'is_buyer_maker' is BOOLEAN and 'side' needs STRING; "
            "write `is_buyer_maker: taker_from_is_buyer_maker` under transforms",
        ),
        (
            "  price: price",
            "  is_buyer_maker: price",
            "17:10: to_double reads STRING or BIGINT, and raw column 'is_buyer_maker' is BOOLEAN; "
            "map price to it instead",
        ),
        ("constants:\n  exchange: BINANCE", "constants: BINANCE", "12:12: expected `target column: value` lines, not"),
    ],
)
def test_a_mistake_is_reported_where_it_is_with_the_remedy(
    old: str, new: str, expected: str, raw_tables: Mapping[str, Table]
) -> None:
    assert old in BINANCE
    found = problems(BINANCE.replace(old, new, 1), raw_tables)
    assert any(problem.startswith(expected) for problem in found), "\n".join(found)


SIDED = BINANCE.split("transforms:")[0].replace("symbol: symbol", "symbol: symbol\n  is_buyer_maker: side")
SIDED += "transforms: {side: taker_from_is_buyer_maker}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  qty: quantity", "  qty: qantity"),
        ("  qty: quantity", "  qtty: quantity"),
        ("source: raw_binance_trades", "source: raw_binance"),
        ("  exchange: BINANCE", "  exchang: BINANCE"),
        ("  exchange: BINANCE", "  exchange: BINANCE\n  pric: 1.5"),
        ("  exchange: BINANCE", "  exchange: [BINANCE]"),
        ("taker_from_is_buyer_maker", "taker_from_is_buyer_makr"),
    ],
)
def test_one_slip_is_one_problem(old: str, new: str, raw_tables: Mapping[str, Table]) -> None:
    parse_mapping(SIDED, "m.yaml", raw_tables)
    assert len(problems(SIDED.replace(old, new, 1), raw_tables)) == 1


@pytest.mark.parametrize(("line", "column"), [("  id: trade_id\n", "trade_id"), ("  time: trade_ts\n", "trade_ts")])
def test_what_tells_trades_apart_cannot_be_constant(line: str, column: str, raw_tables: Mapping[str, Table]) -> None:
    text = SIDED.replace(line, "").replace(
        "exchange: BINANCE", f"exchange: BINANCE\n  {column}: '2024-02-08T00:00:00Z'"
    )
    (problem,) = problems(text, raw_tables)
    assert f"{column!r} differs from row to row and cannot be constant: map a raw column to it" in problem


def test_all_problems_are_reported_at_once_in_file_order(raw_tables: Mapping[str, Table]) -> None:
    text = """\
        source: raw_kraken_trade
        target_table: trades_unified
        mappings:
          trade_id: trade_idd
          price: price
          price: quantity
        constants: {exchange: 5}
        transforms: {price: to_dbl}
        extra: 1
        """
    lines = [int(problem.split(":")[0]) for problem in problems(dedent(text), raw_tables)]
    assert lines == sorted(lines)
    assert {1, 4, 6, 7, 8, 9} <= set(lines)


def test_an_ambiguous_transform_key_is_refused(raw_tables: Mapping[str, Table]) -> None:
    text = BINANCE.replace("  symbol: symbol", "  _source: symbol\n  symbol: side").replace(
        '  qty: "to', '  symbol: "to'
    )
    expected = "'symbol' could mean the mapping of '_source' to 'symbol' or 'symbol' to 'side': use the other name"
    assert any(expected in problem for problem in problems(text, raw_tables))


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_an_empty_file_says_what_belongs_in_it(text: str, raw_tables: Mapping[str, Table]) -> None:
    (problem,) = problems(text, raw_tables)
    assert re.search(r"empty: it should have the keys source, |this is the null|this is nothing", problem)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("source: [\n", "2:1"),
        ("a: b: c\n", "1:5"),
        ("source: x\n\ttarget_table: y\n", "2:1"),
        ("source: x\n--- \nsource: y\n", "2:1"),
        ("source: *nowhere\n", "1:9"),
        ("source: x\nname: bell\a\n", "2:11"),
        ("- a\n- b\n", "1:1"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_refused_with_its_place(
    text: str, place: str, raw_tables: Mapping[str, Table]
) -> None:
    (problem,) = problems(text, raw_tables)
    assert problem.startswith(f"{place}: ")


PROFILE = Table(
    "profile",
    (
        Column("symbol", "STRING", required=True),
        Column("ratio", "DOUBLE"),
        Column("lots", "BIGINT"),
        Column("live", "BOOLEAN"),
        Column("since", "TIMESTAMP"),
    ),
)


@pytest.mark.parametrize(
    ("column", "written", "value"),
    [
        ("symbol", "'12'", "12"),
        ("ratio", "2", 2),
        ("ratio", "-0.5", -0.5),
        ("lots", "7", 7),
        ("live", "true", True),
    ],
)
def test_a_constant_of_the_columns_type_is_taken(
    column: str, written: str, value: object, raw_tables: Mapping[str, Table]
) -> None:
    constants = {"symbol": "X"} | {column: written}
    lines = "".join(f"  {name}: {text}\n" for name, text in constants.items())
    text = f"source: raw_kraken_trades\ntarget_table: profile\nmappings:\nconstants:\n{lines}"
    spec = parse_mapping(text, "m.yaml", raw_tables, {"profile": PROFILE})
    assert spec.by_target[column].origin == Constant(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("symbol", "12"),
        ("symbol", "2024-01-01"),
        ("symbol", "[a]"),
        ("ratio", ".nan"),
        ("ratio", ".inf"),
        ("ratio", "'2'"),
        ("lots", "1.5"),
        ("lots", "9223372036854775808"),
        ("lots", "!!int x"),
        ("live", "!!bool perhaps"),
        ("live", "1"),
        ("since", "2024-01-01T00:00:00Z"),
        ("ratio", "~"),
    ],
)
def test_a_constant_of_another_type_is_refused(column: str, written: str, raw_tables: Mapping[str, Table]) -> None:
    other = "" if column == "symbol" else "  symbol: X\n"
    text = f"source: raw_kraken_trades\ntarget_table: profile\nmappings:\nconstants:\n{other}  {column}: {written}\n"
    with pytest.raises(MappingError, match=f"{column!r} (must be|differs from row to row)") as caught:
        parse_mapping(text, "m.yaml", raw_tables, {"profile": PROFILE})
    assert len(caught.value.problems) == 1


def test_text_with_numbers_needs_a_named_transform_to_become_a_number() -> None:
    told = {"id": "trade_id", "symbol": "symbol", "price": "price", "qty": "base_amount", "time": "epoch_ms"}
    text_prices = Table("raw_x", tuple(Column(name, "STRING", meaning=meaning) for name, meaning in told.items()))
    text = BINANCE.replace("raw_binance_trades", "raw_x").replace('  price: "to_double"\n', "")
    found = problems(text, {"raw_x": text_prices})
    expected = "'price' is STRING and 'price' needs DOUBLE; write `price: to_double` under transforms"
    assert [problem.split(": ", 1)[1] for problem in found] == [expected]


_KEYS = st.sampled_from(
    ["source", "target_table", "mappings", "constants", "transforms", "price", "id", "side", "<<", "x"]
)
_SCALARS = st.sampled_from(
    ["raw_binance_trades", "trades_unified", "price", "trade_id", "to_double", "~", "1", "yes", "*a", "!!int z", "!t"]
)
_LINES = st.one_of(
    st.builds("{}: {}".format, _KEYS, _SCALARS),
    st.builds("  {}: {}".format, _KEYS, _SCALARS),
    st.builds("{}: &a".format, _KEYS),
    st.builds("{}:".format, _KEYS),
    st.text(max_size=12),
)


def _mutated(lines: list[str], cut: int, insert: str) -> str:
    text = "\n".join(lines)
    cut = cut % (len(text) + 1)
    return text[:cut] + insert + text[cut:]


@settings(deadline=None, max_examples=400)
@given(
    st.one_of(
        st.text(),
        st.lists(_LINES, max_size=14).map("\n".join),
        st.builds(_mutated, st.permutations(BINANCE.splitlines()), st.integers(0, 500), st.text(max_size=4)),
        st.builds(_mutated, st.just(BINANCE.splitlines()), st.integers(0, 500), st.text(max_size=4)),
    )
)
@example('source: "\\UFFFFFFFF"')
@example("[" * 5000)
@example("source: &a {b: *a}")
@example("? {a: b}\n: c")
@example("<<: {source: x}")
@example("%YAML 9999.1\n---\nsource: x")
@example("source: !!binary x\nconstants: {exchange: !!python/none x}")
def test_whatever_the_file_holds_it_is_taken_or_refused_with_places_inside_it(
    raw_tables: Mapping[str, Table], text: str
) -> None:
    last_line = len(re.findall("\r\n|[\r\n\x85\u2028\u2029]", text)) + 1
    try:
        spec = parse_mapping(text, "m.yaml", raw_tables)
    except MappingError as error:
        found = error.problems
    else:
        assert set(TRADES_UNIFIED.key) <= set(spec.by_target)
        return
    assert found
    assert all(0 <= problem.line <= last_line and problem.message for problem in found)
