"""What a mapping says of corrections and audits, and the ranges by which a MERGE is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.audits import AUDITS, Rule
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.mapping.statements import Bounds, joined
from schemahub_lib.schemas import Table
from tests.mapping.test_spec import COINBASE

T0 = datetime(2024, 2, 8, 12, tzinfo=UTC)


def parsed(more: str, raw_tables: Mapping[str, Table]) -> MappingSpec:
    return parse_mapping(COINBASE + more, "coinbase.yaml", raw_tables)


def test_without_a_word_corrections_are_ignored_and_audits_are_as_declared(raw_tables: Mapping[str, Table]) -> None:
    spec = parsed("", raw_tables)
    assert spec.on_conflict == "ignore"
    assert spec.audits == {name: Rule(audit.severity, audit.limit) for name, audit in AUDITS.items()}


def test_each_audit_may_have_a_severity_and_a_limit_of_its_own(raw_tables: Mapping[str, Table]) -> None:
    audits = "  positive: warn\n  volume_jump: off\n  price_jump: {severity: block, limit: 1.2}\n"
    spec = parsed(f"\non_conflict: update\naudits:\n{audits}", raw_tables)
    assert spec.on_conflict == "update"
    assert (spec.audits["positive"], spec.audits["volume_jump"]) == (Rule("warn"), Rule("off", 20.0))
    assert spec.audits["price_jump"] == Rule("block", 1.2)
    assert spec.audits["unique_key"] == Rule("block")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("on_conflict: updated", "19:14: 'on_conflict' cannot be the str `updated`; did you mean 'update'?"),
        ("on_conflict: [update]", "19:14: 'on_conflict' cannot be a list; choose one of ignore, update, quarantine"),
        ("audits:\n  positiv: warn", "20:3: unknown audit 'positiv'; did you mean 'positive'?"),
        ("audits:\n  positive: no", "20:13: 'positive' cannot be the bool `no`; choose one of block, warn, off"),
        ("audits:\n  positive: {limit: 2}", "20:14: this audit has no limit: remove this line"),
        ("audits:\n  price_jump: {limit: 0.5}", "20:23: the limit must be a number above 1, not the float `0.5`"),
        ("audits:\n  price_jump: {limit: much}", "20:23: the limit must be a number above 1, not the str `much`"),
        ("audits:\n  price_jump: {factor: 2}", "20:16: unknown setting 'factor'; choose one of severity, limit"),
        ("audits: block", "19:9: expected `audit: value` lines, not the str `block`"),
    ],
)
def test_a_slip_is_told_with_its_place(more: str, told: str, raw_tables: Mapping[str, Table]) -> None:
    with pytest.raises(MappingError) as refused:
        parsed(more + "\n", raw_tables)
    assert f"coinbase.yaml:{told}" in str(refused.value)


ranges = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 300)).map(
        lambda pair: (T0 + timedelta(minutes=pair[0]), T0 + timedelta(minutes=pair[0] + pair[1]))
    ),
    min_size=1,
    max_size=40,
)


@given(ranges, st.integers(1, 8))
def test_joined_ranges_hold_all_that_they_were_made_of_apart_and_few(
    parts: list[tuple[datetime, datetime]], most: int
) -> None:
    found = joined(parts, timedelta(minutes=10), most)
    assert len(found) <= most
    assert all(any(start <= low and high <= end for start, end in found) for low, high in parts)
    assert all(later[0] - earlier[1] > timedelta(minutes=10) for earlier, later in pairwise(found))
    assert {edge for part in found for edge in part} <= {edge for part in parts for edge in part}


def test_only_the_nearest_are_joined_when_there_are_too_many() -> None:
    days = [(T0 + timedelta(days=n), T0 + timedelta(days=n, hours=1)) for n in (0, 1, 300, 302)]
    assert joined(days, most=2) == ((days[0][0], days[1][1]), (days[2][0], days[3][1]))


def test_whole_days_are_those_of_utc() -> None:
    bounds = Bounds(((T0 - timedelta(hours=13), T0), (T0 + timedelta(days=3), T0 + timedelta(days=3))), "1", "2")
    day = T0.replace(hour=0)
    last = timedelta(days=1) - timedelta(microseconds=1)
    assert bounds.on_whole_days().ranges == (
        (day - timedelta(days=1), day + last),
        (day + timedelta(days=3), day + timedelta(days=3) + last),
    )
