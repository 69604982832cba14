"""Two unifies, a restatement and maintenance race in processes of their own, and are killed: `trades_unified` is exact,
and whole to whoever reads it meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.unified_races import Fleet, Race, fleet, place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def writers(aws: dict[str, str]) -> Iterator[Fleet]:
    with fleet(aws) as started:
        yield started


@pytest.mark.parametrize("profile", ["local", "glue"])
def test_racing_and_killed_writers_leave_exactly_the_trades_and_show_no_half_publish(
    profile: str, tmp_path: Path, aws: dict[str, str], writers: Fleet
) -> None:
    race = Race(place(profile, tmp_path / profile, aws), writers, random.Random(1))
    # The lock is waited for however slow the machine is: without it, as in the soak, most of the work is done again.
    race.run(lambda tally: tally.each(1), patience=600)
    race.assert_no_branches()
    race.run(lambda tally: tally.kills.total() >= 2, patience=600, kill_every=2)
    race.settle()
    race.assert_exact()
    assert race.tally.heads > 5, race.tally
