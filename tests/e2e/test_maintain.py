"""Maintenance as its users see it: beside writers, between unifies, and on S3 and Glue."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.maintain import Upkeep, maintain
from schemahub_lib.pipeline.pipeline import run_unify
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import LEDGERS, RUNS, TRADES_UNIFIED
from schemahub_lib.tables import lock
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.lock import publish_lock
from schemahub_lib.tables.types import arrow_schema
from tests.e2e.support import environment, schemahub
from tests.market_days import RAW, keys, publish_trades

TARGET = TRADES_UNIFIED.name
NOTHING, WEEK = timedelta(0), timedelta(days=7)


def upkeep(lake: Lake, *names: str, keep: timedelta = WEEK, dry_run: bool = False) -> dict[str, Upkeep]:
    found = maintain(lake, names, keep, new_run_id(), Progress(live=False), dry_run=dry_run)
    return {one.table: one for one in found}


def unify(lake: Lake) -> Report:
    return run_unify(lake, TARGET, mappings_for(lake, TARGET, ["coinbase"]), new_run_id(), Progress(live=False))


def publish_batches(lake: Lake, first: int, last: int, size: int = 10) -> None:
    for start in range(first, last + 1, size):
        publish_trades(lake, start, start + size - 1)


def files(lake: Lake, name: str = RAW.name) -> int:
    table = lake.find(name)
    assert table is not None
    return len(table.inspect.files())


def test_after_compaction_and_expiry_unify_reads_exactly_what_is_new(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    publish_batches(lake, 0, 59)
    assert unify(lake).rows == 120
    publish_batches(lake, 60, 69)  # published, not yet unified, when its file is packed with those that are
    done = upkeep(lake, keep=NOTHING)
    assert not [error for one in done.values() for error in one.errors]
    assert files(lake) == 1
    publish_batches(lake, 70, 99)
    upkeep(lake, keep=NOTHING)
    with caplog.at_level(logging.WARNING):
        report = unify(lake)
    assert (report.rows, report.duplicates) == (80, 0)
    assert "is gone" not in caplog.text
    assert keys(lake, TARGET) == keys(lake, RAW.name)
    assert unify(lake).status == "nothing_new"


def test_what_raw_lost_leaves_the_unified_table_though_maintenance_keeps_nothing_in_between(lake: Lake) -> None:
    publish_batches(lake, 0, 39)
    kept = lake.find(RAW.name).metadata.current_snapshot_id  # type: ignore[union-attr]
    assert kept is not None
    publish_batches(lake, 40, 59)
    unify(lake)
    lake.find(RAW.name).manage_snapshots().set_current_snapshot(kept).commit()  # type: ignore[union-attr]
    publish_batches(lake, 40, 49, size=5)
    upkeep(lake, keep=NOTHING)
    report = unify(lake)
    assert (report.removed, report.rows) == (20, 0)
    assert keys(lake, TARGET) == keys(lake, RAW.name)
    assert upkeep(lake, keep=NOTHING)[RAW.name].done[0].startswith("expired")


def test_what_was_done_is_told_before_and_after_and_recorded(lake: Lake) -> None:
    publish_batches(lake, 0, 59)
    done = upkeep(lake)[RAW.name]
    assert (done.before.files, done.after.files) == (6, 1)
    assert done.after.bytes < done.before.bytes
    assert done.done[0] == "compact 2026-01-01: 6 files became 1"
    rows = lake.find(RUNS.name).scan().to_arrow().to_pylist()  # type: ignore[union-attr]
    assert [(row["job"], row["source"], row["status"]) for row in rows] == [("maintain", RAW.name, "ok")]


def test_a_dry_run_says_what_is_due_and_changes_nothing(lake: Lake) -> None:
    publish_batches(lake, 0, 59)
    before = lake.find(RAW.name).metadata_location  # type: ignore[union-attr]
    told = upkeep(lake, keep=NOTHING, dry_run=True)[RAW.name]
    assert [text.partition(":")[0] for text in told.due] == [
        "compact 2026-01-01",
        "expire 6 snapshots",
        "look for orphan files",
    ]
    assert not told.done
    assert lake.find(RAW.name).metadata_location == before  # type: ignore[union-attr]
    assert lake.table_names() == [RAW.name]


@pytest.mark.parametrize(("name", "told"), [("trades", "'trades' is not a table"), (TARGET, f"no table {TARGET}")])
def test_a_table_that_is_not_there_is_refused(lake: Lake, name: str, told: str) -> None:
    publish_batches(lake, 0, 9)
    with pytest.raises(UsageError, match=told):
        upkeep(lake, name)


@pytest.mark.slow
def test_when_nothing_is_due_no_java_is_started(lake: Lake, tmp_path: Path) -> None:
    publish_batches(lake, 0, 9)
    unify(lake)
    upkeep(lake)
    upkeep(lake, RUNS.name)  # which the run before began
    no_java = environment({}, tmp_path / "warehouse", JAVA_HOME=str(tmp_path / "nowhere"))
    for _ in range(2):
        ran = schemahub(no_java, "tables", "maintain")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "nothing is due" in ran.stdout


def test_keys_there_more_than_once_fail_the_audit_until_they_are_mended(lake: Lake) -> None:
    publish_batches(lake, 0, 159)
    unify(lake)
    (sound,) = (text for text in upkeep(lake)[TARGET].done if "audit" in text)
    assert sound == "audited the keys: each is there once"
    unified = lake.find(TARGET)
    assert unified is not None
    rows = unified.scan().to_arrow().cast(arrow_schema(TRADES_UNIFIED))
    twice = rows.filter([key in ("7", "150") for key in rows["trade_id"].to_pylist()])
    unified.append(twice)
    for _ in range(2):
        (error,) = upkeep(lake)[TARGET].errors
        assert error == (
            "4 keys of trades_unified are there more than once, such as COINBASE BTC-USD 150, COINBASE BTC-USD 7, "
            "COINBASE ETH-USD 150; mend it with `schemahub run unify trades_unified --from 2026-01-01 --to 2026-01-03`"
        )
    unified.refresh().overwrite(rows)
    assert not upkeep(lake)[TARGET].errors
    assert not upkeep(lake)[TARGET].due


def test_the_command_fails_when_a_key_is_there_twice(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    from schemahub_lib.cli import main

    publish_batches(lake, 0, 9)
    unify(lake)
    unified = lake.find(TARGET)
    assert unified is not None
    unified.append(unified.scan().to_arrow().cast(arrow_schema(TRADES_UNIFIED)))
    command = ["tables", "maintain", TARGET, "--warehouse", lake.settings.warehouse, "--json"]
    assert main(command) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["errors"][0].startswith("20 keys of trades_unified are there more than once")


@contextmanager
def holding_the_lock(lake: Lake, name: str) -> Iterator[None]:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with publish_lock(lake.settings, name, "somebody"):
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        yield
    finally:
        release.set()
        holder.join()


def test_a_lock_held_for_long_costs_its_holder_one_rewrite_a_run(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_batches(lake, 0, 49)
    publish_batches(lake, 150, 199)
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    with holding_the_lock(lake, RAW.name):
        first = upkeep(lake)[RAW.name]
    assert len(first.left) == 1
    assert (first.before.files, first.after.files) == (10, 6)
    assert upkeep(lake)[RAW.name].after.files == 2


@pytest.mark.slow
def test_a_writer_and_maintenance_side_by_side_neither_fail_nor_starve(make_lake: Callable[..., Lake]) -> None:
    """The writer is another lake on the same warehouse, as another process would be."""
    publish_batches(make_lake(), 0, 49)
    failures: list[BaseException] = []
    writing = threading.Event()
    writing.set()

    def write() -> None:
        lake = make_lake()
        try:
            for start in range(50, 250, 10):
                publish_trades(lake, start, start + 9)
                if start % 50 == 0:
                    unify(lake)
        except BaseException as error:
            failures.append(error)
        finally:
            writing.clear()

    writer = threading.Thread(target=write)
    writer.start()
    lake, runs = make_lake(), []
    while writing.is_set():
        runs.append(upkeep(lake, keep=NOTHING))
    writer.join()
    unify(lake)
    assert failures == []
    assert [error for run in runs for one in run.values() for error in one.errors] == []
    assert any("compact" in text for run in runs for text in run[RAW.name].done)
    everything = sorted((product, str(n)) for product in ("BTC-USD", "ETH-USD") for n in range(250))
    assert keys(lake, RAW.name) == everything
    assert keys(lake, TARGET) == everything


@pytest.mark.slow
def test_a_whole_maintenance_on_s3_and_glue(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    s3, bucket = boto3.client("s3"), f"maintained-{os.getpid()}"
    s3.create_bucket(Bucket=bucket)
    glue = environment(
        {}, f"s3://{bucket}/warehouse", SCHEMAHUB_PROFILE="glue", SCHEMAHUB_DATABASE=f"maintained_{os.getpid()}", **aws
    )
    lake = Lake(Settings.load(environment=glue))
    publish_batches(lake, 0, 59)
    ran = schemahub(glue, "run", "unify")
    assert ran.returncode == 0, ran.stderr
    folder = lake.find(RAW.name).location().removeprefix(f"s3://{bucket}/")  # type: ignore[union-attr]
    neighbour = f"{folder}_of_somebody_else"
    for place, days in ((f"{folder}/data/old", 4), (f"{folder}/data/young", 2), (f"{neighbour}/data/old", 4)):
        s3.put_object(Bucket=bucket, Key=f"{place}.parquet", Metadata={"days-old": str(days)})
    states = f"{folder}/metadata/_schemahub"
    s3.put_object(Bucket=bucket, Key=f"{states}/lost.json", Metadata={"days-old": "4"})

    ran = schemahub(glue, "tables", "maintain", "--keep", "0s", "--json")
    assert ran.returncode == 0, ran.stderr
    done = {one["table"]: one for one in json.loads(ran.stdout)}
    assert set(done) == {RAW.name, TARGET, *(t.name for t in LEDGERS if lake.find(t.name) is not None)}
    assert done[RAW.name]["done"] == [
        "compact 2026-01-01: 6 files became 1",
        "expired 6 snapshots, and 0 data files with them",
        "looked for orphans: deleted 1 files and 1 state files",
    ]
    assert "audited the keys: each is there once" in done[TARGET]["done"]

    left = {item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {f"{folder}/data/young.parquet", f"{neighbour}/data/old.parquet"} < left
    assert not {f"{folder}/data/old.parquet", f"{states}/lost.json"} & left
    publish_batches(lake, 60, 69)
    ran = schemahub(glue, "run", "unify")
    assert ran.returncode == 0, ran.stderr
    assert "is gone" not in ran.stderr
    assert keys(lake, TARGET) == keys(lake, RAW.name)
