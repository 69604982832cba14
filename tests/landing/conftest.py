"""Every kind of store there is, empty."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.s3 import S3Store
from schemahub_lib.landing.store import Store

_number = itertools.count()


@pytest.fixture
def s3_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], S3Store]:
    """A new bucket of the server with the fixture's name."""

    def make(server: str) -> S3Store:
        for name, value in request.getfixturevalue(server).items():
            monkeypatch.setenv(name, value)
        store = S3Store(f"landing-{next(_number)}")
        store.client.create_bucket(Bucket=store.bucket)
        return store

    return make


@pytest.fixture(params=["aws", pytest.param("seaweed", marks=pytest.mark.slow)])
def bucket(request: pytest.FixtureRequest, s3_store: Callable[[str], S3Store]) -> S3Store:
    return s3_store(request.param)


@pytest.fixture(
    params=["local", pytest.param("aws", marks=pytest.mark.slow), pytest.param("seaweed", marks=pytest.mark.slow)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, s3_store: Callable[[str], S3Store]) -> Store:
    if request.param == "local":
        return LocalStore.make(str(tmp_path / "out"))
    return s3_store(request.param)
