"""What AWS refuses ends a run with one sentence on what to do, and leaves nothing by halves."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.aws_proxy import Refuse, error, glue_error, refusing
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import NOW, raw_keys, settings_for, tape, unified
from tests.e2e.support import environment, schemahub

pytestmark = pytest.mark.slow

PRODUCT = {"coinbase": ("BTC-USD",)}
INGEST = ("run", "ingest", "coinbase", "--products", "BTC-USD", "--since", "2024-02-08T15:17:00Z")
UNIFY = ("run", "unify", "--sources", "coinbase")

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.5, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def place(aws: Mapping[str, str], market: Simulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a warehouse in a bucket and a database of its own, neither of which holds anything."""
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    name = f"faults-{uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    lake = {"SCHEMAHUB_PROFILE": "glue", "SCHEMAHUB_WAREHOUSE": f"s3://{name}/lake"}
    return settings_for(market.urls) | dict(aws) | lake | {"SCHEMAHUB_DATABASE": name.replace("-", "_")}


def lake_of(place: Mapping[str, str]) -> Lake:
    return Lake(Settings.load(environment=place))


def s3(status: int, code: str) -> Refuse:
    """S3 answers everything so; Glue is well."""
    return lambda who, what: None if what.startswith("AWSGlue") else (status, error(code))


def s3_writes(status: int, code: str) -> Refuse:
    return lambda who, what: (status, error(code)) if who in ("PUT", "POST") else None


def glue(code: str, *operations: str) -> Refuse:
    """Glue answers these operations so, or all; S3 is well."""

    def refuse(who: str, what: str) -> tuple[int, str] | None:
        _, _, operation = what.partition("AWSGlue.")
        return glue_error(code) if operation and (not operations or operation in operations) else None

    return refuse


@pytest.mark.parametrize(
    ("refuse", "remedy"),
    [
        (glue("AccessDeniedException"), "let these credentials do that"),
        (glue("AccessDeniedException", "CreateTable"), "let these credentials do that"),
        (glue("AccessDeniedException", "UpdateTable"), "let these credentials do that"),
        (glue("ExpiredTokenException"), "renew or correct the AWS credentials"),
        (s3_writes(403, "AccessDenied"), "let these credentials do that"),
        (s3(403, "AccessDenied"), "let these credentials do that"),
        (s3(400, "ExpiredToken"), "renew or correct the AWS credentials"),
        (glue("UnrecognizedClientException"), "renew or correct the AWS credentials"),
        (s3(301, "PermanentRedirect"), "set AWS_REGION to the bucket's region"),
        (s3(400, "AuthorizationHeaderMalformed"), "set AWS_REGION to the bucket's region"),
    ],
    ids=[
        *("glue denies", "glue denies a new table", "glue denies a commit", "glue says expired", "s3 denies writes"),
        *("s3 denies", "s3 says expired", "glue knows no such key", "another region", "another region's signature"),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do_and_costs_nothing(
    cli: Cli, place: dict[str, str], market: Simulator, refuse: Refuse, remedy: str
) -> None:
    with refusing(place["AWS_ENDPOINT_URL"], refuse) as url:
        refused = cli(*INGEST, **place | {"AWS_ENDPOINT_URL": url})
    assert refused.code == 1
    assert_one_error(refused.err, remedy)
    assert cli(*INGEST, **place).code == 0
    assert raw_keys(lake_of(place), "coinbase") == Counter(tape(market.urls, products=PRODUCT).keys())


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"SCHEMAHUB_WAREHOUSE": "s3://nobody-made-it/lake"}, "create the bucket, or correct its name"),
        ({"AWS_PROFILE": "nobody"}, "renew or correct the AWS credentials"),
    ],
    ids=["no such bucket", "no such profile"],
)
def test_wrong_settings_are_told_with_what_to_do(
    cli: Cli, place: dict[str, str], wrong: dict[str, str], remedy: str
) -> None:
    refused = cli(*INGEST, **place | wrong)
    assert refused.code == 1
    assert_one_error(refused.err, remedy)


def test_without_a_region_it_says_so(
    cli: Cli, place: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del place["AWS_DEFAULT_REGION"]
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    refused = cli(*INGEST, **place | {"AWS_CONFIG_FILE": str(tmp_path / "none")})
    assert refused.code == 1
    assert_one_error(refused.err, "set AWS_REGION")


def test_a_glue_that_is_too_busy_for_spark_is_waited_for(place: dict[str, str], market: Simulator) -> None:
    env = environment(market.urls, place["SCHEMAHUB_WAREHOUSE"], **place)
    assert schemahub(env, *INGEST).returncode == 0
    asked = itertools.count()

    def refuse(who: str, what: str) -> tuple[int, str] | None:
        from_spark = what.startswith("AWSGlue") and "java" in who
        return glue_error("ThrottlingException", "Rate exceeded") if from_spark and next(asked) < 4 else None

    with refusing(place["AWS_ENDPOINT_URL"], refuse) as url:
        done = schemahub(env | {"AWS_ENDPOINT_URL": url}, *UNIFY)
    assert done.returncode == 0, done.stderr
    assert next(asked) > 4
    assert unified(lake_of(place)) == tape(market.urls, products=PRODUCT)


def test_a_token_that_expires_while_spark_writes_ends_it_and_the_next_run_publishes_all(
    place: dict[str, str], market: Simulator
) -> None:
    env = environment(market.urls, place["SCHEMAHUB_WAREHOUSE"], **place)
    assert schemahub(env, *INGEST).returncode == 0
    expired = threading.Event()

    def refuse(who: str, what: str) -> tuple[int, str] | None:
        if "/trades_unified/data/" in what and who in ("PUT", "POST"):
            expired.set()
        if not expired.is_set():
            return None
        return glue_error("ExpiredTokenException") if what.startswith("AWSGlue") else (400, error("ExpiredToken"))

    with refusing(place["AWS_ENDPOINT_URL"], refuse) as url:
        refused = schemahub(env | {"AWS_ENDPOINT_URL": url}, *UNIFY)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert re.match("error: AWS refused .*; renew or correct the AWS credentials", last)
    assert "Traceback" not in refused.stderr
    assert not unified(lake_of(place))
    # It could not drop its lock, which expires after a minute: no test should wait for that.
    bucket = boto3.resource("s3").Bucket(urlsplit(place["SCHEMAHUB_WAREHOUSE"]).netloc)
    assert bucket.objects.filter(Prefix="lake/_locks/").delete()
    assert schemahub(env, *UNIFY).returncode == 0
    assert unified(lake_of(place)) == tape(market.urls, products=PRODUCT)
