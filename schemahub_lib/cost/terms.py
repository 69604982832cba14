"""Numbers that remember how they came about, so that a formula shown is the one that was reckoned."""

from __future__ import annotations

import math
from dataclasses import dataclass

# How tightly a text holds together: what a formula is, seen from its outermost operation.
SUM, PRODUCT, ATOM = range(3)
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Term:
    """A value and the formula it is the value of: numbers with units, their sums, products and quotients, and the
    functions below."""

    value: float
    text: str
    shape: int = ATOM

    def __add__(self, other: Term) -> Term:
        return Term(self.value + other.value, f"{self.text} + {other.text}", SUM)

    def __mul__(self, other: Term) -> Term:
        return Term(self.value * other.value, f"{self._within(PRODUCT)} {TIMES} {other._within(PRODUCT)}", PRODUCT)

    def __truediv__(self, other: Term) -> Term:
        return Term(self.value / other.value, f"{self._within(PRODUCT)} ÷ {other._within(ATOM)}", PRODUCT)

    def _within(self, shape: int) -> str:
        return self.text if self.shape >= shape else f"({self.text})"


def number(value: float, unit: str = "") -> Term:
    """`1,460 runs`; dollars are written `$0.44`."""
    plain = 1e-4 <= abs(value) < 1e10 or not value  # what is not would be shown with an exponent
    text = f"{value:,.10g}" if plain else f"{value:,.10f}".rstrip("0").rstrip(".")
    return Term(value, f"${text}" if unit == "$" else f"{text} {unit}".rstrip())


def at_least(minimum: Term, term: Term) -> Term:
    return Term(max(minimum.value, term.value), f"max({minimum.text}, {term.text})")


def rounded_up(term: Term) -> Term:
    return Term(math.ceil(term.value), f"ceil({term.text})")
