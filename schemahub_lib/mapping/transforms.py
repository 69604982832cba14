"""The transforms a mapping may name, each declared once as data: what it reads, what it gives, what becomes of NULL.

All of them are total: a value they cannot read becomes NULL (never an error, in ANSI mode neither), and NULL stays
NULL. Rows whose required columns are NULL are the audit's business, not the transform's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from schemahub_lib.mapping.sql import try_cast
from schemahub_lib.schemas import SqlType


@dataclass(frozen=True)
class Transform:
    """A named function from one raw column to one target column.

    With `converts`, a raw column that already has the output type satisfies the transform and is left as it is.
    `reads` and `gives` are meanings (`mapping.meanings`): what it takes its input to be, and what its output is.
    Without `reads` any will do, and without `gives` the output means what the input does.
    """

    name: str
    inputs: tuple[SqlType, ...]
    output: SqlType
    meaning: str
    nulls: str
    build: Callable[[exp.Expr], exp.Expr]
    converts: bool = False
    reads: str = ""
    gives: str = ""

    def accepts(self, raw_type: SqlType) -> bool:
        """Whether a raw column of `raw_type` may be given to this transform."""
        return raw_type in self.inputs or self.satisfied_by(raw_type)

    def satisfied_by(self, raw_type: SqlType) -> bool:
        """Whether there is nothing left to convert in a raw column of `raw_type`."""
        return self.converts and raw_type == self.output

    def apply(self, value: exp.Expr, raw_type: SqlType) -> exp.Expr:
        """The SQL of this transform over `value`, an expression of type `raw_type`."""
        return value if self.satisfied_by(raw_type) else self.build(value)


def _epoch(microseconds_per_unit: str) -> Callable[[exp.Expr], exp.Expr]:
    """Through DECIMAL, so that neither '1762795433.9717445' seconds nor 19 digits of nanoseconds lose a microsecond."""

    def build(value: exp.Expr) -> exp.Expr:
        number = try_cast(value, "DECIMAL(28, 9)")
        microseconds = exp.Mul(this=number, expression=exp.Literal.number(microseconds_per_unit))
        return exp.func("TIMESTAMP_MICROS", try_cast(microseconds, "BIGINT"), dialect="spark")

    return build


# Spark's own cast would read '12:30' as today and a text without offset in the session's time zone.
_ISO8601 = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
_WITHOUT_OFFSET = "^([0-9-]{10}[T ][0-9:.]+)$"


def _iso8601(value: exp.Expr) -> exp.Expr:
    in_utc = exp.RegexpReplace(
        this=value.copy(), expression=exp.Literal.string(_WITHOUT_OFFSET), replacement=exp.Literal.string("$1Z")
    )
    is_iso = exp.RegexpLike(this=value, expression=exp.Literal.string(_ISO8601))
    return exp.Case().when(is_iso, try_cast(in_utc, "TIMESTAMP"))


def _text(function: type[exp.Func]) -> Callable[[exp.Expr], exp.Expr]:
    return lambda value: function(this=value)


def _cast_to(sql_type: SqlType) -> Callable[[exp.Expr], exp.Expr]:
    return lambda value: try_cast(value, sql_type)


def _choose(buy: exp.Expr, sell: exp.Expr, *, ignore_case: bool) -> Callable[[exp.Expr], exp.Expr]:
    """BUY where the value equals `buy`, SELL where it equals `sell`, NULL for anything else."""

    def build(value: exp.Expr) -> exp.Expr:
        subject = exp.Upper(this=exp.Trim(this=value)) if ignore_case else value
        return exp.Case(this=subject).when(buy, exp.Literal.string("BUY")).when(sell, exp.Literal.string("SELL"))

    return build


_EPOCH_NULLS = "NULL for text that is not a number; what is finer than a microsecond is cut off"
_EPOCHS = tuple(
    Transform(
        name,
        inputs=("BIGINT", "STRING"),
        output="TIMESTAMP",
        meaning=f"{unit} since 1970-01-01 UTC, exactly, to a timestamp",
        nulls=_EPOCH_NULLS,
        build=_epoch(microseconds_per_unit),
        converts=True,
        reads=name.replace("from", "epoch"),
        gives="time",
    )
    for name, unit, microseconds_per_unit in (
        ("from_s", "seconds", "1000000"),
        ("from_ms", "milliseconds", "1000"),
        ("from_us", "microseconds", "1"),
        ("from_ns", "nanoseconds", "0.001"),
    )
)
_SIDE_NULLS = "NULL for any other value"

TRANSFORMS = {
    transform.name: transform
    for transform in (
        *_EPOCHS,
        Transform(
            "iso8601",
            inputs=("STRING",),
            output="TIMESTAMP",
            meaning="ISO 8601 date and time to a timestamp; without an offset it is UTC",
            nulls="NULL for text that is not an ISO 8601 date and time; digits beyond microseconds are cut off",
            build=_iso8601,
            converts=True,
        ),
        Transform(
            "to_double",
            inputs=("STRING", "BIGINT"),
            output="DOUBLE",
            meaning="a number in text, or an integer, to DOUBLE",
            nulls="NULL for text that is not a number",
            build=_cast_to("DOUBLE"),
            converts=True,
        ),
        Transform(
            "to_decimal",
            inputs=("STRING", "BIGINT", "DOUBLE"),
            output="DECIMAL(38, 18)",
            meaning="a number to DECIMAL(38, 18), digit for digit where it comes as text",
            nulls="NULL for text that is not a number, and for numbers of more than 20 digits before the point",
            build=_cast_to("DECIMAL(38, 18)"),
            converts=True,
        ),
        Transform(
            "to_string",
            # Not DOUBLE (1.0E9) nor TIMESTAMP (the session's time zone): their text is not the exchange's.
            inputs=("BIGINT", "BOOLEAN"),
            output="STRING",
            meaning="the value as text: 42, true",
            nulls="NULL only for NULL",
            build=_cast_to("STRING"),
            converts=True,
        ),
        Transform("upper", ("STRING",), "STRING", "text in upper case", "NULL only for NULL", _text(exp.Upper)),
        Transform("lower", ("STRING",), "STRING", "text in lower case", "NULL only for NULL", _text(exp.Lower)),
        Transform(
            "trim", ("STRING",), "STRING", "text without spaces around it", "NULL only for NULL", _text(exp.Trim)
        ),
        Transform(
            "taker_from_maker",
            inputs=("STRING",),
            output="STRING",
            meaning="the maker's side (buy or sell, any case) to the taker's, which is the opposite",
            nulls=_SIDE_NULLS,
            build=_choose(exp.Literal.string("SELL"), exp.Literal.string("BUY"), ignore_case=True),
            reads="maker_side",
            gives="taker_side",
        ),
        Transform(
            "taker_from_is_buyer_maker",
            inputs=("BOOLEAN",),
            output="STRING",
            meaning="true, the buyer's order was resting, to SELL; false to BUY",
            nulls=_SIDE_NULLS,
            build=_choose(exp.false(), exp.true(), ignore_case=False),
            reads="is_buyer_maker",
            gives="taker_side",
        ),
        Transform(
            "taker_from_code",
            inputs=("STRING",),
            output="STRING",
            meaning="the taker's side as a letter, b or s in any case, to BUY or SELL",
            nulls=_SIDE_NULLS,
            build=_choose(exp.Literal.string("B"), exp.Literal.string("S"), ignore_case=True),
            reads="taker_code",
            gives="taker_side",
        ),
    )
}
