"""One writer a product: the second is told at once, a dead one's claim is taken over, by one only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from schemahub_lib.errors import Conflict
from schemahub_lib.landing.claim import claim
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.s3 import S3Store
from schemahub_lib.landing.store import Store

KEY = "p/locks/BTC-USD.json"
RENEW = 0.2


@pytest.fixture
def bucket(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    name = f"claims-{os.getpid()}-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield LocalStore.make(str(tmp_path))
    else:
        yield S3Store(request.getfixturevalue("bucket"))


def test_a_second_writer_is_told_who_the_first_is(store: Store) -> None:
    with claim(store, KEY, "coinbase BTC-USD", "host, process 1", renew=RENEW) as held:
        with (
            pytest.raises(
                Conflict, match=r"coinbase BTC-USD is being landed by another run \(host, process 1, since 2"
            ),
            claim(store, KEY, "coinbase BTC-USD", "another", renew=RENEW),
        ):
            pass
        held.check()


def test_after_the_first_the_second_may(store: Store) -> None:
    for owner in ("one", "two"):
        with claim(store, KEY, "BTC-USD", owner, renew=RENEW) as held:
            held.check()


def test_products_are_claimed_one_by_one(store: Store) -> None:
    with (
        claim(store, KEY, "BTC-USD", "one", renew=RENEW),
        claim(store, KEY.replace("BTC", "ETH"), "ETH-USD", "two", renew=RENEW),
    ):
        pass


def test_a_killed_process_holds_nothing_in_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from schemahub_lib.landing.claim import claim; "
        "from schemahub_lib.landing.local import LocalStore\n"
        f"with claim(LocalStore.make({str(tmp_path)!r}), {KEY!r}, 'BTC-USD', 'it'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    store = LocalStore.make(str(tmp_path))
    with pytest.raises(Conflict), claim(store, KEY, "BTC-USD", "we"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with claim(store, KEY, "BTC-USD", "we") as held:
        held.check()


def test_a_dead_ones_claim_in_s3_is_taken_over_by_exactly_one(bucket: str) -> None:
    S3Store(bucket).write(KEY, b'{"owner": "dead", "since": "long ago"}', expected=None)
    got: list[str] = []
    told: list[str] = []
    done = threading.Event()

    def take(name: str) -> None:
        try:
            with claim(S3Store(bucket), KEY, "BTC-USD", name, renew=RENEW):
                got.append(name)
                done.wait(5)
        except Conflict as error:
            told.append(str(error))

    threads = [threading.Thread(target=take, args=(f"rival {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(told) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(told) == 3
    assert all(got[0] in message for message in told)


def test_a_holder_that_was_taken_for_dead_writes_no_more(bucket: str) -> None:
    store = S3Store(bucket)
    with claim(store, KEY, "BTC-USD", "slow", renew=RENEW) as held:
        found = store.read(KEY)
        assert found is not None
        while True:  # between two renewals
            try:
                store.write(KEY, b'{"owner": "other", "since": "now"}', expected=found.version)
                break
            except Conflict:
                found = store.read(KEY)
                assert found is not None
        assert held.lost.wait(5)
        with pytest.raises(Conflict, match="another run took over"):
            held.check()
    assert store.read(KEY) is not None  # not ours to remove
