"""`jobs/land.py` as a Lambda function: without Spark, Java, Arrow or pyiceberg, from a zip, into S3."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import boto3
import pytest

from schemahub_lib.simulator import Simulator
from tests.conftest import AWS
from tests.e2e.support import ROOT, environment

# What a function's zip must carry beside ours; boto3 is in Lambda's own Python.
MODULES = (
    *("certifi", "charset_normalizer", "click", "idna", "orjson", "PyYAML", "requests", "rich", "sqlglot", "urllib3"),
    *("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six"),
)
CODE = """
import json, sys
import land
try:
    land.handler(json.loads(sys.argv[1]), None)
finally:
    heavy = {"pyspark", "pyarrow", "pyiceberg", "duckdb", "numpy"} & {name.partition(".")[0] for name in sys.modules}
    assert not heavy, heavy
"""


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A folder as Lambda makes it of a zip: our library, the script, and its modules, nothing else."""
    with zipfile.ZipFile(tmp_path / "function.zip", "w") as bundle:
        for part, name in (("schemahub_lib", "schemahub_lib"), ("mappings", "schemahub_lib/mappings")):
            for file in (ROOT / part).rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    bundle.write(file, f"{name}/{file.relative_to(ROOT / part)}")
        bundle.write(ROOT / "jobs" / "land.py", "land.py")
        for module in MODULES:
            for file in metadata.files(module) or ():
                if ".." not in file.parts and file.locate().is_file():
                    bundle.write(str(file.locate()), str(file))
    folder = tmp_path / "function"
    zipfile.ZipFile(tmp_path / "function.zip").extractall(folder)
    return folder


def call(
    function: Path, aws: Mapping[str, str], market: Simulator, event: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(function)!r})\n{CODE}",
            json.dumps(event),
        ],
        env=environment(market.urls, "unused") | aws | {"HOME": str(function)},
        cwd=function,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_it_lands_without_anything_that_a_function_has_no_room_for(function: Path, aws: Mapping[str, str]) -> None:
    assert sum(file.stat().st_size for file in function.rglob("*") if file.is_file()) < 250e6  # Lambda's limit
    s3 = boto3.client(
        "s3",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=AWS["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    s3.create_bucket(Bucket="landed-by-lambda")
    event = {"source": "coinbase", "s3-bucket": "landed-by-lambda", "cold-start-window": "5m", "log-format": "json"}
    with Simulator(seed=2, trade_rate=0.1, rate_limits=False) as market:
        first = call(function, aws, market, event)
        assert first.returncode == 0, first.stderr
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket="landed-by-lambda")["Contents"]]
        assert len([key for key in keys if key.endswith(".jsonl")]) == 3
        finished = [json.loads(line) for line in first.stderr.splitlines()][-1]
        assert (finished["event"], finished["status"]) == ("run_finished", "ok")
        failed = call(function, aws, market, event | {"s3-bucket": "no-such-bucket"})
    assert failed.returncode != 0
    assert "RuntimeError: ended with" in failed.stderr
