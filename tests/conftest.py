"""Fixtures every folder shares: one warm Spark, lakes in temporary folders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.session import start_spark

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
RECORDED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "recorded"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "spark_jvm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session")
def spark_jvm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spark, started once for the whole run. Each lake has a session of its own on it."""
    spark = start_spark(Settings.load(warehouse=str(tmp_path_factory.mktemp("spark")), environment={}))
    yield
    spark.stop()


@pytest.fixture
def make_lake(spark_jvm: None, tmp_path: Path) -> Callable[..., Lake]:
    """Lakes on the shared Spark; without a name all are the same warehouse, as several processes would see it."""

    def make(name: str = "warehouse", **environment: str) -> Lake:
        return Lake(Settings.load(warehouse=str(tmp_path / name), environment=environment))

    return make


@pytest.fixture
def lake(make_lake: Callable[..., Lake]) -> Lake:
    return make_lake()


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded exchange responses, which is not part of this repository."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded responses (../shared/data/recorded) are not on this machine")
    return RECORDED.resolve()


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """S3 and Glue on loopback, as environment variables."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.aws_server"],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    yield AWS | {"AWS_ENDPOINT_URL": url}
    server.terminate()
    server.wait()
    server.stdout.close()
