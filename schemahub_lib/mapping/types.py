"""The type of an expression, as Spark works it out, and refused where Spark would refuse it or fail on a value.

What Spark would convert on its own, text to a number say, is refused too: in ANSI mode it fails on the first value that
it cannot convert, where a cast that is written out gives NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sqlglot import exp

from schemahub_lib.mapping.functions import (
    ANY,
    CONDITION,
    FUNCTIONS,
    NUMBER,
    NUMBERS,
    TEXT,
    Argument,
    Type,
    check_like,
    compiled,
    refuse,
)

_CASTS: tuple[Type, ...] = ("STRING", "DOUBLE", "INT", "BIGINT", "BOOLEAN", "TIMESTAMP", "DECIMAL")
_DIGITS = 38  # of a DECIMAL


def type_of(node: exp.Expr, columns: Mapping[str, Type]) -> Type:
    """The type of an expression over `columns`. Raises ExpressionError for what does not fit together."""

    def of(inner: exp.Expr) -> Type:
        return type_of(inner, columns)

    match node:
        case exp.Column():
            return columns[node.name]
        case exp.Literal():
            return "STRING" if node.is_string else _type_of_number(node.name)
        case exp.Null():
            return "NULL"
        case exp.Boolean():
            return "BOOLEAN"
        case exp.Paren():
            return of(node.this)
        case exp.Neg():
            return _need(NUMBER, node.this, of(node.this))
        case exp.Cast():
            return _cast(node, of(node.this))
        case exp.Anonymous():
            return _call(node, [of(argument) for argument in node.expressions])
        case exp.Not():
            _conditions(columns, node.this)
            return "BOOLEAN"
        case exp.And() | exp.Or():
            _conditions(columns, node.this, node.expression)
            return "BOOLEAN"
        case exp.Case():
            return _case(node, columns)
        case exp.Like() | exp.RegexpLike():
            _need(TEXT, node.this, of(node.this))
            (compiled if isinstance(node, exp.RegexpLike) else check_like)(node.expression)
            return "BOOLEAN"
        case exp.DPipe():
            for part in (node.this, node.expression):
                _need(TEXT, part, of(part))
            return "STRING"
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Div() | exp.Mod():
            parts = (node.this, node.expression)
            widest = _common(node, [_need(NUMBER, part, of(part)) for part in parts])
            return "DOUBLE" if isinstance(node, exp.Div) and widest in ("INT", "BIGINT", "NULL") else widest
        case exp.In():
            _common(node, [of(part) for part in (node.this, *node.expressions)])
            return "BOOLEAN"
        case exp.Between():
            _common(node, [of(part) for part in (node.this, node.args["low"], node.args["high"])])
            return "BOOLEAN"
        case _:  # a comparison
            _common(node, [of(node.this), of(node.expression)])
            return "BOOLEAN"


def _need(place: Argument, node: exp.Expr, given: Type) -> Type:
    if given not in (*place.types, "NULL"):
        shown = node.sql("spark")
        how = f": write CAST({shown} AS {place.name})" if may_cast(given, place.name) else ""
        refuse(f"`{shown}` is {given}, and {place.name} is needed there{how}")
    return given


def may_cast(given: Type, wanted: str) -> bool:
    """Whether a cast means the same in every session, and on every day. Times from numbers would be seconds, and the
    text of a time in the session's zone."""
    if wanted == "TIMESTAMP":
        return given in ("STRING", "TIMESTAMP", "NULL")
    return given != "TIMESTAMP"


def _cast(node: exp.Cast, given: Type) -> Type:
    shown = node.to.sql("spark")
    name, _, size = shown.partition("(")
    wanted = next((one for one in _CASTS if one == name), None)
    if wanted is None or (size and wanted != "DECIMAL"):
        refuse(f"CAST cannot be to {shown}: choose one of {', '.join(_CASTS)}")
    if node.args.get("format"):
        refuse("CAST has no FORMAT in Spark: leave it out")
    if size:
        found = re.fullmatch(r"(\d+)(?:, (\d+))?\)", size)
        if not found or not max(1, int(found[2] or 0)) <= int(found[1]) <= _DIGITS:
            refuse(f"there is no {shown}: write DECIMAL(digits, those behind the point), {_DIGITS} at most")
    if not may_cast(given, wanted):
        how = "unix_micros(…)" if given == "TIMESTAMP" else "timestamp_millis(…) or timestamp_micros(…)"
        refuse(f"a cast from {given} to {wanted} would not tell its unit or time zone: write {how}")
    return wanted


def _call(node: exp.Anonymous, given: Sequence[Type]) -> Type:
    name, arguments = node.name.lower(), node.expressions
    function = FUNCTIONS[name]
    places = function.places(len(arguments))
    if places is None:
        refuse(f"`{node.sql('spark')}` has too many or too few arguments: write it as {function.usage(name)}")
    for place, argument, of in zip(places, arguments, given, strict=True):
        if place.check:
            place.check(argument)
        else:
            _need(place, argument, of)
    if function.check:
        function.check(arguments)
    _common(node, [of for place, of in zip(places, given, strict=True) if place is ANY])
    if function.gives is not None:
        return function.gives
    return _common(node, function.kept(given))


def _case(node: exp.Case, columns: Mapping[str, Type]) -> Type:
    ifs = node.args["ifs"]
    if node.this is None:
        if "NULL" in _conditions(columns, *(branch.this for branch in ifs)):  # the one place where Spark takes none
            refuse(f"`{node.sql('spark')}` has NULL for a condition: write CAST(NULL AS BOOLEAN)")
    else:
        _common(node, [type_of(part, columns) for part in (node.this, *(branch.this for branch in ifs))])
    return _common(node, [type_of(branch, columns) for branch in branches(node)])


def branches(node: exp.Case) -> list[exp.Expr]:
    """What a CASE may give."""
    default = node.args.get("default")
    return [*(branch.args["true"] for branch in node.args["ifs"]), *([] if default is None else [default])]


def _conditions(columns: Mapping[str, Type], *parts: exp.Expr) -> list[Type]:
    return [_need(CONDITION, part, type_of(part, columns)) for part in parts]


def _common(node: exp.Expr, types: Iterable[Type]) -> Type:
    """The type that has room for all: the widest of numbers, or the one that they are."""
    told: list[Type] = sorted({of for of in types if of != "NULL"})
    if not told:
        return "NULL"
    if all(of in NUMBERS for of in told):
        return max(told, key=NUMBERS.index)
    if len(told) > 1:
        how = "CAST(… AS …) around one of them"
        if told == ["STRING", "TIMESTAMP"]:
            how = "CAST(… AS TIMESTAMP) around the text, as in 2024-01-31T00:00:00Z"
        refuse(f"`{node.sql('spark')}` puts {' and '.join(told)} together: write {how}")
    return told[0]


def _type_of_number(number: str) -> Type:
    if "e" in number.lower():
        return "DOUBLE"
    if "." in number:
        return "DECIMAL"
    return "INT" if int(number) < 2**31 else "BIGINT" if int(number) < 2**63 else "DECIMAL"
