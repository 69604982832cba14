"""Numbers that remember how they came about."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.cost.terms import Term, at_least, number, rounded_up
from tests.cost.formulas import OVER, TIMES, worth

numbers = st.floats(1e-7, 1e12).map(lambda value: number(value, "units"))


def joined(parts: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda pair: pair[0] + pair[1]),
        pairs.map(lambda pair: pair[0] * pair[1]),
        pairs.map(lambda pair: pair[0] / pair[1]),
        pairs.map(lambda pair: at_least(*pair)),
    )


@given(st.recursive(numbers, joined, max_leaves=8))
def test_a_formula_comes_to_its_value(term: Term) -> None:
    assert worth(term.text) == pytest.approx(term.value, rel=1e-3)


def test_brackets_stand_where_they_are_needed_and_nowhere_else() -> None:
    one, two, three = number(1), number(2, "runs"), number(3, "$")
    assert ((one + two) * three).text == f"(1 + 2 runs) {TIMES} $3"
    assert (one / (two * three)).text == f"1 {OVER} (2 runs {TIMES} $3)"
    assert (one * two / three).text == f"1 {TIMES} 2 runs {OVER} $3"
    assert at_least(one, two + three).text == "max(1, 2 runs + $3)"


def test_pages_are_whole() -> None:
    pages = rounded_up(number(2001, "trades") / number(1000, "a page"))
    assert (pages.value, worth(pages.text)) == (3, 3)


@pytest.mark.parametrize("value", [0, 0.0000166667, 4e-7, 0.44, 1460, 465_000_000, 1e12, math.pi])
def test_no_number_is_written_with_an_exponent(value: float) -> None:
    assert "e" not in number(value).text
    assert worth(number(value).text) == pytest.approx(value, rel=1e-3)
