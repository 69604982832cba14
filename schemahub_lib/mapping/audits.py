"""The audits of a unified table, each declared once as data: what it holds rows to, and what happens where it fails.

They run on the branch of a publish, before anybody sees it. A mapping may give each another severity or limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlglot import exp

from schemahub_lib.mapping.sql import timestamp
from schemahub_lib.schemas import Table

Severity = Literal["block", "warn", "off"]
SEVERITIES: tuple[Severity, ...] = ("block", "warn", "off")

FIRST_MOMENT = datetime(2009, 1, 3, tzinfo=UTC)  # Bitcoin's first block: nothing was traded before
AHEAD = timedelta(minutes=5)  # how far an exchange's clock may be ahead of this machine's


@dataclass(frozen=True)
class Audit:
    """`broken` gives, for an audit of single rows, the condition that a wrong row of the target meets.

    `limit` is the ratio that a jump, up or down, must exceed.
    """

    name: str
    severity: Severity
    meaning: str
    broken: Callable[[Table, datetime], exp.Expr | None] | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Rule:
    """How one mapping applies an audit."""

    severity: Severity
    limit: float | None = None


def _null(target: Table, now: datetime) -> exp.Expr | None:
    return _any(exp.column(column.name).is_(exp.null()) for column in target.columns if column.required)


def _not_positive(target: Table, now: datetime) -> exp.Expr | None:
    # NaN is greater than any number in Spark, and Infinity is no price.
    infinity = exp.cast(exp.Literal.string("Infinity"), "DOUBLE")
    return _any(
        exp.not_(exp.paren(exp.and_(exp.column(column.name) > 0, exp.column(column.name) < infinity)))
        for column in target.columns
        if column.positive
    )


def _out_of_time(target: Table, now: datetime) -> exp.Expr:
    return exp.not_(exp.column(target.time_column).between(timestamp(FIRST_MOMENT), timestamp(now + AHEAD)))


def _not_allowed(target: Table, now: datetime) -> exp.Expr | None:
    return _any(exp.not_(exp.column(column.name).isin(*column.allowed)) for column in target.columns if column.allowed)


AUDITS = {
    audit.name: audit
    for audit in (
        Audit("not_null", "block", "required columns have a value", _null),
        Audit("positive", "block", "prices and quantities are finite and greater than zero", _not_positive),
        Audit("time_bounds", "block", "no trade is before 2009, or ahead of the clock by five minutes", _out_of_time),
        Audit("allowed_values", "block", "a side is BUY, SELL or unknown", _not_allowed),
        Audit("unique_key", "block", "each key of the batch is there once on the days it touches"),
        Audit(
            "row_count",
            "block",
            "rows read = inserted + there already + repeated; with those filtered, as many as raw gained",
        ),
        Audit("conflicts", "warn", "a key that came again has the values it had"),
        Audit("volume_jump", "warn", "trades an hour are within the limit of the days before", limit=20.0),
        Audit("price_jump", "warn", "a symbol's average price is within the limit of the days before", limit=2.0),
    )
}


def broken_rows(target: Table, now: datetime) -> dict[str, exp.Expr]:
    """For each audit of single rows, the condition that a wrong row of `target` meets."""
    found = {audit.name: audit.broken(target, now) for audit in AUDITS.values() if audit.broken}
    return {name: condition for name, condition in found.items() if condition is not None}


def _any(conditions: Iterator[exp.Expr]) -> exp.Expr | None:
    found = list(conditions)
    return exp.or_(*found) if found else None
