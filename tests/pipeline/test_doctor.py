"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline import doctor
from schemahub_lib.pipeline.doctor import Finding, examine
from schemahub_lib.schemas import RUNS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.loopback import Handler, serving

MakeLake = Callable[..., Lake]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENDPOINT_DEADLINE", 0.3)


@pytest.fixture
def urls(market: Simulator) -> dict[str, str]:
    return {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in market.urls.items()}


def findings(lake: Lake) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(lake)}


def test_where_all_is_well_there_is_nothing_to_do(make_lake: MakeLake, urls: dict[str, str]) -> None:
    lake = make_lake(**urls)
    lake.ensure(RUNS)
    found = findings(lake)
    assert [found[name].status for name in ("Java", "catalog", *EXCHANGES)] == ["ok"] * (2 + len(EXCHANGES))
    assert found["catalog"].found == f"1 tables in {lake.settings.warehouse}"
    assert found["coinbase"].found.startswith(f"{urls['SCHEMAHUB_COINBASE_URL']}, clocks ")
    assert found["kraken key"].found == "none; public data needs none"


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_told_from_one_that_is(
    aws: dict[str, str], urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="doctors-own")
    found = {}
    for bucket in ("doctors-own", "nowhere"):
        settings = Settings.load(profile="glue", warehouse=f"s3://{bucket}/w", environment=aws | urls)
        found[bucket] = findings(Lake(settings))["bucket"]
    assert found["doctors-own"] == Finding("ok", "bucket", "doctors-own")
    assert found["nowhere"].status == "fail"
    assert found["nowhere"].found.startswith("nowhere: ")


@pytest.mark.slow
def test_an_athena_that_answers_is_told_from_one_that_does_not(
    aws: dict[str, str], urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="doctors-results")
    results = {"ResultConfiguration": {"OutputLocation": "s3://doctors-results/"}}
    boto3.client("athena").create_work_group(Name="doctors-own", Configuration=results)
    found = {}
    for workgroup in ("doctors-own", "nowhere"):
        given = aws | urls | {"SCHEMAHUB_ATHENA_WORKGROUP": workgroup}
        settings = Settings.load(profile="glue", warehouse="s3://doctors-results/w", environment=given)
        found[workgroup] = findings(Lake(settings))["Athena"]
    assert found["doctors-own"] == Finding("ok", "Athena", "workgroup doctors-own")
    assert (found["nowhere"].status, found["nowhere"].found) == ("fail", "workgroup nowhere does not answer")
    assert "correct SCHEMAHUB_ATHENA_WORKGROUP" in found["nowhere"].remedy


def test_looking_changes_nothing(make_lake: MakeLake, urls: dict[str, str]) -> None:
    lake = make_lake(**urls)
    assert findings(lake)["catalog"].found.endswith("does not exist yet; the first run creates it")
    assert not Path(lake.settings.warehouse).exists()


def test_a_warehouse_that_cannot_be_made_is_told_beforehand(
    make_lake: MakeLake, urls: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = findings(make_lake("file/warehouse", **urls))["catalog"]
    assert found.status == "fail"
    assert f"{tmp_path / 'file'} is no folder" in found.remedy


def test_mappings_that_would_be_refused_are_told_beforehand(
    make_lake: MakeLake, urls: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text("sourc: raw_coinbase_trades")
    found = findings(make_lake(**urls, SCHEMAHUB_MAPPINGS=str(tmp_path)))["mappings"]
    assert found.status == "fail"
    assert "did you mean 'source'?" in found.remedy
    assert findings(make_lake(**urls))["mappings"].found.startswith("mappings/binance_trades.yaml")


def test_an_exchange_that_is_down_hides_no_other_finding(make_lake: MakeLake, urls: dict[str, str]) -> None:
    found = findings(make_lake(**urls | {"SCHEMAHUB_COINBASE_URL": "http://127.0.0.1:9"}))
    assert found["coinbase"].status == "fail"
    assert "Connection refused" in found["coinbase"].remedy
    assert (found["binance"].status, found["kraken"].status) == ("ok", "ok")


def test_java_that_is_not_where_it_is_said_to_be(
    make_lake: MakeLake, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = findings(make_lake(**urls))["Java"]
    assert (found.status, found.remedy) == (
        "fail",
        f"JAVA_HOME={tmp_path} has no bin/java: unset it, or point it at a Java 17",
    )


def test_java_that_is_too_new(
    make_lake: MakeLake, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"25.0.1\" 2025-10-21' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = findings(make_lake(**urls))["Java"]
    assert (found.status, found.found, found.remedy) == ("fail", f"25 in {tmp_path}", "Spark 3.5 needs Java 17")


def test_jars_that_are_not_fetched_yet_are_no_failure(
    make_lake: MakeLake, urls: dict[str, str], tmp_path: Path
) -> None:
    found = findings(make_lake(SCHEMAHUB_JARS=str(tmp_path), **urls))["jars"]
    assert found.status == "warn"
    assert "iceberg-spark-runtime-3.5_2.12:1.10.0" in found.remedy


def test_a_catalog_that_is_no_database(make_lake: MakeLake, urls: dict[str, str]) -> None:
    lake = make_lake(**urls)
    lake.settings.catalog_file.parent.mkdir()
    lake.settings.catalog_file.write_text("this is not SQLite " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(lake.settings.catalog_file).execute("SELECT 1 FROM iceberg_tables")
    found = findings(lake)["catalog"]
    assert found.status == "fail"
    assert "not a database" in found.found


def test_a_key_without_its_passphrase_is_named_and_the_exchange_is_still_tried(
    make_lake: MakeLake, urls: dict[str, str]
) -> None:
    found = findings(make_lake(SCHEMAHUB_COINBASE_SECRET="c2VjcmV0", **urls))
    assert found["coinbase key"].status == "fail"
    assert "SCHEMAHUB_COINBASE_KEY is missing" in found["coinbase key"].remedy
    assert found["coinbase"].status == "ok"


def test_a_whole_key_is_set(make_lake: MakeLake, urls: dict[str, str]) -> None:
    assert findings(make_lake(SCHEMAHUB_BINANCE_KEY="abc", **urls))["binance key"].found == "set"


class Late(Handler):
    """An exchange whose clock is two minutes behind."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"epoch": 0}')

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - 120)


def test_a_clock_that_is_off_is_told_by_how_much(make_lake: MakeLake, urls: dict[str, str]) -> None:
    with serving(Late) as url:
        found = findings(make_lake(**urls | {"SCHEMAHUB_COINBASE_URL": url}))["clock"]
    assert found.status == "warn"
    assert found.found in ("+120 s against coinbase", "+121 s against coinbase")
    assert "NTP" in found.remedy
