"""A simulated Coinbase of 3,000 trades that can be spoilt, and commands that land them in objects of 500."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.http.messages import RateLimit
from schemahub_lib.landing.claim import claim
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.pipeline import land_history, land_new, landing
from tests.e2e.conftest import Outcome
from tests.e2e.tape import Asked, TapeServer, with_holes
from tests.soak import PRODUCT

Cli = Callable[..., Outcome]

BACKFILL = ("backfill", "--products", PRODUCT, "--resume", "--chunk-size", "100")
INGEST = ("ingest", PRODUCT, "--cold-start-window", "2h")
# Objects of 500: missing ids where one ends and the next begins, and a whole range.
IDS = with_holes(3000, (700, 1100), singly=(2500, 2000, 1999, 1234))


@pytest.fixture
def server() -> Iterator[TapeServer]:
    with TapeServer(start=datetime.now(UTC) - timedelta(hours=1), BTC_USD=IDS) as running:
        yield running


@pytest.fixture
def land(cli: Cli, server: TapeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Landing commands in this process, in a folder of their own, with objects of 500 trades."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Coinbase, "rate_limit", RateLimit(units=1e6, seconds=1, burst=1e6))
    monkeypatch.setattr(land_history, "MOST_ROWS", 500)
    monkeypatch.setattr(land_new, "MOST_ROWS", 500)
    monkeypatch.setattr(landing, "claim", partial(claim, renew=0.2))
    return partial(cli, SCHEMAHUB_COINBASE_URL=server.url, SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"))


@pytest.fixture
def out(tmp_path: Path) -> tuple[str, str]:
    return ("--out", str(tmp_path / "out"))


def store(tmp_path: Path) -> LocalStore:
    return LocalStore.make(str(tmp_path / "out"))


def gone_after(answers: int) -> Callable[[Asked, bytes], tuple[int, bytes] | None]:
    """The product is delisted after so many answers."""
    count = itertools.count()
    return lambda asked, body: (404, b'{"message":"NotFound"}') if next(count) >= answers else None


def half_way(land: Cli, server: TapeServer, *command: str, answers: int = 20) -> None:
    """A backfill that ends after some objects."""
    server.spoil = gone_after(answers)
    assert land(*command).code == 1
    server.spoil = None
