"""Spark SQL scalar expressions in mappings: parsed, checked against the raw columns and an allow-list, printed anew.

What neither this nor `functions` lists is refused, so no subquery, no aggregate, and nothing that differs from run to
run can get in. Names, constants and comments cannot smuggle SQL in either: what is printed is the tree, never the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.parsers.spark import SparkParser

from schemahub_lib.mapping.functions import FUNCTIONS, Type, refuse
from schemahub_lib.mapping.meanings import misfit_of_expression, misread
from schemahub_lib.mapping.nodes import nearest
from schemahub_lib.mapping.sql import UNSTORABLE, try_cast
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.mapping.types import may_cast, type_of
from schemahub_lib.schemas import LEVELS, Column, SqlType, Table

LONGEST = 4000  # characters
DEEPEST = 100  # levels: what sqlglot prints with room on Python's stack
DIGITS = 38  # of a number

_ALLOWED = (
    *(exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Is, exp.In, exp.Between, exp.Like, exp.RegexpLike),
    *(exp.Case, exp.If, exp.Cast, exp.TryCast),
    *(exp.Literal, exp.Null, exp.Boolean, exp.Column, exp.Identifier),
    *(exp.DataType, exp.DataTypeParam),
)
# What Spark turns into a column's type without changing what it says.
_FITTING: dict[SqlType, tuple[Type, ...]] = {
    "STRING": ("STRING",),
    "DOUBLE": ("DOUBLE", "DECIMAL", "BIGINT", "INT"),
    "BIGINT": ("BIGINT", "INT"),
    "BOOLEAN": ("BOOLEAN",),
    "TIMESTAMP": ("TIMESTAMP",),
    "DECIMAL(38, 18)": ("DOUBLE", "DECIMAL", "BIGINT", "INT"),
}
_TOO_DEEP = f"an expression is nested too deeply, {DEEPEST} levels are the most"
_HALF_A_PAIR = re.compile(
    r"(?<!\\)(\\\\)*\\(u|U0000)[dD][89a-fA-F]"
)  # as an escape, which sqlglot reads as a question mark


class _Calls(Spark):
    """Spark SQL whose functions are calls by name (`exp.Anonymous`), with all arguments that were written."""

    class Parser(SparkParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: SparkParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST")
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": SparkParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


def parse_expression(text: str, source: Table, target: Column) -> exp.Expr:
    """The tree of an expression over the raw columns of `source` that fills `target`. Raises ExpressionError."""
    tree = _parse(text, source)
    if isinstance(tree.unnest(), exp.Column):
        refuse(f"`{text}` is a raw column as it is: write it under mappings")
    if wrong := misfit_of_expression(source, tree, target):
        refuse(wrong)
    return _giving(tree, source, target.type, text)


def parse_condition(text: str, source: Table) -> exp.Expr:
    """The tree of a condition over the raw columns of `source`. Raises ExpressionError."""
    return _giving(_parse(text, source), source, "BOOLEAN", text)


def columns_of(tree: exp.Expr) -> tuple[str, ...]:
    """The raw columns an expression reads, each once."""
    return tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))


def over(tree: exp.Expr, table: str) -> exp.Expr:
    """The same expression, reading its columns from the table alias `table`."""
    return tree.transform(
        lambda node: exp.column(node.name, table=table) if isinstance(node, exp.Column) else node, copy=True
    )


def _parse(text: str, source: Table) -> exp.Expr:
    if len(text) > LONGEST:
        refuse(f"an expression of {len(text)} characters is too long, {LONGEST} are the most")
    if UNSTORABLE.search(text) or _HALF_A_PAIR.search(text):
        _refuse_text()
    try:
        tree = sqlglot.parse_one(text, read=_Calls)
        if _depth(tree) > DEEPEST:
            refuse(_TOO_DEEP)
        for node in tree.walk():
            node.pop_comments()
        for literal in tree.find_all(exp.Literal):  # first: what is said of others shows them
            if UNSTORABLE.search(literal.name):
                _refuse_text()
        for node in tree.walk():
            _check(node, source)
        type_of(tree, _types(source))
        if wrong := misread(source, tree):
            refuse(wrong)
    except SqlglotError as error:
        found = getattr(error, "errors", None) or [{}]
        near = f" near {found[0]['highlight']!r}" if found[0].get("highlight") else ""
        refuse(f"`{text}` is no Spark SQL expression{near}")
    except RecursionError:
        refuse(_TOO_DEEP)
    return tree


def _depth(tree: exp.Expr) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in node.iter_expressions()]
    return depth


def _refuse_text() -> NoReturn:
    refuse("an expression has a NUL or half of a surrogate pair in it: leave it out, or write the whole character")


def _check(node: exp.Expr, source: Table) -> None:
    """Refuses what is not allowed, wherever it stands."""
    if isinstance(node, exp.Anonymous):
        if (name := node.name.lower()) not in FUNCTIONS:
            refuse(f"the function {name} cannot be in an expression{nearest(name, FUNCTIONS)}")
    elif type(node) not in _ALLOWED:
        refuse(f"{_named(node)} cannot be in an expression: use operators, CASE, CAST and functions")
    elif isinstance(node, exp.Column):
        if node.table or node.name not in source.column_names:
            refuse(f"there is no raw column {node.sql('spark')}{nearest(node.name, source.column_names)}")
    elif isinstance(node, exp.Literal) and node.is_number and not _fits(node.name):
        refuse(f"the number {node.name:.60} is too large, or has too many digits")
    elif isinstance(node, exp.In) and not node.expressions and not node.args.get("query"):
        refuse("IN needs a list: write it as `x IN ('a', 'b')`")


def _fits(number: str) -> bool:
    return sum(map(str.isdigit, number)) <= DIGITS and math.isfinite(float(number))


def _named(node: exp.Expr) -> str:
    names = {"Subquery": "a subquery", "Select": "a subquery", "Star": "*", "Alias": "an alias", "Window": "OVER"}
    name = node.sql_name() if isinstance(node, exp.Func) else type(node).__name__
    return names.get(type(node).__name__, f"`{name.lower()}`")


def _types(source: Table) -> Mapping[str, Type]:
    plain = {column.name: column.type for column in source.columns}
    return {name: "DECIMAL" if kind == "DECIMAL(38, 18)" else kind for name, kind in plain.items() if kind != LEVELS}


def _giving(tree: exp.Expr, source: Table, wanted: SqlType, text: str) -> exp.Expr:
    given = type_of(tree, _types(source))
    if given not in (*_FITTING[wanted], "NULL"):
        how = f": write CAST(… AS {wanted}) around it" if may_cast(given, wanted) else ""
        refuse(f"`{text}` gives {given}, and {wanted} is needed{how}")
    total = _total(tree, source)
    return total if given == wanted else try_cast(total, wanted)


def _total(tree: exp.Expr, source: Table) -> exp.Expr:
    """The same, but NULL where Spark would fail the whole batch, and UTC where it would ask the session or the day."""
    types = _types(source)
    of_text = {id(cast) for cast in tree.find_all(exp.Cast) if type_of(cast.this, types) == "STRING"}

    def total(node: exp.Expr) -> exp.Expr:
        match node:
            case exp.Cast():
                is_time = node.to.is_type("timestamptz") and id(node) in of_text
                return TRANSFORMS["iso8601"].build(node.this) if is_time else try_cast(node.this, node.to)
            case exp.Div() | exp.Mod():
                divisor = exp.Nullif(this=node.expression, expression=exp.Literal.number(0))
                return type(node)(this=node.this, expression=divisor)
            case exp.Anonymous() if node.name.lower() == "timestamp_millis":
                return TRANSFORMS["from_ms"].build(node.expressions[0])
        return node

    for node in [*tree.walk()][::-1]:  # the innermost first
        if (new := total(node)) is not node:
            tree = new if node is tree else tree
            node.replace(new)
    return tree
