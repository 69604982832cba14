"""What a mapping may say beyond columns and transforms."""

from __future__ import annotations

import pytest

from schemahub_lib.mapping.expressions import parse_expression
from schemahub_lib.mapping.functions import ExpressionError
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.spec import Constant
from schemahub_lib.schemas import TRADES_UNIFIED, Column, SqlType
from tests.mapping.test_meanings import FITTING, RAW
from tests.mapping.test_spec import problems


def test_a_boolean_column_is_a_condition_as_it_is() -> None:
    text = FITTING + "filters:\n  - flag\n  - (flag)\n  - not flag\n"
    spec = parse_mapping(text, "m.yaml", {"raw_x": RAW})
    assert [condition.tree.sql("spark") for condition in spec.filters] == ["flag", "(flag)", "NOT flag"]


@pytest.mark.parametrize(
    ("text", "wanted", "sql"),
    [
        ("price * qty", "DOUBLE", "price * qty"),
        ("price / qty", "DOUBLE", "price / NULLIF(qty, 0)"),
        ("cast(note as double)", "DOUBLE", "TRY_CAST(note AS DOUBLE)"),
        ("CASE WHEN maker = 'b' THEN 'SELL' END", "STRING", "CASE WHEN maker = 'b' THEN 'SELL' END"),
        ("upper(trim(note)) /* a comment */", "STRING", "UPPER(TRIM(note))"),
        ("timestamp_micros(us)", "TIMESTAMP", "TIMESTAMP_MICROS(us)"),
        (
            "timestamp_millis(ms)",
            "TIMESTAMP",
            "TIMESTAMP_MICROS(TRY_CAST(TRY_CAST(ms AS DECIMAL(28, 9)) * 1000 AS BIGINT))",
        ),
        ("price / (qty / count)", "DOUBLE", "price / NULLIF((qty / NULLIF(count, 0)), 0)"),
        ("cast(cast(note as double) as bigint)", "BIGINT", "TRY_CAST(TRY_CAST(note AS DOUBLE) AS BIGINT)"),
        ("qty % 5", "DOUBLE", "qty % NULLIF(5, 0)"),
        ("price > 0 and qty is not null", "BOOLEAN", "price > 0 AND NOT qty IS NULL"),
        ("get_json_object(note, '$.a.b')", "STRING", "GET_JSON_OBJECT(note, '$.a.b')"),
        ("'it\\'s; DROP TABLE x --'", "STRING", "'it\\'s; DROP TABLE x --'"),
        ("null", "DOUBLE", "TRY_CAST(NULL AS DOUBLE)"),
    ],
)
def test_an_expression_is_printed_anew_and_fails_no_batch(text: str, wanted: SqlType, sql: str) -> None:
    assert parse_expression(text, RAW, Column("filled", wanted)).sql("spark") == sql


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prize * 2", "there is no raw column prize; did you mean 'price'?"),
        ("x.price * 2", "there is no raw column x.price"),
        ("price", "is a raw column as it is: write it under mappings"),
        ("(price)", "is a raw column as it is"),
        ("rand() * 2", "the function rand cannot be in an expression"),
        ("current_timestamp()", "the function current_timestamp cannot be in an expression"),
        ("uper(note)", "the function uper cannot be in an expression; did you mean 'upper'?"),
        ("java_method('java.lang.System', 'exit')", "the function java_method cannot be"),
        ("sum(price)", "the function sum cannot be in an expression"),
        ("sum(price) OVER ()", "cannot be in an expression"),
        ("(SELECT 1)", "a subquery cannot be in an expression"),
        ("price IN (SELECT 1)", "a subquery cannot be in an expression"),
        ("price; DROP TABLE x", "cannot be in an expression"),
        ("price AS y", "an alias cannot be in an expression"),
        ("*", "* cannot be in an expression"),
        ("price *", "is no Spark SQL expression"),
        ("", "is no Spark SQL expression"),
        ("upper(note)", "gives STRING, and DOUBLE is needed: write CAST(… AS DOUBLE) around it"),
        ("cast(note as date)", "CAST cannot be to DATE: choose one of STRING, "),
        ("(" * 5000, "too long"),
        ("(" * 3000, "nested too deeply"),
        ("${x} + 1", "cannot be in an expression"),
    ],
)
def test_what_is_no_scalar_expression_over_the_raw_columns_is_refused(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text, RAW, Column("filled", "DOUBLE"))
    assert said in str(refused.value)


MORE = """\
description: Trades of X.
owner: data-team
key: [exchange, symbol, trade_id]
expressions:
  quantity: quote_qty / price
defaults:
  side: BUY
filters:
  - price > 0
  - note <> 'test'
"""


def test_a_mapping_tells_all_there_is_to_tell() -> None:
    text = FITTING.replace("  qty: quantity\n", "") + MORE
    spec = parse_mapping(text, "m.yaml", {"raw_x": RAW})
    assert (spec.description, spec.owner) == ("Trades of X.", "data-team")
    assert [condition.text for condition in spec.filters] == ["price > 0", "note <> 'test'"]
    assert spec.by_target["side"].default == Constant("BUY")
    assert [column.target for column in spec.columns] == [
        name for name in TRADES_UNIFIED.column_names if not TRADES_UNIFIED.column(name).filled
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("key: [trade_id]\n", "15:6: the key of trades_unified is exchange, symbol, trade_id: write that, or leave"),
        ("key: trade_id\n", "15:6: expected a list of names, not the str `trade_id`"),
        ("owner: [me]\n", "15:8: 'owner' must be text, not a list"),
        ("expressions:\n  price: qty * 2\n", "16:3: 'price' is mapped from 'price' and an expression too: keep one"),
        ("expressions:\n  prise: qty * 2\n", "16:3: trades_unified has no column 'prise'; did you mean 'price'?"),
        ("expressions:\n  price: 2\n", "16:3: 'price' is mapped from"),
        ("filters: price > 0\n", "15:10: filters must be a list of conditions (`- price > 0`), not the str"),
        ("filters:\n  - prise > 0\n", "16:5: there is no raw column prise; did you mean 'price'?"),
        ("filters:\n  - price + 1\n", "16:5: `price + 1` gives DOUBLE, and BOOLEAN is needed"),
        ("filters:\n  - price\n", "16:5: `price` gives DOUBLE, and BOOLEAN is needed"),
        ("filters:\n  - \"note = '\\0'\"\n", "16:5: an expression has a NUL or half of a surrogate pair in it"),
        ("filters:\n  - \"note = '\\uD800'\"\n", "16:5: an expression has a NUL or half of a surrogate pair in it"),
        ("filters:\n  - note = '\\0'\n", "16:5: an expression has a NUL or half of a surrogate pair in it"),
        ("filters:\n  - note = '\\uD800'\n", "16:5: an expression has a NUL or half of a surrogate pair in it"),
        ("defaults:\n  trade_id: '1'\n", "16:3: 'trade_id' tells rows apart, and a default would make them one"),
        ("defaults:\n  base_asset: X\n", "16:3: 'base_asset' cannot be mapped: SchemaHub fills it"),
        ("defaults:\n  trade_ts: x\n", "16:13: 'trade_ts' differs from row to row and cannot be default"),
        ("defaults:\n  quantity: '1'\n", "16:13: the default of 'quantity' must be DOUBLE, not the str `1`"),
        (
            "note: &a x\n",
            "15:7: anchors and aliases (&a) are not part of a mapping: write the value where it is needed",
        ),
    ],
)
def test_what_is_wrong_there_is_told_where_it_is(more: str, expected: str) -> None:
    found = problems(FITTING + more, {"raw_x": RAW})
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_a_yaml_bomb_is_refused_by_its_first_anchor() -> None:
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairs)
    (problem,) = problems(bomb, {"raw_x": RAW})
    assert problem.startswith("1:4: anchors and aliases (&a)")
