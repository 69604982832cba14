"""The prices and figures of this folder's YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from schemahub_lib.cost.terms import Term, number
from schemahub_lib.errors import UsageError


@dataclass(frozen=True)
class Price:
    """The dollars that `per` of `unit` cost in a region. `checked` is whether it was looked up: `as_of` when, by the
    `source` it was read in."""

    name: str
    service: str
    unit: str
    page: str
    dollars: float
    per: int = 1
    as_of: str | None = None
    source: str | None = None
    checked: bool = True

    @property
    def term(self) -> Term:
        price = number(self.dollars, "$")
        return price if self.per == 1 else price / number(self.per)


@dataclass(frozen=True)
class Figure:
    """A quantity of a run, and where it comes from: measured, documented or assumed."""

    name: str
    term: Term
    source: str


def load_prices(region: str) -> dict[str, Price]:
    """By name. Raises UsageError for a region without prices."""
    entries: Mapping[str, Any] = _read("prices.yaml")["prices"]
    regions = {key for entry in entries.values() for key, value in entry.items() if isinstance(value, dict)}
    if region not in regions:
        raise UsageError(f"there are no prices for region {region!r}: choose one of {', '.join(sorted(regions))}")
    return {
        name: Price(
            name=name,
            service=entry["service"],
            unit=entry["unit"],
            page=entry["page"],
            dollars=entry[region]["price"],
            per=entry.get("per", 1),
            as_of=str(entry[region]["as_of"]) if "as_of" in entry[region] else None,
            source=entry[region].get("source"),
            checked=entry[region].get("checked", True),
        )
        for name, entry in entries.items()
    }


def looked_up() -> str:
    """The day on which the prices were looked up."""
    return str(_read("prices.yaml")["looked_up"])


def load_figures() -> dict[str, Figure]:
    return {
        name: Figure(name, number(entry["value"], entry["unit"]), entry["from"])
        for name, entry in _read("figures.yaml").items()
    }


@cache
def _read(name: str) -> Any:
    import yaml

    return yaml.safe_load((resources.files(__package__) / name).read_text(encoding="utf-8"))
