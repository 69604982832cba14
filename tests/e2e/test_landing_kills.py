"""Killed at any write, or at any moment: resumed landing ends with every trade once."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import soak
from tests.e2e.tape import TapeServer, with_holes
from tests.soak import PRODUCT, Place, assert_exact, begin, finish, landed, rounds, until

pytestmark = pytest.mark.slow

BACKFILL = ("backfill", "--products", PRODUCT, "--resume", "--checkpoint-s3", "--chunk-size", "200")


@pytest.mark.parametrize(("kinds", "kills"), [(["backfill"], 10), (["ingest"], 4), (["raw"], 5)])
def test_killed_at_random_moments(
    kinds: list[str], kills: int, aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(soak, "MOST_KILLS", kills)
    results = list(until(kills, rounds(1, aws, tmp_path, kinds)))
    assert sum(result.kills for result in results) >= kills


@pytest.fixture(params=["local", "s3"])
def step(request: pytest.FixtureRequest) -> int:
    """Which writes are tried: in S3, where a dead process's claim is waited for, every fourth."""
    return {"local": 1, "s3": 4}[request.param]


@pytest.fixture
def make_place(
    request: pytest.FixtureRequest, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[TapeServer], Place]:
    aws: Mapping[str, str] | None = request.getfixturevalue("aws") if step > 1 else None
    for name, value in (aws or {}).items():
        monkeypatch.setenv(name, value)
    numbers = itertools.count()

    def make(server: TapeServer) -> Place:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Place.make(folder, server, aws)

    return make


def test_a_backfill_killed_after_any_write_while_trades_go_on_lands_each_once(
    make_place: Callable[[TapeServer], Place], step: int
) -> None:
    for deadly in itertools.count(1, step):
        with TapeServer(BTC_USD=with_holes(2000, (900, 1500), singly=(600, 601))) as server:
            tape = server.tapes[PRODUCT]
            ids = tape.ids.copy()
            place = make_place(server)
            killed = finish(begin(place, 500, *BACKFILL, *place.flags, KILL_AFTER=str(deadly)))
            if killed.returncode == 0:
                break
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            tape.add(range(2001, 2010))  # the exchange does not wait
            ended = finish(begin(place, 500, *BACKFILL, *place.flags))
            assert ended.returncode == 0, ended.stderr
            found = landed(place.store)
            assert_exact(found, [number for number in tape.ids if number <= max(found)])
            assert max(found) == ids[-1] or deadly == 1  # the claim in S3 comes before the first checkpoint
    assert deadly > 7


def test_an_ingest_killed_after_any_write_lands_each_trade_once(
    make_place: Callable[[TapeServer], Place], step: int
) -> None:
    for deadly in itertools.count(1, step):
        apart = timedelta(milliseconds=20)
        start = datetime.now(UTC) - 2500 * apart  # as long as the window of the cold start, which moves on
        with TapeServer(start=start, apart=apart, BTC_USD=with_holes(2500, (1500, 1700))) as server:
            tape = server.tapes[PRODUCT]
            place = make_place(server)
            command = ("ingest", PRODUCT, "--limit", "200", "--cold-start-window", "50s", *place.flags)
            killed = finish(begin(place, 600, *command, KILL_AFTER=str(deadly)))
            if killed.returncode == 0:
                break
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            tape.add(range(2501, 4000))
            ended = finish(begin(place, 600, *command))
            assert ended.returncode == 0, ended.stderr
            found = landed(place.store)
            assert_exact(found, [number for number in tape.ids if number >= min(found)])
    assert deadly > 5


def test_what_a_kill_leaves_behind_is_no_object(tmp_path: Path) -> None:
    with TapeServer(BTC_USD=range(1, 3001)) as server:
        place = Place.make(tmp_path, server, None)
        killed = finish(begin(place, 1000, *BACKFILL, *place.flags, KILL_AFTER="2"))
        assert killed.returncode == -signal.SIGKILL
        before = landed(place.store)
        ended = finish(begin(place, 1000, *BACKFILL, *place.flags, "--json"))
        (outcome,) = json.loads(ended.stdout)
        assert outcome["trades"] + len(before) >= 3000
        assert_exact(landed(place.store), range(1, 3001))


@pytest.mark.parametrize("then", [("--limit", "150"), ("--limit", "1000"), ("--limit", "200", "--after", "2300")])
def test_an_ingest_that_comes_less_far_than_one_that_was_killed_lands_nothing_twice(
    tmp_path: Path, then: tuple[str, ...]
) -> None:
    with TapeServer(start=datetime.now(UTC) - timedelta(hours=1), BTC_USD=range(1, 2501)) as server:
        place = Place.make(tmp_path, server, None)
        ingest = ("ingest", PRODUCT, "--cold-start-window", "2h", *place.flags)
        killed = finish(begin(place, 2100, *ingest, "--limit", "200", KILL_AFTER="2"))  # the object, not the watermark
        assert killed.returncode == -signal.SIGKILL
        assert len(landed(place.store)) >= 2000
        assert finish(begin(place, 600, *ingest, *then)).returncode == 0
        assert finish(begin(place, 600, *ingest)).returncode == 0
        assert_exact(landed(place.store), range(1, 2501))


def test_a_backfill_that_comes_less_far_than_one_that_was_killed_lands_nothing_twice(tmp_path: Path) -> None:
    with TapeServer(BTC_USD=range(1, 3001)) as server:
        place = Place.make(tmp_path, server, None)
        killed = finish(begin(place, 2000, *BACKFILL, *place.flags, KILL_AFTER="2"))
        assert killed.returncode == -signal.SIGKILL
        assert len(landed(place.store)) >= 1800
        since = ("--since", "2024-01-01T00:00:02")
        assert finish(begin(place, 500, *BACKFILL, *place.flags, *since)).returncode == 0
        ended = finish(begin(place, 700, *BACKFILL, *place.flags))
        assert ended.returncode == 0, ended.stderr
        assert_exact(landed(place.store), range(1, 3001))
