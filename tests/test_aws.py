"""Errors as boto3, pyarrow and Spark really raise them, told in AWS's words with what to do."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
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


def test_what_spark_repeats_of_its_sdk() -> None:
    repeated = (
        "An error occurred while calling o47.sql.\n: org.apache.spark.SparkException: Job aborted: "
        "Task 0 in stage 3.0 failed 1 times: software.amazon.awssdk.services.s3.model.S3Exception: Access Denied "
        "(Service: S3, Status Code: 403, Request ID: N/A) (SDK Attempt Count: 1)\n\tat software.amazon.awssdk.protocols"
    )
    assert refusal(RuntimeError(repeated)) == (
        "AWS refused what Spark asked of S3: Access Denied (403); let these credentials do that there, or use others"
    )
