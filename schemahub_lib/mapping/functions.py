"""The functions an expression may call, each declared once as data: what it takes and gives, whose meaning it keeps.

Each is total over what it takes, or made so by `expressions`; none depends on the session or the day.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeVar

from sqlglot import exp

Kept = TypeVar("Kept")
# DECIMAL of any precision; NULL is what a bare NULL is, and fits everywhere.
Type = Literal["STRING", "DOUBLE", "DECIMAL", "BIGINT", "INT", "BOOLEAN", "TIMESTAMP", "NULL"]
NUMBERS: tuple[Type, ...] = ("INT", "BIGINT", "DECIMAL", "DOUBLE")  # each has room for those before it

_CLASS_OR_ESCAPED = re.compile(r"\\[^0U]|\[\^?\]?(\\[^0Ub]|[^\[\]\\])*\]", re.DOTALL)
_NOT_IN_JAVA = re.compile(r"\(\?([P#(]|[a-zA-Z]*[aL])|\{(?!\d+(,\d*)?\})|\\[0U]|\[")
_ESCAPED = re.compile(r"\\.", re.DOTALL)


class ExpressionError(Exception):
    """An expression is refused. The message says why and what to write."""


@dataclass(frozen=True)
class Argument:
    """What must be in a place of a call, by the name to write; `check` raises ExpressionError for a wrong literal."""

    name: str
    types: tuple[Type, ...] = ()
    check: Callable[[exp.Expr], object] | None = None


# Bounds of a slice.
_NONE, _FIRST, _BUT_FIRST, _EACH = (0, 0), (0, 1), (1, None), (0, None)


@dataclass(frozen=True)
class Function:
    """The last `optional` arguments may be left out; with `more` the last may be repeated. Those that may be any value
    must be of one kind.

    It `keeps` those it hands on, respelled or chosen among: their meaning is the result's, and so is their type unless
    `gives` tells another. `becomes` tells what that meaning is then, and has all that may be given; where it is empty,
    each stays as it is. `check` looks at the arguments together.
    """

    takes: tuple[Argument, ...]
    gives: Type | None = None
    keeps: tuple[int, int | None] = _NONE
    optional: int = 0
    more: bool = False
    becomes: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Sequence[exp.Expr]], None] | None = None

    def kept(self, arguments: Sequence[Kept]) -> Sequence[Kept]:
        """Of its arguments, or of what is known of each, those it keeps."""
        return arguments[slice(*self.keeps)]

    def usage(self, name: str) -> str:
        """A call as one would write it: `lpad(STRING, width[, STRING])`."""
        needed = len(self.takes) - self.optional
        told = [argument.name for argument in self.takes]
        more = "".join(f"[, {argument}]" for argument in told[needed:]) + (", ..." if self.more else "")
        return f"{name}({', '.join(told[:needed])}{more})"

    def places(self, count: int) -> tuple[Argument, ...] | None:
        """What each of `count` arguments must be; None when that is not how many it takes."""
        if self.more and count > len(self.takes):
            return (*self.takes, *self.takes[-1:] * (count - len(self.takes)))
        return self.takes[:count] if len(self.takes) - self.optional <= count <= len(self.takes) else None


def refuse(message: str) -> NoReturn:
    raise ExpressionError(message)


def compiled(node: exp.Expr) -> re.Pattern[str]:
    """A literal pattern of a regular expression. Raises ExpressionError for what Java, or Python, cannot read.

    Spark's are Java's. Python's are near enough to tell what is plainly broken; what only one of them reads is refused.
    """
    text = _text(node, "a pattern")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pattern = re.compile(text)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError) as error:
        refuse(f"the pattern '{text}' is not one that both Python and Java read: {error}")
    if found := _NOT_IN_JAVA.search(_CLASS_OR_ESCAPED.sub("x", text)):
        refuse(f"Java does not read `{found.group()}` of the pattern '{text}': write a \\ before it, or leave it out")
    return pattern


def check_like(node: exp.Expr) -> None:
    """Raises ExpressionError for a LIKE pattern that Spark would stop at."""
    text = _text(node, "a LIKE pattern")
    if "\\" in re.sub(r"\\[\\_%]", "", text):
        refuse(f"the LIKE pattern '{text}' has a backslash before something else than %, _ or a backslash: double it")


def _text(node: exp.Expr, what: str) -> str:
    if not (isinstance(node, exp.Literal) and node.is_string):
        refuse(f"{what} must be text in quotes, not `{node.sql('spark')}`")
    return str(node.this)


def _path(node: exp.Expr) -> None:
    if not _text(node, "a path").startswith("$"):
        refuse(f"the path '{node.name}' must begin with $, as in '$.a.b[0]'")


def _replacement(node: exp.Expr) -> None:
    text = _text(node, "a replacement")
    if re.search(r"\$(?!\d)|\\", _ESCAPED.sub("", text)):
        refuse(f"the replacement '{text}' must have a number after each $, and a character after each backslash")


def _whole(low: int, high: int) -> Callable[[exp.Expr], int]:
    def check(node: exp.Expr) -> int:
        value = node.this if isinstance(node, exp.Neg) else node
        if isinstance(value, exp.Literal) and value.is_int:
            number = int(value.name) * (-1 if isinstance(node, exp.Neg) else 1)
            if low <= number <= high:
                return number
        refuse(f"`{node.sql('spark')}` must be a whole number from {low} to {high}, written out")

    return check


_group = _whole(0, 99)


def _has_the_group(arguments: Sequence[exp.Expr]) -> None:
    group = _group(arguments[2]) if len(arguments) > 2 else 1
    _check_group(arguments[1], group)


def _has_the_groups(arguments: Sequence[exp.Expr]) -> None:
    for number in re.findall(r"\$(\d)", _ESCAPED.sub("", arguments[2].name)):
        _check_group(arguments[1], int(number))


def _check_group(pattern: exp.Expr, group: int) -> None:
    groups = compiled(pattern).groups
    if group > groups:
        refuse(f"the pattern '{pattern.name}' has {groups} groups, so there is no group {group}: put (…) around it")


ANY = Argument("value", ("STRING", "BOOLEAN", "TIMESTAMP", *NUMBERS))
TEXT = Argument("STRING", ("STRING",))
NUMBER = Argument("DOUBLE", NUMBERS)
CONDITION = Argument("BOOLEAN", ("BOOLEAN",))
_WHOLE = Argument("BIGINT", ("INT", "BIGINT"))
_NO_DECIMAL = Argument("DOUBLE", ("INT", "BIGINT", "DOUBLE"))  # of a DECIMAL Spark gives a DECIMAL
_COUNT = Argument("INT", ("INT",))
_TIME = Argument("TIMESTAMP", ("TIMESTAMP",))
_PATTERN = Argument("'pattern'", check=compiled)
_REPLACEMENT = Argument("'replacement'", check=_replacement)
_PATH = Argument("'$.path'", check=_path)
_GROUP = Argument("group", check=_group)
_PLACES = Argument("places", check=_whole(-38, 38))
_WIDTH = Argument("width", check=_whole(0, 1000))
_UNIX_MICROS = {"time": "epoch_us", "ingest_time": "ingest_time", "": ""}

# By the name to write.
FUNCTIONS: dict[str, Function] = {
    "abs": Function((NUMBER,), keeps=_FIRST),
    "ceil": Function((_NO_DECIMAL,), "BIGINT", _FIRST),
    "coalesce": Function((ANY,), keeps=_EACH, more=True),
    "concat": Function((TEXT,), "STRING", more=True),
    "floor": Function((_NO_DECIMAL,), "BIGINT", _FIRST),
    "get_json_object": Function((TEXT, _PATH), "STRING"),
    "greatest": Function((ANY, ANY), keeps=_EACH, more=True),
    "if": Function((CONDITION, ANY, ANY), keeps=_BUT_FIRST),
    "least": Function((ANY, ANY), keeps=_EACH, more=True),
    "left": Function((TEXT, _COUNT), "STRING", _FIRST),
    "length": Function((TEXT,), "INT"),
    "lower": Function((TEXT,), "STRING", _FIRST),
    "lpad": Function((TEXT, _WIDTH, TEXT), "STRING", _FIRST, optional=1),
    "nullif": Function((ANY, ANY), keeps=_FIRST),
    "regexp_extract": Function((TEXT, _PATTERN, _GROUP), "STRING", optional=1, check=_has_the_group),
    "regexp_replace": Function((TEXT, _PATTERN, _REPLACEMENT), "STRING", _FIRST, check=_has_the_groups),
    "replace": Function((TEXT, TEXT, TEXT), "STRING", _FIRST, optional=1),
    "right": Function((TEXT, _COUNT), "STRING", _FIRST),
    "round": Function((NUMBER, _PLACES), keeps=_FIRST, optional=1),
    "rpad": Function((TEXT, _WIDTH, TEXT), "STRING", _FIRST, optional=1),
    "substring": Function((TEXT, _COUNT, _COUNT), "STRING", _FIRST, optional=1),
    "timestamp_micros": Function((_WHOLE,), "TIMESTAMP", _FIRST, becomes={"epoch_us": "time"}),
    "timestamp_millis": Function((_WHOLE,), "TIMESTAMP", _FIRST, becomes={"epoch_ms": "time"}),
    "trim": Function((TEXT,), "STRING", _FIRST),
    "unix_micros": Function((_TIME,), "BIGINT", _FIRST, becomes=_UNIX_MICROS),
    "upper": Function((TEXT,), "STRING", _FIRST),
}
