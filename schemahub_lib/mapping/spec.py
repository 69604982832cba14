"""What a mapping file says, once it is found valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp

from schemahub_lib.mapping.audits import AUDITS, Rule
from schemahub_lib.mapping.transforms import Transform
from schemahub_lib.schemas import Column

OnConflict = Literal["ignore", "update", "quarantine"]
ON_CONFLICT: tuple[OnConflict, ...] = ("ignore", "update", "quarantine")


@dataclass(frozen=True)
class Constant:
    """A value every row of the source gets."""

    value: str | int | float | bool


@dataclass(frozen=True)
class Expression:
    """A Spark SQL expression over raw columns: as it is written, and as it is compiled."""

    text: str
    tree: exp.Expr


@dataclass(frozen=True)
class ColumnMapping:
    """Where one target column comes from. `transform` is the one named in the file, needed or not; `default` is what a
    row gets for NULL."""

    target: str
    origin: Column | Constant | Expression
    transform: Transform | None = None
    default: Constant | None = None


def default_rules() -> dict[str, Rule]:
    """Each audit as it is declared."""
    return {audit.name: Rule(audit.severity, audit.limit) for audit in AUDITS.values()}


@dataclass(frozen=True)
class MappingSpec:
    """One valid mapping file. `columns` are in target order and hold only what the file maps.

    Rows that do not meet all of `filters` are left out. `on_conflict` tells what becomes of a key that comes again with
    other values; `audits` has a rule for each audit.
    """

    file: str
    source: str
    target_table: str
    columns: tuple[ColumnMapping, ...]
    filters: tuple[Expression, ...] = ()
    on_conflict: OnConflict = "ignore"
    audits: Mapping[str, Rule] = field(default_factory=default_rules)
    description: str = ""
    owner: str = ""

    def makes_the_same_as(self, other: MappingSpec) -> bool:
        """Whether the rows of both are the same: files, words and audits may differ."""
        return (self.source, self.target_table, self.columns, self.filters, self.on_conflict) == (
            *(other.source, other.target_table, other.columns, other.filters, other.on_conflict),
        )

    @property
    def by_target(self) -> dict[str, ColumnMapping]:
        """The mapped columns by target name."""
        return {column.target: column for column in self.columns}
