"""Killed at any commit, or at any moment: the next run neither loses nor doubles a trade."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state
from tests.e2e.crashing import PREFIX
from tests.e2e.pipelines import NOW, raw_keys, tape, unified
from tests.e2e.support import ROOT, environment

pytestmark = pytest.mark.slow

PRODUCT = {"coinbase": ("BTC-USD",)}
RUN = ("run", "pipeline", "--sources", "coinbase", "--products", "BTC-USD", "--since", "2024-02-08T15:17:00Z")


@pytest.fixture
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.5, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def running_spark(tmp_path_factory: pytest.TempPathFactory, aws: dict[str, str]) -> Iterator[dict[str, str]]:
    """A Spark for all processes of this module, as environment variables."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.spark_server", str(tmp_path_factory.mktemp("spark"))],
        cwd=ROOT,
        env=environment({}, "", **aws),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    yield json.loads(next(line for line in server.stdout if line.startswith("{")))  # a JVM talks too
    server.stdin.close()
    server.wait()
    server.stdout.close()


class Place(Protocol):
    """Where a warehouse is. It holds absolute paths, so what is kept of it is put back into the same place."""

    env: dict[str, str]

    def keep(self) -> None: ...
    def put_back(self) -> None: ...


class LocalPlace:
    def __init__(self, folder: Path, market: Simulator) -> None:
        self.folder, self.kept = folder / "warehouse", folder / "kept"
        self.env = environment(market.urls, self.folder)

    def keep(self) -> None:
        shutil.copytree(self.folder, self.kept)

    def put_back(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)


class GluePlace:
    def __init__(self, name: str, market: Simulator, aws: dict[str, str]) -> None:
        self.name = name
        self.s3, self.glue = boto3.client("s3"), boto3.client("glue")
        self.s3.create_bucket(Bucket=name)
        self.env = environment(
            market.urls, f"s3://{name}/warehouse", SCHEMAHUB_PROFILE="glue", SCHEMAHUB_DATABASE=name, **aws
        )
        self.objects: dict[str, bytes] = {}
        self.tables: list[dict[str, Any]] = []

    def keep(self) -> None:
        self.objects = {key: self.s3.get_object(Bucket=self.name, Key=key)["Body"].read() for key in self._keys()}
        known = ("Name", "Parameters", "StorageDescriptor", "TableType")
        for table in self.glue.get_tables(DatabaseName=self.name)["TableList"]:
            self.tables.append({part: table[part] for part in known if part in table})

    def put_back(self) -> None:
        for key in self._keys() - self.objects.keys():
            self.s3.delete_object(Bucket=self.name, Key=key)
        for key in self.objects.keys() - self._keys():
            self.s3.put_object(Bucket=self.name, Key=key, Body=self.objects[key])
        for table in self.glue.get_tables(DatabaseName=self.name)["TableList"]:
            self.glue.delete_table(DatabaseName=self.name, Name=table["Name"])
        for table in self.tables:
            self.glue.create_table(DatabaseName=self.name, TableInput=table)

    def _keys(self) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {entry["Key"] for page in pages for entry in page.get("Contents", ())}


@pytest.fixture(params=["local", "glue"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    market: Simulator,
    aws: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    if request.param == "local":
        return LocalPlace(tmp_path, market)
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    return GluePlace(f"crash{os.getpid()}", market, aws)


def start(env: dict[str, str], deadly: int = 0) -> subprocess.Popen[str]:
    """The program with its kill switch."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.crashing", str(deadly), *RUN],
        env=env,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def commits_of(env: dict[str, str]) -> list[str]:
    """A run to its end: the commits it made."""
    run = start(env)
    _, told = run.communicate(timeout=240)
    assert run.returncode == 0, told
    return [line.removeprefix(PREFIX) for line in told.splitlines() if line.startswith(PREFIX)]


def assert_recovered(env: dict[str, str], market: Simulator) -> None:
    """One more run, and everything is there exactly once."""
    commits_of(env)
    lake, expected = Lake(Settings.load(environment=env)), tape(market.urls, products=PRODUCT)
    assert unified(lake) == expected
    assert raw_keys(lake, "coinbase") == dict.fromkeys(expected, 1)
    raw = lake.find("raw_coinbase_trades")
    assert raw is not None
    stream = read_state(raw).streams["BTC-USD"]
    assert stream.watermark.last_trade_id == max((key[2] for key in expected), key=int)
    assert stream.gaps == ()


def test_killed_right_after_any_commit_nothing_is_lost_or_doubled(
    place: Place, market: Simulator, running_spark: dict[str, str]
) -> None:
    env = place.env | running_spark
    commits_of(env)
    market.advance(120)
    place.keep()
    commits = commits_of(env)
    for needed in ("branch", "run_", "main", "remove-snapshot-ref", "unified_", "merged", "schemahub_runs"):
        assert any(needed in commit for commit in commits), commits
    for number, commit in enumerate(commits, start=1):
        place.put_back()
        killed = start(env, number)
        killed.communicate(timeout=240)
        assert killed.returncode == -signal.SIGKILL, f"commit {number} ({commit}) was never reached"
        assert_recovered(env, market)


@pytest.mark.parametrize("seed", range(3))
def test_killed_with_its_jvm_at_a_random_moment_of_the_first_run_nothing_is_lost_or_doubled(
    tmp_path: Path, market: Simulator, running_spark: dict[str, str], seed: int
) -> None:
    env = LocalPlace(tmp_path, market).env
    killed = start(env)
    # 2 to 12 s into a run of about 12: from the first table to the last ledger
    time.sleep(random.Random(seed).uniform(2, 12))
    if killed.poll() is None:
        os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=240)
    assert_recovered(env | running_spark, market)
