"""Spark SQL scalar expressions in mappings: parsed, checked against the raw columns and an allow-list, printed anew.

What is not listed here is refused, so neither a subquery, an aggregate, nor anything that differs from run to run can
get in. Names, constants and comments cannot smuggle SQL in either: what is printed is the tree, never the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from schemahub_lib.mapping.nodes import nearest
from schemahub_lib.mapping.sql import try_cast
from schemahub_lib.schemas import Column, SqlType

LONGEST = 4000  # characters
DIGITS = 38  # of a number

# By the name to write. Each is total over its own type, or made so below; none depends on the session or the day.
FUNCTIONS: dict[str, type[exp.Expr]] = {
    "abs": exp.Abs,
    "ceil": exp.Ceil,
    "coalesce": exp.Coalesce,
    "concat": exp.Concat,
    "floor": exp.Floor,
    "get_json_object": exp.JSONExtractScalar,
    "greatest": exp.Greatest,
    "if": exp.If,
    "least": exp.Least,
    "left": exp.Left,
    "length": exp.Length,
    "lower": exp.Lower,
    "lpad": exp.Pad,
    "nullif": exp.Nullif,
    "regexp_extract": exp.RegexpExtract,
    "regexp_replace": exp.RegexpReplace,
    "replace": exp.Replace,
    "right": exp.Right,
    "round": exp.Round,
    "rpad": exp.Pad,
    "substring": exp.Substring,
    "trim": exp.Trim,
    "unix_micros": exp.UnixMicros,
    "upper": exp.Upper,
}
# Those that sqlglot has no type of its own for.
_BY_NAME = ("timestamp_micros", "timestamp_millis")
FUNCTION_NAMES = tuple(sorted((*FUNCTIONS, *_BY_NAME)))

_OPERATORS = (
    *(exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Is, exp.In, exp.Between, exp.Like, exp.RegexpLike),
    *(exp.Case, exp.Cast, exp.TryCast),
)
_PARTS = (
    *(exp.Literal, exp.Null, exp.Boolean, exp.Column, exp.Identifier),
    *(exp.DataType, exp.DataTypeParam),
    *(exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript),
)
_ALLOWED = (*FUNCTIONS.values(), *_OPERATORS, *_PARTS)
_CASTS = ("STRING", "DOUBLE", "INT", "BIGINT", "BOOLEAN", "TIMESTAMP", "DECIMAL")

_TEXT = exp.DataType.TEXT_TYPES
_NUMBERS = exp.DataType.NUMERIC_TYPES
_TIMES = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ}
_BOOLEANS = {exp.DType.BOOLEAN}
# What Spark turns into a column's type without changing what it says.
_FITTING: dict[SqlType, Collection[exp.DType]] = {
    "STRING": _TEXT,
    "DOUBLE": _NUMBERS,
    "BIGINT": exp.DataType.INTEGER_TYPES,
    "BOOLEAN": _BOOLEANS,
    "TIMESTAMP": _TIMES,
    "DECIMAL(38, 18)": _NUMBERS,
}


class ExpressionError(Exception):
    """An expression is refused. The message says why and what to write."""


def parse_expression(text: str, columns: Sequence[Column], wanted: SqlType) -> exp.Expr:
    """The tree of an expression over raw `columns` that gives `wanted`. Raises ExpressionError."""
    tree = _parse(text)
    _check(tree, columns)
    given = _type_of(tree, columns)
    if given is not None and given.this not in (*_FITTING[wanted], exp.DType.NULL):
        _refuse(f"`{text}` gives {given.sql('spark')}, and {wanted} is needed: write CAST(… AS {wanted}) around it")
    total = _total(tree)
    exact = given is not None and given.sql("spark") == wanted
    return total if exact else try_cast(total, wanted)


def columns_of(tree: exp.Expr) -> tuple[str, ...]:
    """The raw columns an expression reads, each once."""
    return tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))


def over(tree: exp.Expr, table: str) -> exp.Expr:
    """The same expression, reading its columns from the table alias `table`."""
    return _replacing(tree, exp.Column, lambda column: exp.column(column.name, table=table))


def _parse(text: str) -> exp.Expr:
    if len(text) > LONGEST:
        _refuse(f"an expression of {len(text)} characters is too long, {LONGEST} are the most")
    try:
        tree = sqlglot.parse_one(text, read="spark")
    except SqlglotError as error:
        found = getattr(error, "errors", None) or [{}]
        near = f" near {found[0]['highlight']!r}" if found[0].get("highlight") else ""
        _refuse(f"`{text}` is no Spark SQL expression{near}")
    except RecursionError:
        _refuse("an expression is nested too deeply")
    for node in tree.walk():
        node.pop_comments()
    return tree


def _check(tree: exp.Expr, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in _BY_NAME:
                _refuse_function(node.name)
        elif type(node) not in _ALLOWED:
            if isinstance(node, exp.Func):
                _refuse_function(node.sql_name())
            _refuse(f"{_named(node)} cannot be in an expression: use operators, CASE, CAST and functions")
        # sqlglot does not miss a replacement before it prints it.
        elif isinstance(node, exp.Func) and (
            node.error_messages() or (isinstance(node, exp.RegexpReplace) and not node.args.get("replacement"))
        ):
            _refuse(f"the function {node.sql_name().lower()} lacks an argument")
        elif isinstance(node, exp.Column):
            if node.table or node.name not in names:
                shown = node.sql("spark")
                _refuse(f"there is no raw column {shown}{nearest(node.name, names)}")
        elif isinstance(node, exp.DataType):
            if node.this.value not in (*_CASTS, "TEXT", "VARCHAR", "TIMESTAMPTZ", "TIMESTAMPLTZ"):
                _refuse(f"CAST cannot be to {node.sql('spark')}: choose one of {', '.join(_CASTS)}")
        elif isinstance(node, exp.Literal) and node.is_number and not _fits(node.name):
            _refuse(f"the number {node.name:.60} is too large, or has too many digits")
        elif isinstance(node, exp.In) and not node.expressions and not node.args.get("query"):
            _refuse("IN needs a list: write it as `x IN ('a', 'b')`")
        elif isinstance(node, exp.Cast) and node.args.get("format"):
            _refuse("CAST has no FORMAT in Spark: leave it out")
    if isinstance(tree.unnest(), exp.Column):
        _refuse(f"`{tree.sql('spark')}` is a raw column as it is: write it under mappings")


def _fits(number: str) -> bool:
    return sum(map(str.isdigit, number)) <= DIGITS and math.isfinite(float(number))


def _refuse_function(name: str) -> NoReturn:
    _refuse(f"the function {name.lower()} cannot be in an expression{nearest(name.lower(), FUNCTION_NAMES)}")


def _named(node: exp.Expr) -> str:
    return {"Subquery": "a subquery", "Select": "a subquery", "Star": "*", "Alias": "an alias"}.get(
        type(node).__name__, f"`{type(node).__name__.lower()}`"
    )


def _type_of(tree: exp.Expr, columns: Sequence[Column]) -> exp.DataType | None:
    """What sqlglot can tell of its type; None when it cannot."""
    from sqlglot.optimizer.annotate_types import annotate_types

    types = {column.name: column.type for column in columns}
    typed = _replacing(
        tree,
        exp.Column,
        lambda column: exp.cast(exp.null(), exp.DataType.build(types[column.name], dialect="spark")),
    )
    found = annotate_types(typed, dialect="spark").type
    return found if isinstance(found, exp.DataType) and found.this != exp.DType.UNKNOWN else None


def _total(tree: exp.Expr) -> exp.Expr:
    """The same, but NULL where ANSI mode would fail the whole batch: casts, and divisions by zero."""
    tree = tree.transform(
        lambda node: try_cast(node.this, node.to) if type(node) in (exp.Cast, exp.TryCast) else node, copy=True
    )
    return tree.transform(_without_zero, copy=False)


def _without_zero(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Div | exp.Mod) and not isinstance(node.expression, exp.Nullif):
        divisor = exp.Nullif(this=node.expression, expression=exp.Literal.number(0))
        return type(node)(this=node.this, expression=divisor)
    return node


def _replacing(tree: exp.Expr, kind: type[exp.Expr], replacement: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    return tree.transform(lambda node: replacement(node) if isinstance(node, kind) else node, copy=True)


def _refuse(message: str) -> NoReturn:
    raise ExpressionError(message)
