"""What a mapping may say beyond columns and transforms, and what values mean beyond their types."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemahub_lib.mapping.expressions import parse_condition, parse_expression
from schemahub_lib.mapping.functions import ExpressionError
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.spec import Constant
from schemahub_lib.schemas import INGEST_TS, TRADES_UNIFIED, Column, SqlType, Table
from tests.mapping.test_json_schema import MAPPINGS
from tests.mapping.test_spec import COINBASE, problems

RAW = Table(
    "raw_x",
    (
        Column("id", "STRING", meaning="trade_id"),
        Column("agg_id", "STRING", meaning="agg_trade_id"),
        Column("symbol", "STRING", meaning="symbol"),
        Column("price", "DOUBLE", meaning="price"),
        Column("qty", "DOUBLE", meaning="base_amount"),
        Column("quote_qty", "DOUBLE", meaning="quote_amount"),
        Column("maker", "STRING", meaning="maker_side"),
        Column("ms", "BIGINT", meaning="epoch_ms"),
        Column("us", "BIGINT", meaning="epoch_us"),
        Column("seconds", "BIGINT", meaning="epoch_s"),
        Column("time", "TIMESTAMP", meaning="time"),
        INGEST_TS,
        Column("note", "STRING"),
        Column("count", "BIGINT"),
        Column("flag", "BOOLEAN"),
    ),
)
FITTING = """\
source: raw_x
target_table: trades_unified
mappings:
  id: trade_id
  symbol: symbol
  price: price
  qty: quantity
  maker: side
  ms: trade_ts
constants:
  exchange: X
transforms:
  side: taker_from_maker
  trade_ts: from_ms
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  side: taker_from_maker\n",
            "",
            "8:10: 'maker' is the maker's side, and 'side' is the taker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "side: taker_from_maker",
            "side: upper",
            "13:9: 'maker' is the maker's side, and 'side' is the taker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "side: taker_from_maker",
            "side: taker_from_code",
            "13:9: taker_from_code reads the taker's side as a letter, and 'maker' is the maker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "from_ms",
            "from_us",
            "14:13: from_us reads a time in microseconds, and 'ms' is a time in milliseconds; "
            "write `ms: from_ms` under transforms",
        ),
        (
            "  ms: trade_ts",
            "  us: trade_ts",
            "14:13: from_ms reads a time in milliseconds, and 'us' is a time in microseconds; "
            "write `us: from_us` under transforms",
        ),
        (
            "  qty: quantity",
            "  quote_qty: quantity",
            "7:14: 'quote_qty' is an amount of the quote asset, and 'quantity' is an amount of the base asset; "
            "map qty to it instead",
        ),
        (
            "  id: trade_id",
            "  agg_id: trade_id",
            "4:11: 'agg_id' is the id of an aggregate of trades, and 'trade_id' is the id of a trade; "
            "map id to it instead",
        ),
    ],
)
def test_a_value_of_another_meaning_does_not_compile_and_the_right_line_is_told(
    old: str, new: str, expected: str
) -> None:
    parse_mapping(FITTING, "m.yaml", {"raw_x": RAW})
    assert old in FITTING
    assert problems(FITTING.replace(old, new, 1), {"raw_x": RAW}) == [expected]


UNTOLD = "tell its meaning where raw_x declares it"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  id: trade_id",
            "  note: trade_id",
            "4:9: nothing tells what 'note' is, and 'trade_id' is the id of a trade; map id to it instead, or "
            + UNTOLD,
        ),
        (
            "  maker: side",
            "  note: side",
            "13:9: nothing tells what 'note' is, and taker_from_maker reads the maker's side; "
            "map maker to it instead, or " + UNTOLD,
        ),
        (
            "  ms: trade_ts",
            "  count: trade_ts",
            "14:13: nothing tells what 'count' is, and from_ms reads a time in milliseconds; "
            "map time to it instead, or " + UNTOLD,
        ),
    ],
)
def test_a_column_that_tells_no_meaning_fills_none_and_no_transform_reads_one_from_it(
    old: str, new: str, expected: str
) -> None:
    assert old in FITTING
    assert problems(FITTING.replace(old, new, 1), {"raw_x": RAW}) == [expected]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("binance", "  is_buyer_maker: side", "  is_best_match: side", "map is_buyer_maker to it instead, or tell its"),
        ("kraken", "  side: side", "  order_type: side", "map side to it instead, or tell its meaning"),
        ("kraken", "  trade_id: trade_id", "  misc: trade_id", "map trade_id to it instead, or tell its meaning"),
        ("okx", "  trade_id: trade_id", "  _source: trade_id", "map trade_id to it instead, or tell its meaning"),
        ("coinbase", "  product_id: symbol", "  _raw_payload: symbol", "map product_id to it instead, or tell its"),
    ],
)
def test_no_shipped_mapping_takes_a_column_that_is_something_else(
    file: str, old: str, new: str, said: str, raw_tables: Mapping[str, Table]
) -> None:
    text = (MAPPINGS / f"{file}_trades.yaml").read_text(encoding="utf-8")
    assert old in text
    (problem,) = problems(text.replace(old, new, 1), raw_tables)
    assert f"nothing tells what {new.split(':')[0].strip()!r} is, and " in problem
    assert said in problem


def test_a_target_that_tells_no_meaning_takes_whatever_has_its_type() -> None:
    target = Table("t", (Column("a", "STRING"), Column("b", "DOUBLE"), Column("c", "STRING")), key=("a",))
    text = "source: raw_x\ntarget_table: t\nmappings: {agg_id: a, quote_qty: b}\nexpressions: {c: upper(note)}\n"
    assert parse_mapping(text, "m.yaml", {"raw_x": RAW}, {"t": target}).by_target.keys() == {"a", "b", "c"}


def test_a_transform_that_reads_a_meaning_reads_it_for_such_a_target_too() -> None:
    target = Table("t", (Column("a", "STRING"), Column("at", "TIMESTAMP")), key=("a",))
    text = "source: raw_x\ntarget_table: t\nmappings: {agg_id: a, count: at}\n"
    wrong = problems(text, {"raw_x": RAW}, {"t": target})
    assert wrong == [f"3:30: 'count' is BIGINT and 'at' needs TIMESTAMP; {UNTOLD}"]
    wrong = problems(text + "transforms: {at: from_ms}\n", {"raw_x": RAW}, {"t": target})
    assert wrong == [f"4:18: nothing tells what 'count' is, and from_ms reads a time in milliseconds; {UNTOLD}"]


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        (
            "side",
            "upper(maker)",
            "'maker' is the maker's side, and 'side' is the taker's side; "
            "map maker to it under mappings, with taker_from_maker under transforms",
        ),
        *(
            (
                "quantity",
                text,
                "'quote_qty' is an amount of the quote asset, and 'quantity' is an amount of the base asset; "
                "use qty instead",
            )
            for text in (
                *("round(quote_qty, 8)", "coalesce(quote_qty, qty)", "coalesce(qty, quote_qty)", "(-abs(quote_qty))"),
                *("if(price > 1, quote_qty, 1.0)", "CASE WHEN price > 1 THEN qty ELSE quote_qty END"),
                *("greatest(qty, quote_qty)", "nullif(quote_qty, 0)", "cast(quote_qty as double)"),
                "cast(trim(cast(quote_qty as string)) as double)",
            )
        ),
        *(
            (
                "trade_id",
                text,
                "'agg_id' is the id of an aggregate of trades, and 'trade_id' is the id of a trade; use id instead",
            )
            for text in (
                *("trim(agg_id)", "lpad(agg_id, 9, '0')", "replace(agg_id, 'a', '')", "substring(agg_id, 2)"),
                *("regexp_replace(agg_id, '^a', '')", "left(lower(agg_id), 3)"),
            )
        ),
        (
            "trade_ts",
            "coalesce(_source_ingest_ts, time)",
            "'_source_ingest_ts' is the time at which the row was fetched, and 'trade_ts' is the time of the trade; "
            "use time instead",
        ),
        (
            "trade_ts",
            "timestamp_micros(ms)",
            "timestamp_micros reads a time in microseconds, and 'ms' is a time in milliseconds; write timestamp_millis",
        ),
        (
            "trade_ts",
            "timestamp_millis(coalesce(us, 0))",
            "timestamp_millis reads a time in milliseconds, and 'us' is a time in microseconds; write timestamp_micros",
        ),
        (
            "trade_ts",
            "timestamp_micros(seconds)",
            "timestamp_micros reads a time in microseconds, and 'seconds' is a time in seconds; "
            "map it, with from_s under transforms",
        ),
        (
            "trade_ts",
            "timestamp_micros(count)",
            "nothing tells what 'count' is, and timestamp_micros reads a time in microseconds; " + UNTOLD,
        ),
        (
            "trade_ts",
            "timestamp_micros(unix_micros(_source_ingest_ts))",
            "timestamp_micros reads a time in microseconds, and '_source_ingest_ts' is the time at which the row was "
            "fetched; timestamp_micros is not for it",
        ),
        (
            "trade_id",
            "upper(note)",
            "nothing tells what 'note' is, and 'trade_id' is the id of a trade; map id to it instead, or " + UNTOLD,
        ),
    ],
)
def test_an_expression_does_not_hide_what_a_value_is(target: str, text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text, RAW, TRADES_UNIFIED.column(target))
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("quantity", "round(qty, 8)"),
        ("quantity", "coalesce(qty, 0.0)"),
        ("quantity", "quote_qty / price"),
        ("side", "if(maker = 'BUY', 'SELL', 'BUY')"),
        ("side", "CASE upper(note) WHEN 'B' THEN 'BUY' END"),
        ("trade_id", "concat(id, '-', agg_id)"),
        ("trade_id", "get_json_object(note, '$.id')"),
        ("symbol", "regexp_extract(note, '^(.+):', 1)"),
        ("symbol", "replace(upper(symbol), '/', '-')"),
        ("trade_ts", "timestamp_micros(us)"),
        ("trade_ts", "timestamp_millis(nullif(ms, 0))"),
        ("trade_ts", "timestamp_micros(unix_micros(time))"),
        ("trade_ts", "timestamp_micros(seconds * 1000000)"),
    ],
)
def test_what_an_expression_keeps_or_computes_anew_fits(target: str, text: str) -> None:
    parse_expression(text, RAW, TRADES_UNIFIED.column(target))


def test_what_an_expression_gets_wrong_is_told_where_it_is() -> None:
    text = FITTING.replace("  qty: quantity\n", "") + "expressions:\n  quantity: round(quote_qty, 8)\n"
    (problem,) = problems(text, {"raw_x": RAW})
    assert problem.startswith("15:13: 'quote_qty' is an amount of the quote asset, and 'quantity' is")


def test_a_condition_may_compare_values_of_any_meaning() -> None:
    for text in ("coalesce(quote_qty, qty) > 0", "unix_micros(_source_ingest_ts) - unix_micros(time) < 1000"):
        parse_condition(text, RAW)
    with pytest.raises(ExpressionError, match="timestamp_micros reads a time in microseconds, and 'ms' is"):
        parse_condition("timestamp_micros(ms) < time", RAW)


def test_a_boolean_column_is_a_condition_as_it_is() -> None:
    text = FITTING + "filters:\n  - flag\n  - (flag)\n  - not flag\n"
    spec = parse_mapping(text, "m.yaml", {"raw_x": RAW})
    assert [condition.tree.sql("spark") for condition in spec.filters] == ["flag", "(flag)", "NOT flag"]


def test_the_time_of_fetching_is_not_the_time_of_the_trade(raw_tables: Mapping[str, Table]) -> None:
    (problem,) = problems(COINBASE.replace("  time: trade_ts", "  _source_ingest_ts: trade_ts"), raw_tables)
    assert "is the time at which the row was fetched, and 'trade_ts' is the time of the trade" in problem
    assert problem.endswith("map time to it instead")


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
