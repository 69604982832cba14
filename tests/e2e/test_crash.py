"""Killed at any commit, or at any moment: the next run neither loses nor doubles a trade."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state
from tests.e2e.crashing import PREFIX
from tests.e2e.pipelines import NOW, SINCE, lake_at, pipeline, raw_keys, tape, unified
from tests.e2e.support import ROOT, environment

pytestmark = pytest.mark.slow

PRODUCT = {"coinbase": ("BTC-USD",)}
RUN = ("run", "pipeline", "--sources", "coinbase", "--products", "BTC-USD", "--since", "2024-02-08T15:17:00Z")


@pytest.fixture
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.5, rate_limits=False) as simulator:
        yield simulator


def start(env: Mapping[str, str], deadly: int) -> subprocess.Popen[str]:
    """The program with its kill switch, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.crashing", str(deadly), *RUN],
        env=dict(env),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def recovered(lake: Lake, market: Simulator) -> None:
    """One more run, in this process, and everything is there exactly once."""
    reports = pipeline(lake, "coinbase", products=PRODUCT["coinbase"], since=None)
    assert {report.status for report in reports.values()} <= {"ok", "nothing_new"}
    expected = tape(market.urls, products=PRODUCT)
    assert unified(lake) == expected
    assert raw_keys(lake, "coinbase") == dict.fromkeys(expected, 1)
    raw = lake.find("raw_coinbase_trades")
    assert raw is not None
    stream = read_state(raw).streams["BTC-USD"]
    assert stream.watermark.last_trade_id == max((key[2] for key in expected), key=int)
    assert stream.gaps == ()


def test_killed_right_after_any_commit_nothing_is_lost_or_doubled(
    spark_jvm: None, tmp_path: Path, market: Simulator
) -> None:
    begun = tmp_path / "begun"
    counting = start(environment(market.urls, begun), 0)
    _, told = counting.communicate(timeout=240)
    assert counting.returncode == 0, told
    market.advance(120)

    # A warehouse holds absolute paths, so every try moves a fresh copy to the place the first one had.
    kept = shutil.copytree(begun, tmp_path / "kept")
    rehearsal = start(environment(market.urls, begun), 0)
    _, told = rehearsal.communicate(timeout=240)
    commits = [line.removeprefix(PREFIX) for line in told.splitlines() if line.startswith(PREFIX)]
    for needed in ("branched", "marked", "published", "tagged", "merged", "appended", "schemahub_runs"):
        assert any(needed in commit for commit in commits), commits

    for number, commit in enumerate(commits, start=1):
        shutil.rmtree(begun)
        shutil.copytree(kept, begun)
        killed = start(environment(market.urls, begun), number)
        killed.communicate(timeout=240)
        assert killed.returncode == -signal.SIGKILL, f"commit {number} ({commit}) was never reached"
        recovered(lake_at(begun, market.urls), market)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_of_the_first_run_nothing_is_lost_or_doubled(
    spark_jvm: None, tmp_path: Path, market: Simulator, seed: int
) -> None:
    env = environment(market.urls, tmp_path / "w")
    killed = start(env, 0)
    # 5 to 14 s into a run of about 12: from the first table to the last ledger
    time.sleep(random.Random(seed).uniform(5, 14))
    if killed.poll() is None:
        os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=240)
    lake = lake_at(tmp_path / "w", market.urls)
    pipeline(lake, "coinbase", products=PRODUCT["coinbase"], since=SINCE)
    recovered(lake, market)
