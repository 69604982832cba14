"""Two processes, two JVMs, released at the same moment: every trade exactly once, on local files and on S3 and Glue."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Barrier, Thread

import boto3
import pytest
from botocore.exceptions import ClientError

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.pipelines import NOW, TARGET, raw_keys, tape, unified
from tests.e2e.support import ROOT, environment

pytestmark = pytest.mark.slow

PRODUCT = {"coinbase": ("BTC-USD",)}
INGEST = ("run", "ingest", "coinbase", "--products", "BTC-USD", "--since", "2024-02-08T15:17:00Z")
PIPELINE = ("run", "pipeline", "--sources", "coinbase", *INGEST[3:])


@pytest.fixture
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.5, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture(params=["local", "glue"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, market: Simulator, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of a warehouse that does not exist yet."""
    if request.param == "local":
        return environment(market.urls, tmp_path / "warehouse")
    settings: dict[str, str] = request.getfixturevalue("aws")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{os.getpid()}-{abs(hash(request.node.name)) % 10**8}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    database = f"db{bucket.rpartition('-')[2]}"
    return environment(
        market.urls, f"s3://{bucket}/warehouse", SCHEMAHUB_PROFILE="glue", SCHEMAHUB_DATABASE=database, **settings
    )


def race(place: Mapping[str, str], *commands: Sequence[str]) -> list[tuple[int, str]]:
    """Run commands in processes of their own, released together; each one's exit code and stderr."""
    runners = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.released", *command],
            env=dict(place),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for runner in runners:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write("\n")
        runner.stdin.flush()
    ended: dict[int, tuple[int, str]] = {}

    def finish(number: int, runner: subprocess.Popen[str]) -> None:
        _, err = runner.communicate(timeout=400)
        ended[number] = (runner.returncode, err)

    threads = [Thread(target=finish, args=pair) for pair in enumerate(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [ended[number] for number in range(len(runners))]


def succeeded(outcomes: list[tuple[int, str]]) -> None:
    assert [code for code, _ in outcomes] == [0] * len(outcomes), "\n\n".join(err for _, err in outcomes)


def lake_of(place: Mapping[str, str]) -> Lake:
    return Lake(Settings.load(environment=place))


def no_branches_left(lake: Lake) -> None:
    for table in (EXCHANGES["coinbase"].raw_table.name, TARGET):
        if (found := lake.find(table)) is not None:
            assert [name for name, ref in found.metadata.refs.items() if ref.snapshot_ref_type == "branch"] == ["main"]


def test_whole_pipelines_racing_on_a_warehouse_that_does_not_exist_yet(
    place: dict[str, str], market: Simulator
) -> None:
    succeeded(race(place, PIPELINE, PIPELINE))
    lake, expected = lake_of(place), tape(market.urls, products=PRODUCT)
    assert unified(lake) == expected
    assert set(raw_keys(lake, "coinbase").values()) == {1}
    assert set(raw_keys(lake, "coinbase")) == set(expected)
    no_branches_left(lake)


def test_ingests_racing_then_unifies_racing(place: dict[str, str], market: Simulator) -> None:
    succeeded(race(place, INGEST, INGEST))
    lake, expected = lake_of(place), tape(market.urls, products=PRODUCT)
    assert raw_keys(lake, "coinbase") == dict.fromkeys(expected, 1)
    succeeded(race(place, ("run", "unify"), ("run", "unify")))
    assert unified(lake) == expected
    market.advance(120)
    succeeded(race(place, INGEST, ("run", "unify"), PIPELINE))
    succeeded(race(place, PIPELINE))
    expected = tape(market.urls, products=PRODUCT)
    assert unified(lake) == expected
    assert raw_keys(lake, "coinbase") == dict.fromkeys(expected, 1)
    no_branches_left(lake)


def test_without_the_fence_racing_writers_do_write_duplicates(make_lake: Callable[..., Lake]) -> None:
    """What the fence is for: two insert-only MERGEs on the same base both commit. (apache/iceberg#12653)"""
    lakes = [make_lake(), make_lake()]
    table = lakes[0].identifier("unfenced")
    lakes[0].ensure(EXCHANGES["coinbase"].raw_table)  # for the database
    lakes[0].spark.sql(f"CREATE TABLE {table} (id BIGINT) USING iceberg")
    together = Barrier(2)

    def merge(lake: Lake) -> None:
        lake.spark.range(1000).createOrReplaceTempView("source")
        together.wait()
        lake.spark.sql(
            f"MERGE INTO {table} AS t USING source AS s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)"
        )

    for _ in range(5):
        lakes[0].spark.sql(f"TRUNCATE TABLE {table}")
        threads = [Thread(target=merge, args=(lake,)) for lake in lakes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if lakes[0].spark.table(table).count() == 2000:
            return
    pytest.fail("the race was never close enough to show the duplicates the fence prevents")


def test_the_glue_of_these_tests_refuses_a_stale_version(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    glue = boto3.client("glue")
    glue.create_database(DatabaseInput={"Name": "versions"})
    glue.create_table(DatabaseName="versions", TableInput={"Name": "t"})
    stale = glue.get_table(DatabaseName="versions", Name="t")["Table"]["VersionId"]
    glue.update_table(DatabaseName="versions", TableInput={"Name": "t", "Description": "new"}, VersionId=stale)
    with pytest.raises(ClientError, match="ConcurrentModificationException"):
        glue.update_table(DatabaseName="versions", TableInput={"Name": "t"}, VersionId=stale)
