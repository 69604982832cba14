"""What can go wrong on the way to a bucket, and that uploads wait for nobody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from schemahub_lib.errors import Conflict, StoreError, UsageError
from schemahub_lib.landing.s3 import AT_ONCE, PART, WAITING, S3Store
from schemahub_lib.landing.store import Sink

LONG = 20.0


def before(store: S3Store, operation: str, action: Callable[..., Any]) -> None:
    """Have `action` done before each request of that kind; what it returns is the answer instead of the server's."""
    store.client.meta.events.register(f"before-send.s3.{operation}", action)


def uploads(store: S3Store) -> list[Any]:
    return list(store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []))


def test_parts_go_up_while_the_caller_writes_on(bucket: S3Store) -> None:
    written = threading.Event()
    waited: list[bool] = []

    def on_its_way(**_: Any) -> None:
        waited.append(written.wait(LONG))

    before(bucket, "UploadPart", on_its_way)
    with bucket.create("k") as sink:
        for _ in range(AT_ONCE + WAITING):
            sink.write(bytes(PART))
        sink.write(b"more")
        written.set()  # only now does any part arrive
    assert len(waited) == AT_ONCE + WAITING + 1
    assert all(waited)


def test_a_caller_faster_than_the_network_waits(bucket: S3Store) -> None:
    arrive, writing, done = threading.Event(), threading.Event(), threading.Event()
    going: list[int] = []

    def on_its_way(**_: Any) -> None:
        going.append(1)
        arrive.wait(LONG)

    before(bucket, "UploadPart", on_its_way)

    def write() -> None:
        with bucket.create("k") as sink:
            sink.write(bytes((AT_ONCE + WAITING) * PART + 1))
            writing.set()
            sink.write(bytes(PART))
            done.set()

    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(write)
        assert writing.wait(LONG)
        assert not done.wait(0.3)
        assert len(going) == AT_ONCE
        arrive.set()
        result.result()
    assert done.is_set()


def test_a_failed_part_is_reported_and_nothing_is_left(bucket: S3Store) -> None:
    failed = threading.Event()

    def fail(**_: Any) -> AWSResponse:
        failed.set()
        return refusal(403, "AccessDenied")

    before(bucket, "UploadPart", fail)
    sink = bucket.create("k")
    sink.write(bytes(PART + 1))
    assert failed.wait(LONG)
    with pytest.raises(StoreError, match=r"cannot write s3://\S+/k: .*AccessDenied.*; let these credentials"), sink:
        write_for_long(sink)
    assert uploads(bucket) == []
    assert list(bucket.list("")) == []


def test_a_failure_of_the_last_part_is_reported_at_the_end(bucket: S3Store) -> None:
    sent: list[int] = []

    def fail_the_second(**_: Any) -> AWSResponse | None:
        sent.append(1)
        return refusal(403, "AccessDenied") if len(sent) > 1 else None

    before(bucket, "UploadPart", fail_the_second)
    sink = bucket.create("k")
    sink.write(bytes(PART + 1))
    with pytest.raises(StoreError, match="AccessDenied"):
        sink.commit()
    assert uploads(bucket) == []


def test_an_aborted_upload_leaves_no_parts(bucket: S3Store) -> None:
    sink = bucket.create("k")
    sink.write(bytes(5 * PART))
    assert uploads(bucket)
    sink.abort()
    assert uploads(bucket) == []


def test_a_write_whose_answer_is_lost_is_no_conflict_with_itself(bucket: S3Store) -> None:
    lose_first_answer(bucket, "PutObject")
    version = bucket.write("k", b"mine", expected=None)
    stored = bucket.read("k")
    assert stored
    assert (stored.body, stored.version) == (b"mine", version)


def test_an_upload_whose_last_answer_is_lost_is_done(bucket: S3Store) -> None:
    lose_first_answer(bucket, "CompleteMultipartUpload")
    with bucket.create("k") as sink:
        sink.write(bytes(PART + 1))
    with bucket.open("k") as file:
        assert len(file.read()) == PART + 1


def test_a_writer_whose_answer_is_lost_still_sees_anothers_write(bucket: S3Store) -> None:
    bucket.write("k", b"theirs", expected=None)
    lose_first_answer(bucket, "PutObject")
    with pytest.raises(Conflict):
        bucket.write("k", b"mine", expected=None)


def test_an_object_replaced_while_it_is_read_is_noticed(bucket: S3Store) -> None:
    version = bucket.write("k", bytes(3_000_000), expected=None)
    with bucket.open("k") as file:
        file.read(10)
        bucket.write("k", b"x" * 3_000_000, expected=version)
        file.seek(2_500_000)
        with pytest.raises(StoreError, match="it was replaced meanwhile"):
            file.read(10)


def test_a_connection_that_breaks_while_reading_is_made_again(bucket: S3Store) -> None:
    body = bytes(range(256)) * 20_000
    bucket.write("k", body, expected=None)
    with bucket.open("k") as file:
        begin = file.read(2_000_000)
        file.raw._body._raw_stream.close()  # type: ignore[attr-defined]
        file.raw._body.read = broken  # type: ignore[attr-defined]
        assert begin + file.read() == body


def test_a_missing_bucket_is_named(s3_store: Callable[[str], S3Store]) -> None:
    s3_store("aws")
    store = S3Store("nobody-made-it")
    for action in (
        lambda: store.read("k"),
        lambda: store.write("k", b"", expected=None),
        lambda: store.create("k").commit(),
        lambda: store.create("k").write(bytes(PART + 1)),
        lambda: list(store.list("")),
        lambda: store.open("k"),
    ):
        with pytest.raises(StoreError, match=r"cannot \w+ s3://nobody-made-it\S*: .*; create the bucket, or correct"):
            action()


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_named(
    variable: str, s3_store: Callable[[str], S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_store("seaweed").bucket
    monkeypatch.setenv(variable, "wrong")
    with pytest.raises(StoreError, match=r"renew or correct the AWS credentials"):
        S3Store(bucket).read("k")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match=r"cannot read s3://my-bucket/k: .*; renew or correct the AWS credentials"):
        S3Store("my-bucket").read("k")
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(StoreError, match="AWS credentials"):
        S3Store("my-bucket").read("k")


def test_an_endpoint_that_nobody_answers_is_named(
    s3_store: Callable[[str], S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_store("aws")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with pytest.raises(StoreError, match=rf"127.0.0.1:{port}.*; see to the network, AWS_REGION and AWS_ENDPOINT_URL"):
        S3Store("my-bucket").read("k")


def test_an_endpoint_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL is no URL"):
        S3Store("my-bucket").read("k")


def write_for_long(sink: Sink) -> None:
    for _ in range(1000):
        sink.write(bytes(1000))
        time.sleep(0.01)


def refusal(status: int, code: str) -> AWSResponse:
    class Body:
        def stream(self, **_: Any) -> Any:
            yield f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    return AWSResponse("http://s3", status, {}, Body())


def broken(_: int) -> bytes:
    raise ConnectionClosedError(endpoint_url="s3")


def lose_first_answer(store: S3Store, operation: str) -> None:
    """The first request of that kind arrives, and the connection breaks before its answer."""
    sent: list[int] = []

    def send(request: Any, **_: Any) -> None:
        sent.append(1)
        if len(sent) == 1:
            store.client._endpoint.http_session.send(request)
            raise ConnectionClosedError(endpoint_url=request.url)

    before(store, operation, send)
