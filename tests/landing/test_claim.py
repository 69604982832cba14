"""Two writers never work on one product, and a dead one keeps nobody out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemahub_lib.errors import Conflict, StoreError
from schemahub_lib.landing.claim import DEAD, claim
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.s3 import S3Store
from schemahub_lib.landing.store import Store

pytestmark = pytest.mark.slow

KEY = "raw/locks/BTC-USD.json"
WHAT = "backfill of BTC-USD"
RENEW = 0.5
QUICK = 0.1
LEFT = b'{"owner": "gone", "since": "1970-01-01 00:00:00 UTC", "claim": "x", "beat": 9}'


def refused(store: Store, renew: float) -> str:
    with pytest.raises(Conflict) as conflict, claim(store, KEY, "second", what=WHAT, renew=renew):
        pytest.fail("both have it")
    return str(conflict.value)


def test_the_second_is_refused_and_told_of_the_first(store: Store) -> None:
    with claim(store, KEY, "host-1 pid 7", what=WHAT, renew=RENEW) as held:
        message = refused(store, RENEW)
        held.check()
    assert message.startswith("another backfill of BTC-USD is running (host-1 pid 7, since 2")
    assert message.endswith("UTC); stop it, or wait for its end")


def test_afterwards_it_is_free(store: Store) -> None:
    for owner in ("a", "b"):
        with claim(store, KEY, owner, renew=RENEW) as held:
            held.check()


def test_a_failing_block_gives_it_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), claim(store, KEY, "a", renew=RENEW):
        raise ZeroDivisionError
    with claim(store, KEY, "b", renew=RENEW):
        pass


def test_products_are_claimed_apart(store: Store) -> None:
    with claim(store, KEY, "a", renew=RENEW), claim(store, "raw/locks/ETH-USD.json", "a", renew=RENEW):
        pass


def test_of_many_who_come_at_once_one_has_it(store: Store) -> None:
    start, end = threading.Barrier(5), threading.Event()

    def run(number: int) -> bool:
        start.wait()
        try:
            with claim(store, KEY, str(number), renew=RENEW) as held:
                end.wait(20)
                held.check()
                return True
        except Conflict:
            return False

    with ThreadPoolExecutor(5) as threads:
        results = [threads.submit(run, number) for number in range(5)]
        deadline = time.monotonic() + 20
        while sum(result.done() for result in results) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        end.set()
        assert sorted(result.result() for result in results) == [False] * 4 + [True]


HOLDING = """
import sys, time
from pathlib import Path
from schemahub_lib.landing.claim import claim
from schemahub_lib.landing.local import LocalStore

with claim(LocalStore(Path(sys.argv[1])), sys.argv[2], "other process"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_in_a_folder_a_killed_holder_keeps_nobody_out(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path, KEY], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        assert "other process, since" in refused(store, 60)
        assert time.monotonic() - started < 5  # at once
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claim(store, KEY, "next"):
            pass


def test_a_dead_holders_claim_is_taken_over_whatever_its_clock_said(bucket: S3Store) -> None:
    bucket.write(KEY, LEFT, expected=None)
    started = time.monotonic()
    with claim(bucket, KEY, "next", renew=QUICK) as held:
        assert time.monotonic() - started >= DEAD * QUICK
        held.check()
        assert owner(bucket) == "next"
    assert bucket.read(KEY) is None


def test_of_several_who_wait_for_a_dead_holders_claim_one_takes_it(bucket: S3Store) -> None:
    bucket.write(KEY, LEFT, expected=None)
    test_of_many_who_come_at_once_one_has_it(bucket)


def test_whoever_waits_gets_what_is_given_back_meanwhile(bucket: S3Store) -> None:
    bucket.write(KEY, LEFT, expected=None)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: (time.sleep(0.5), bucket.delete(KEY)))
        started = time.monotonic()
        with claim(bucket, KEY, "next", renew=10):
            assert time.monotonic() - started < DEAD * 10


def test_a_living_holder_is_never_taken_for_dead(bucket: S3Store) -> None:
    with claim(bucket, KEY, "holder", renew=RENEW) as held:
        for _ in range(3):
            refused(bucket, RENEW)
        held.check()
        assert owner(bucket) == "holder"


def test_a_holder_who_lost_it_stops_and_leaves_it_to_the_other(bucket: S3Store) -> None:
    with claim(bucket, KEY, "first", what=WHAT, renew=QUICK) as held:
        take_away(bucket)
        assert held.lost.wait(20)
        with pytest.raises(Conflict, match="another backfill of BTC-USD took over"):
            held.check()
    assert owner(bucket) == "thief"


def test_a_claim_that_was_deleted_is_lost(bucket: S3Store) -> None:
    with claim(bucket, KEY, "first", renew=QUICK) as held:
        bucket.delete(KEY)
        assert held.lost.wait(20)
    assert bucket.read(KEY) is None


def test_an_end_right_after_a_loss_leaves_it_to_the_other(bucket: S3Store) -> None:
    with claim(bucket, KEY, "first", renew=60):
        take_away(bucket)
    assert owner(bucket) == "thief"


def test_after_an_outage_a_holder_makes_sure_before_it_goes_on(
    bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = bucket.write
    with claim(bucket, KEY, "first", renew=QUICK) as held:
        monkeypatch.setattr(bucket, "write", fail)
        time.sleep(DEAD * QUICK + 0.1)
        with pytest.raises(StoreError, match="no network"):
            held.check()
        assert not held.lost.is_set()
        monkeypatch.setattr(bucket, "write", works)
        held.check()


def test_after_an_outage_in_which_another_took_it_nothing_more_is_written(
    bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = bucket.write
    with claim(bucket, KEY, "first", renew=QUICK) as held:
        monkeypatch.setattr(bucket, "write", fail)
        time.sleep(DEAD * QUICK + 0.1)
        take_away(bucket, write=works)  # before the holder can renew it again
        monkeypatch.setattr(bucket, "write", works)
        with pytest.raises(Conflict, match="took over"):
            held.check()


def test_a_renewal_that_arrived_without_an_answer_is_no_loss(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    works = bucket.write
    arrived = threading.Event()

    def arrive_and_fail(key: str, body: bytes, *, expected: str | None) -> str:
        works(key, body, expected=expected)
        monkeypatch.setattr(bucket, "write", works)
        arrived.set()
        raise StoreError("no answer")

    with claim(bucket, KEY, "first", renew=QUICK) as held:
        monkeypatch.setattr(bucket, "write", arrive_and_fail)
        assert arrived.wait(20)
        time.sleep(3 * QUICK)
        held.check()


def test_what_cannot_be_given_back_is_only_a_warning(
    bucket: S3Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with claim(bucket, KEY, "first", what=WHAT, renew=60):
        monkeypatch.setattr(bucket, "delete", fail)
    assert "the claim of backfill of BTC-USD could not be given back" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b'{"owner": "x"}'])
def test_a_claim_that_says_nothing_is_one_all_the_same(content: bytes, s3_store: Callable[[str], S3Store]) -> None:
    bucket = s3_store("aws")
    bucket.write(KEY, content, expected=None)
    seen = threading.Event()

    def renew() -> None:
        renewed = content
        while not seen.wait(0.3):
            take_away(bucket, renewed := renewed + b" ")

    with ThreadPoolExecutor(1) as threads:
        renewing = threads.submit(renew)
        try:
            assert "it does not say whose" in refused(bucket, 10)
        finally:
            seen.set()
        renewing.result()


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot claim .*BTC-USD.json: "), claim(LocalStore(tmp_path), KEY, "a"):
        pass


def owner(store: Store) -> str:
    stored = store.read(KEY)
    assert stored is not None
    return str(json.loads(stored.body)["owner"])


def take_away(
    store: Store,
    content: bytes = b'{"owner": "thief", "since": "now", "claim": "y"}',
    write: Callable[..., str] | None = None,
) -> None:
    for _ in range(100):
        stored = store.read(KEY)
        assert stored is not None
        try:
            (write or store.write)(KEY, content, expected=stored.version)
            return
        except Conflict:  # it was being renewed
            continue
    pytest.fail("could not take it away")


def fail(*_: object, **__: object) -> str:
    raise StoreError("no network")
