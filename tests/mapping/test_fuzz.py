"""Whatever is written into a mapping compiles to SQL that Spark's parser takes, or is refused with its place.

`SCHEMAHUB_FUZZ=10000 pytest tests/mapping/test_fuzz.py` tries more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.compiler import batch_sql
from schemahub_lib.mapping.functions import FUNCTIONS
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import TRADES_UNIFIED, Table

pytestmark = pytest.mark.spark
PlanOf = Callable[[str], str]
EXAMPLES = int(os.environ.get("SCHEMAHUB_FUZZ", "300"))
HOSTILE = st.sampled_from(
    [
        *("`", "``", "'", "''", '"', "\\", "\\'", "--", "-- x", "/* x", "*/", "/* */", ";", "; DROP TABLE x"),
        *("${x}", "{{x}}", "%s", "?", ":x", "@x", "$1", "0x1F", "1e999", "NULL", "true", "r.price", "p.symbol"),
        *("\n", "\r\n", "\t", "\u2028", "\u202e", "\ud7ff", "\x7f", "é", "日本", "\U0001f4a9", " "),
        *("x' OR '1'='1", "x`; SELECT 1; --", "x\n; SELECT 1"),
    ]
)
TEXT = st.one_of(HOSTILE, st.text(max_size=8), st.lists(HOSTILE, max_size=3).map("".join))
TARGET = st.one_of(st.sampled_from(TRADES_UNIFIED.column_names), TEXT)
VALUE = st.one_of(TEXT, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(TEXT, max_size=2))
COLUMN = st.sampled_from(["price", "size", "side", "time", "trade_id", "product_id", "_raw_payload", "`price`", "x"])
LITERAL = st.one_of(
    TEXT.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"), TEXT.map(repr), COLUMN
)
# What fits into the place of a call, by the name it has in FUNCTIONS.
FITTING_ARGUMENTS = {
    "STRING": ["trade_id", "concat(side, 'x')", "'\\\\'", "cast(price as string)"],
    "DOUBLE": ["price", "size / price", "unix_micros(time)"],
    "BIGINT": ["cast(size * 2 as bigint)", "unix_micros(time) + 1"],
    "INT": ["7", "length(side)", "-length(side)"],
    "BOOLEAN": ["price > 1", "side in ('a', null)", "null"],
    "TIMESTAMP": ["time", "cast(_raw_payload as timestamp)"],
    "value": ["price", "1.5", "null"],
    "'pattern'": ["'(a+)'", "'([^\"{]*)\\\\{'"],
    "'replacement'": ["'$1'", "'\\\\$'"],
    "'$.path'": ["'$.a[0]'"],
    "group": ["0", "1"],
    "places": ["-2", "8"],
    "width": ["0", "20"],
}


@st.composite
def right_calls(draw: st.DrawFn) -> str:
    """A side by a call that is right."""
    name = draw(st.sampled_from([*FUNCTIONS]))
    places = FUNCTIONS[name].takes
    arguments = [draw(st.sampled_from(FITTING_ARGUMENTS[place.name])) for place in places]
    return f"CASE WHEN {name}({', '.join(arguments)}) IS NULL THEN 'BUY' END"


LEAF = st.one_of(LITERAL, st.integers(-9, 9).map(str), TEXT)


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    function = st.sampled_from([*FUNCTIONS, "rand", "sum", "exists", "java_method", "from_json"])
    operator = st.sampled_from(
        ["+", "-", "*", "/", "%", "=", "<", "<=>", "||", "and", "or", "in", "like", "is", "::", "as"]
    )
    kind = st.sampled_from(
        ["double", "string", "bigint", "timestamp", "decimal(38, 18)", "boolean", "date", "array<int>"]
    )
    return st.one_of(
        st.builds("{}({})".format, function, st.lists(inner, max_size=3).map(", ".join)),
        st.builds("({} {} {})".format, inner, operator, inner),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
        st.builds("CAST({} AS {})".format, inner, kind),
        st.builds("{} IN ({}, {})".format, inner, inner, inner),
        st.builds("{} BETWEEN {} AND {}".format, inner, inner, inner),
        st.builds("(SELECT {})".format, inner),
    )


EXPRESSION = st.one_of(*[st.recursive(LEAF, _deeper, max_leaves=6)] * 3, right_calls())
FITTING: dict[str, Any] = {
    "source": "raw_coinbase_trades",
    "target_table": "trades_unified",
    "mappings": {
        "trade_id": "trade_id",
        "product_id": "symbol",
        "price": "price",
        "size": "quantity",
        "time": "trade_ts",
    },
    "constants": {"exchange": "COINBASE"},
}


def _over(sections: dict[str, Any]) -> dict[str, Any]:
    """The fitting mapping with some sections merged over it, or put in place of its own."""
    merged = {**FITTING}
    for name, value in sections.items():
        own = FITTING.get(name)
        merged[name] = {**own, **value} if isinstance(own, dict) and isinstance(value, dict) else value
    return merged


DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "mappings": st.dictionaries(st.one_of(COLUMN, TEXT), TARGET, max_size=2),
        "constants": st.dictionaries(TARGET, VALUE, max_size=2),
        "expressions": st.dictionaries(st.one_of(st.just("side"), TARGET), EXPRESSION, max_size=2),
        "defaults": st.dictionaries(st.one_of(st.just("side"), TARGET), VALUE, max_size=2),
        "filters": st.lists(EXPRESSION, max_size=2),
        "transforms": st.dictionaries(TARGET, st.one_of(st.sampled_from([*TRANSFORMS]), TEXT), max_size=2),
        "description": VALUE,
        "on_conflict": VALUE,
        "audits": st.dictionaries(TEXT, VALUE, max_size=2),
    },
).map(_over)


@pytest.fixture(scope="module")
def plan_of(spark_jvm: None) -> PlanOf:
    """What Spark's parser makes of a statement, by the name of its class."""
    from pyspark.sql import SparkSession

    spark: Any = SparkSession.builder.getOrCreate()
    parser = spark._jsparkSession.sessionState().sqlParser()
    return lambda sql: str(parser.parsePlan(sql).getClass().getSimpleName())


def taken(text: str, raw_tables: Mapping[str, Table], plan_of: PlanOf) -> bool:
    """Whether a mapping compiles; its SQL must be one statement then. Refused, each problem must say where."""
    try:
        spec = parse_mapping(text, "m.yaml", raw_tables)
    except MappingError as refused:
        problems = refused.problems
    else:
        sql = batch_sql([(spec, "a_view")], TRADES_UNIFIED, "products", datetime(2024, 2, 8, tzinfo=UTC))
        assert plan_of(sql) == "Project"
        return True
    lines = len(text.splitlines()) + 1
    assert problems
    assert all(0 < problem.line <= lines and problem.column > 0 and problem.message for problem in problems)
    return False


@pytest.fixture(scope="module")
def outcomes() -> dict[bool, int]:
    return {True: 0, False: 0}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENT, st.booleans())
def test_a_mapping_compiles_to_one_statement_or_is_refused_with_its_place(
    raw_tables: Mapping[str, Table], plan_of: PlanOf, outcomes: dict[bool, int], document: dict[str, Any], flow: bool
) -> None:
    text = yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    outcomes[taken(text, raw_tables, plan_of)] += 1


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSION)
def test_so_does_one_with_any_expression_in_it(
    raw_tables: Mapping[str, Table], plan_of: PlanOf, outcomes: dict[bool, int], expression: str
) -> None:
    text = yaml.safe_dump(_over({"expressions": {"side": expression}}), sort_keys=False)
    outcomes[taken(text, raw_tables, plan_of)] += 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(right_calls())
def test_a_right_call_is_taken(raw_tables: Mapping[str, Table], plan_of: PlanOf, expression: str) -> None:
    text = yaml.safe_dump(_over({"filters": [f"({expression}) IS NOT NULL"]}), sort_keys=False)
    assert taken(text, raw_tables, plan_of)


def test_enough_of_both_were_seen(outcomes: dict[bool, int]) -> None:
    assert min(outcomes.values()) > EXAMPLES / 20, outcomes
