"""Errors as boto3, pyarrow and Spark really raise them, told in AWS's words with what to do."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
import duckdb
import pyarrow as pa
import pyarrow.fs
import pytest
from botocore.config import Config

from schemahub_lib.aws import refusal

NOBODY = "http://127.0.0.1:9"


def of(action: object) -> str | None:
    """What is told of the error that calling it raises."""
    assert callable(action)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is what the test asks
        action()
    return refusal(raised.value)


def test_an_error_that_is_not_awss_is_left_to_others() -> None:
    assert refusal(ValueError("AWS is down")) is None


def test_boto3_that_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    at_once = Config(retries={"total_max_attempts": 1})
    glue = boto3.client("glue", region_name="us-east-1", config=at_once, endpoint_url="http://user:secret@127.0.0.1:9")
    told = of(lambda: glue.get_tables(DatabaseName="lake"))
    assert told == (
        'AWS cannot be asked: Could not connect to the endpoint URL: "http://***@127.0.0.1:9/"; '
        "see to the network, AWS_REGION and AWS_ENDPOINT_URL, then run again"
    )


def test_pyarrow_that_reaches_nobody() -> None:
    s3 = pyarrow.fs.S3FileSystem(
        access_key="test",
        secret_key="test",
        region="us-east-1",
        endpoint_override=NOBODY,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=0),
    )
    told = of(lambda: s3.open_input_file("lake/key"))
    assert told is not None
    assert told.startswith("AWS refused HeadObject in s3://lake: ")
    assert told.endswith("see to the network, AWS_REGION and AWS_ENDPOINT_URL, then run again")


def test_a_bucket_that_is_not_there(aws: Mapping[str, str]) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    assert of(lambda: s3.list_objects_v2(Bucket="nobody-made-it")) == (
        "AWS refused ListObjectsV2: The specified bucket does not exist (NoSuchBucket); "
        "create the bucket, or correct its name"
    )


SDK = "software.amazon.awssdk.services"


@pytest.mark.parametrize(
    ("repeated", "told"),
    [
        (
            f"{SDK}.s3.model.S3Exception: Access Denied (Service: S3, Status Code: 403, Request ID: N/A)",
            "S3: Access Denied (403); let these credentials do that there, or use others",
        ),
        (
            f"{SDK}.s3.model.S3Exception: The provided token has expired. (Service: S3, Status Code: 400, x)",
            "S3: The provided token has expired. (expiredtoken); renew or correct the AWS credentials",
        ),
        (
            f"{SDK}.s3.model.NoSuchBucketException: Gone (Service: S3, Status Code: 404, Request ID: N/A)",
            "S3: Gone (NoSuchBucket); create the bucket, or correct its name",
        ),
        (
            f"{SDK}.glue.model.AccessDeniedException: User x may not (Service: Glue, Status Code: 400, Request ID: 1)",
            "Glue: User x may not (AccessDenied); let these credentials do that there, or use others",
        ),
        (
            f"{SDK}.glue.model.GlueException: Rate exceeded (Service: Glue, Status Code: 400, Request ID: 1)",
            "Glue: Rate exceeded (throttling); it is busy: run again later",
        ),
        (
            f"{SDK}.glue.model.EntityNotFoundException: Database x not found. (Service: Glue, Status Code: 400, x)",
            "Glue: Database x not found. (EntityNotFound); correct the name, or create it",
        ),
        (
            f"{SDK}.glue.model.GlueException: Something else (Service: Glue, Status Code: 400, Request ID: 1)",
            "Glue: Something else (Glue)",
        ),
    ],
)
def test_what_spark_repeats_of_its_sdk(repeated: str, told: str) -> None:
    text = (
        f"An error occurred while calling o47.sql.\n: org.apache.spark.SparkException: Job aborted: {repeated}\n\tat x"
    )
    assert (refusal(RuntimeError(text)) or "").startswith(f"AWS refused what Spark asked of {told}")


def test_a_spark_that_finds_no_credentials() -> None:
    text = (
        ": software.amazon.awssdk.core.exception.SdkClientException: Unable to load credentials from the providers"
        "\n\tat software.amazon.awssdk"
    )
    assert refusal(RuntimeError(text)) == (
        "AWS cannot be asked by Spark: Unable to load credentials from the providers; "
        "see to the network and the AWS credentials"
    )


def test_a_query_that_s3_refuses_is_told_so_and_not_as_a_wrong_query(aws: Mapping[str, str]) -> None:
    s3 = pyarrow.fs.S3FileSystem(
        access_key="test",
        secret_key="test",
        region="us-east-1",
        endpoint_override=aws["AWS_ENDPOINT_URL"],
    )
    schema = pa.schema([("x", pa.int64())])
    rows = pa.RecordBatchReader.from_batches(schema, (s3.open_output_stream("nobody/x") for _ in range(1)))
    connection = duckdb.connect()
    connection.register("trades", rows)
    with pytest.raises(duckdb.Error) as raised:
        connection.sql("SELECT * FROM trades").to_arrow_table()
    told = refusal(raised.value)
    assert told is not None
    assert "(NO_SUCH_BUCKET); create the bucket, or correct its name" in told
    assert "Traceback" not in told


def test_neither_user_nor_password_of_a_url_is_told() -> None:
    text = "in bucket 'lake': AWS Error NETWORK_CONNECTION during HeadObject operation: no http://me:p@ss@127.0.0.1:9/"
    told = refusal(OSError(text))
    assert told is not None
    assert "http://***@127.0.0.1:9/" in told
    assert "ss@" not in told
