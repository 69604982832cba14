"""The lock of a table whose warehouse is in S3: whose it is, and for how long."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import boto3
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.tables import lock
from schemahub_lib.tables.lock import publish_lock

_number = count(1)

KILLED_HOLDER = """
import os, sys
from schemahub_lib.config import Settings
from schemahub_lib.tables import lock
lock.EXPIRY = 2.0
with lock.publish_lock(Settings.load(warehouse=sys.argv[1]), "t", "killed") as held:
    os._exit(9 if held else 1)
"""


class Place:
    """A warehouse in a bucket of its own."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3, self.settings = s3, Settings.load(warehouse=f"s3://{bucket}/warehouse")
        self.at = {"Bucket": bucket, "Key": f"warehouse/_locks/{self.settings.database}.t.json"}
        s3.create_bucket(Bucket=bucket)

    def held_for(self, owner: str) -> bool:
        with publish_lock(self.settings, "t", owner) as held:
            return held

    def is_free(self) -> bool:
        return self.s3.list_objects_v2(Bucket=self.at["Bucket"])["KeyCount"] == 0


@pytest.fixture(params=["aws", pytest.param("seaweed", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in request.getfixturevalue(request.param).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCHEMAHUB_PROFILE", "glue")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the keys of another server
    return Place(boto3.client("s3"), f"locked-{next(_number)}")


@contextmanager
def held_elsewhere(place: Place) -> Iterator[None]:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with publish_lock(place.settings, "t", "long"):
            taken.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        holder.join()


def test_one_at_a_time_has_the_lock_and_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    with held_elsewhere(place):
        assert not place.held_for("other")
    assert place.is_free()
    assert place.held_for("other")


@pytest.mark.slow
def test_a_lock_is_held_for_longer_than_it_takes_to_expire(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "EXPIRY", 3.0)
    monkeypatch.setattr(lock, "PATIENCE", 6.0)
    with held_elsewhere(place):
        assert not place.held_for("other")
    assert place.is_free()


@pytest.mark.slow
def test_the_lock_of_a_holder_that_was_x(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_HOLDER, place.settings.warehouse], check=False)
    assert killed.returncode == 9
    assert not place.is_free()
    assert place.held_for("other")


def test_a_lock_that_another_took_over_is_neither_renewed_nor_released(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = b'{"owner": "other", "expires": 1e12}'
    monkeypatch.setattr(lock, "EXPIRY", 0.3)
    with publish_lock(place.settings, "t", "stalled"):
        place.s3.put_object(**place.at, Body=theirs)
        for _ in range(200):
            if "could not be renewed" in caplog.text:
                break
            time.sleep(0.05)
    assert "could not be renewed" in caplog.text
    assert "could not be released" in caplog.text
    assert place.s3.get_object(**place.at)["Body"].read() == theirs
