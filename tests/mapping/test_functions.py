"""What Spark would refuse, or fail on at the first value it meets, an expression is refused for already."""

from __future__ import annotations

import pytest
from sqlglot import exp

from schemahub_lib.mapping.expressions import parse_condition, parse_expression
from schemahub_lib.mapping.functions import FUNCTIONS, ExpressionError
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import Column, SqlType, Table

RAW = Table(
    "raw_x",
    (
        Column("text", "STRING"),
        Column("price", "DOUBLE"),
        Column("count", "BIGINT"),
        Column("flag", "BOOLEAN"),
        Column("time", "TIMESTAMP"),
        Column("total", "DECIMAL(38, 18)"),
    ),
)


def filling(wanted: SqlType, text: str) -> str:
    return parse_expression(text, RAW, Column("filled", wanted)).sql("spark")


def refusal(text: str) -> str:
    with pytest.raises(ExpressionError) as refused:
        parse_condition(f"({text}) IS NULL", RAW)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        ("if(price > 1, 'BUY')", "if(BOOLEAN, value, value)"),
        ("greatest(price)", "greatest(value, value, ...)"),
        ("coalesce()", "coalesce(value, ...)"),
        ("timestamp_micros()", "timestamp_micros(BIGINT)"),
        ("timestamp_micros(1, 2)", "timestamp_micros(BIGINT)"),
        ("length(text, 2)", "length(STRING)"),
        ("regexp_replace(text, 'a', 'b', 'g')", "regexp_replace(STRING, 'pattern', 'replacement')"),
        ("regexp_replace(text, 'a')", "regexp_replace(STRING, 'pattern', 'replacement')"),
        ("lpad(text)", "lpad(STRING, width[, STRING])"),
        ("round(price, 1, 1)", "round(DOUBLE[, places])"),
    ],
)
def test_a_call_with_too_many_or_too_few_arguments_is_refused_with_its_usage(text: str, usage: str) -> None:
    assert refusal(text).endswith(f"has too many or too few arguments: write it as {usage}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp_micros('x')", "`'x'` is STRING, and BIGINT is needed there: write CAST('x' AS BIGINT)"),
        ("timestamp_millis(price)", "`price` is DOUBLE, and BIGINT is needed there: write CAST(price AS BIGINT)"),
        ("upper(price)", "`price` is DOUBLE, and STRING is needed there: write CAST(price AS STRING)"),
        ("unix_micros(count)", "`count` is BIGINT, and TIMESTAMP is needed there"),
        ("left(text, count)", "`count` is BIGINT, and INT is needed there: write CAST(count AS INT)"),
        ("ceil(total)", "`total` is DECIMAL, and DOUBLE is needed there"),
        ("if(count, 1, 2)", "`count` is BIGINT, and BOOLEAN is needed there"),
        ("text + 1", "`text` is STRING, and DOUBLE is needed there: write CAST(text AS DOUBLE)"),
        ("-text", "`text` is STRING, and DOUBLE is needed there"),
        ("text || price", "`price` is DOUBLE, and STRING is needed there"),
        ("text = 'x' OR 1", "`1` is INT, and BOOLEAN is needed there"),
        ("NOT price", "`price` is DOUBLE, and BOOLEAN is needed there"),
        ("flag AND text", "`text` is STRING, and BOOLEAN is needed there"),
        ("CASE WHEN price THEN 1 END", "`price` is DOUBLE, and BOOLEAN is needed there"),
        ("price LIKE '1%'", "`price` is DOUBLE, and STRING is needed there"),
        ("CASE WHEN NULL THEN 1 END", "has NULL for a condition: write CAST(NULL AS BOOLEAN)"),
        ("text > 1", "`text > 1` puts INT and STRING together: write CAST(… AS …) around one of them"),
        ("price BETWEEN '1' AND 2", "puts DOUBLE and INT and STRING together"),
        ("text IN ('a', 1)", "puts INT and STRING together"),
        ("coalesce(text, price)", "puts DOUBLE and STRING together"),
        ("if(flag, 'x', 1)", "puts INT and STRING together"),
        ("CASE count WHEN 'x' THEN 1 END", "puts BIGINT and STRING together"),
        ("nullif(price, '')", "puts DOUBLE and STRING together"),
        ("time > '2024-01-31'", "write CAST(… AS TIMESTAMP) around the text, as in 2024-01-31T00:00:00Z"),
        (
            "CAST(price AS DECIMAL(50, 2))",
            "there is no DECIMAL(50, 2): write DECIMAL(digits, those behind the point), 38 at most",
        ),
        ("CAST(price AS DECIMAL(2, 3))", "there is no DECIMAL(2, 3)"),
        ("CAST(price AS INT(3))", "CAST cannot be to INT(3): choose one of STRING, DOUBLE, "),
        ("CAST(time AS STRING)", "would not tell its unit or time zone: write unix_micros(…)"),
        ("CAST(count AS TIMESTAMP)", "write timestamp_millis(…) or timestamp_micros(…)"),
    ],
)
def test_types_that_do_not_go_together_are_refused(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("round(price, count)", "`count` must be a whole number from -38 to 38, written out"),
        ("round(price, 1.5)", "`1.5` must be a whole number"),
        ("round(price, 39)", "`39` must be a whole number"),
        ("rpad(text, 1000000000)", "`1000000000` must be a whole number from 0 to 1000, written out"),
        ("regexp_extract(text, text, 0)", "a pattern must be text in quotes, not `text`"),
        ("regexp_extract(text, '(')", "the pattern '(' is not one that both Python and Java read: missing )"),
        ("regexp_extract(text, 'x', 9)", "the pattern 'x' has 0 groups, so there is no group 9"),
        ("regexp_extract(text, 'x')", "the pattern 'x' has 0 groups, so there is no group 1"),
        ("regexp_replace(text, '(a)', '$2')", "the pattern '(a)' has 1 groups, so there is no group 2"),
        ("regexp_replace(text, 'a', '$')", "the replacement '$' must have a number after each $"),
        ("regexp_replace(text, 'a', '\\\\')", "and a character after each backslash"),
        ("regexp_replace(text, 'a', text)", "a replacement must be text in quotes"),
        ("text RLIKE '*'", "nothing to repeat"),
        ("text RLIKE 'a{'", "Java does not read `{` of the pattern 'a{'"),
        ("text RLIKE '[a[b]'", "Java does not read `[` of the pattern"),
        ("text RLIKE '[\\\\b]'", "Java does not read `[` of the pattern"),
        ("text RLIKE '(?P<x>a)'", "Java does not read `(?P` of the pattern"),
        ("text RLIKE text", "a pattern must be text in quotes"),
        ("text LIKE 'a\\\\b'", "has a backslash before something else than %, _ or a backslash"),
        ("text LIKE text", "a LIKE pattern must be text in quotes"),
        ("get_json_object(text, text)", "a path must be text in quotes"),
        ("get_json_object(text, 'a')", "the path 'a' must begin with $"),
    ],
)
def test_what_must_be_written_out_is_looked_at(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("regexp_extract(text, '(a)(b)?', 2)", "regexp_extract(text, '[(]', 0)", "regexp_extract(text, '^(\\\\d+)')"),
        *("regexp_replace(text, '(a)b{2,}', '$1\\\\$')", "text RLIKE '[{]x\\\\{'", "text LIKE '10\\%'"),
        *("round(price, -2)", "substring(text, -3)", "left(text, length(text) - 4)", "lpad(text, 20, '0')"),
        *("coalesce(count, 1.5, price)", "greatest(null, time)", "if(null, 1, 2)", "text IN ('a', null)"),
        *("count % 2 = 0", "total / 100 > 0.5", "flag IS TRUE", "text <=> null", "coalesce(nullif(price, 10), 1e3)"),
    ],
)
def test_what_spark_takes_is_taken(text: str) -> None:
    parse_condition(f"({text}) IS NULL", RAW)


@pytest.mark.parametrize(
    ("text", "wanted", "sql"),
    [
        ("ceil(price)", "BIGINT", "CEIL(price)"),
        ("length(text)", "BIGINT", "TRY_CAST(LENGTH(text) AS BIGINT)"),
        ("coalesce(count, 0)", "BIGINT", "COALESCE(count, 0)"),
        ("coalesce(count, 0)", "DOUBLE", "TRY_CAST(COALESCE(count, 0) AS DOUBLE)"),
        ("greatest(count, price, 1)", "DOUBLE", "GREATEST(count, price, 1)"),
        ("total * 2", "DECIMAL(38, 18)", "TRY_CAST(total * 2 AS DECIMAL(38, 18))"),
        ("total * price", "DOUBLE", "total * price"),
        ("1.5", "DOUBLE", "TRY_CAST(1.5 AS DOUBLE)"),
        ("if(flag, time, null)", "TIMESTAMP", "IF(flag, time, NULL)"),
    ],
)
def test_what_has_another_type_than_the_target_is_cast_to_it(text: str, wanted: SqlType, sql: str) -> None:
    assert filling(wanted, text) == sql


def test_text_becomes_a_time_as_by_the_transform_whatever_the_day_and_the_session() -> None:
    for text, value in (("text", exp.column("text")), ("'12:30'", exp.Literal.string("12:30"))):
        as_by_the_transform = TRANSFORMS["iso8601"].build(value).sql("spark")
        assert filling("TIMESTAMP", f"CAST({text} AS TIMESTAMP)") == as_by_the_transform
        assert filling("TIMESTAMP", f"TIMESTAMP{text}" if "'" in text else f"{text}::TIMESTAMP") == as_by_the_transform
        nested = parse_condition(f"coalesce(CAST({text} AS TIMESTAMP), time) > time", RAW).sql("spark")
        assert nested == f"COALESCE({as_by_the_transform}, time) > time"
    assert (
        filling("TIMESTAMP", "CAST(if(flag, time, null) AS TIMESTAMP)") == "TRY_CAST(IF(flag, time, NULL) AS TIMESTAMP)"
    )


@pytest.mark.parametrize("text", ["+".join(["1"] * 110), "NOT " * 900 + "flag", "- " * 110 + "1"])
def test_what_is_nested_too_deeply_to_be_printed_is_refused(text: str) -> None:
    assert refusal(text) == "an expression is nested too deeply, 100 levels are the most"


def test_every_function_tells_its_type_or_keeps_one_and_turns_the_meaning_of_one_argument_at_most() -> None:
    for name, function in FUNCTIONS.items():
        assert function.gives or function.kept(function.takes), name
        assert len(function.kept(function.takes)) == 1 or not function.becomes, name
