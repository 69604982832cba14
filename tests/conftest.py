"""Fixtures every folder shares: one warm Spark, lakes in temporary folders, S3 on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.session import start_spark

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
RECORDED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "recorded"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "e2e" not in item.path.parts)  # files of minutes first, so that none is left to the end
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
    with aws_server() as variables:
        yield variables


@contextmanager
def aws_server(*arguments: str) -> Iterator[dict[str, str]]:
    """Such a server for the block, with the arguments of `tests/aws_server.py`."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.aws_server", *arguments],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        yield AWS | {"AWS_ENDPOINT_URL": url}
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """SeaweedFS on loopback, as environment variables: an S3 that checks signatures, on which writers really race."""
    folder = tmp_path_factory.mktemp("seaweed")
    environment = AWS | {"AWS_SECRET_ACCESS_KEY": "seaweed"}
    keys = {"accessKey": environment["AWS_ACCESS_KEY_ID"], "secretKey": environment["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    listening = ("master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc", "s3")
    ports = dict(zip(listening, free_ports(len(listening)), strict=True))
    server = subprocess.Popen(
        [
            Path(sys.executable).with_name("weed"),
            *("server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
            *("-volume.max=1000", "-master.volumeSizeLimitMB=64"),  # each bucket takes several volumes
            *("-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{name if 'port' in name else f'{name}.port'}={port}" for name, port in ports.items()),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(ports["s3"], server)
        yield environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}"}
    finally:
        server.kill()  # its orderly way out takes half a minute
        server.wait()


def free_ports(count: int) -> list[int]:
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("SeaweedFS did not come up")
