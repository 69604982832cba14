"""What goes wrong where trades are landed, or with who lands them: none is lost or doubled, and it says what to do."""

from __future__ import annotations

import itertools
import json
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest

from tests.e2e.aws_proxy import error, refusing
from tests.e2e.landing_faults.conftest import BACKFILL, IDS, INGEST, Cli, half_way, store
from tests.e2e.tape import TapeServer
from tests.soak import PREFIX, PRODUCT, Place, assert_exact, begin, bucket, finish, landed

# Checkpoints


def foreign(body: bytes) -> bytes:
    document = json.loads(body) | {"product": "ETH-USD"}
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "damage",
    [lambda body: body[: len(body) // 2], lambda body: b"", lambda body: b"\x00" * len(body), foreign],
    ids=["cut off", "empty", "zeros", "another product's"],
)
def test_a_backfills_damaged_checkpoint_is_rebuilt_from_what_landed(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    checkpoint = tmp_path / "state/BTC-USD.json"
    half_way(land, server, *BACKFILL, *out)
    before = landed(store(tmp_path))
    assert 1000 < len(before) < len(IDS)
    body = checkpoint.read_bytes()
    checkpoint.write_bytes(damage(body))
    asked = len(server.asked)
    half_way(land, server, *BACKFILL, *out, answers=8)  # and once more on its way
    run = land(*BACKFILL, *out)
    assert run.code == 0, run.err
    assert_exact(landed(store(tmp_path)), IDS)
    assert not set(server.served(asked)) & set(before), "what had landed was fetched again"
    (aside,) = checkpoint.parent.glob("BTC-USD.json.corrupt-*")
    assert aside.read_bytes() == damage(body)
    assert json.loads(checkpoint.read_text())["complete"] is True


def test_a_damaged_checkpoint_is_reported(land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path) -> None:
    half_way(land, server, *BACKFILL, *out)
    (tmp_path / "state/BTC-USD.json").write_text("{")
    run = land(*BACKFILL, *out)
    assert "state/BTC-USD.json is no checkpoint of BTC-USD (" in run.err
    assert "it is now state/BTC-USD.json.corrupt-2" in run.err
    assert "reading what has landed instead" in run.err


def test_a_damaged_watermark_is_rebuilt_from_what_landed(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path
) -> None:
    assert land(*INGEST, *out).code == 0
    watermark = tmp_path / "out" / PREFIX / "ingest_checkpoints/BTC-USD.json"
    for damaged in ("", watermark.read_text()[:-9], foreign(watermark.read_bytes()).decode()):
        watermark.write_text(damaged)
        server.tapes[PRODUCT].add(range(server.tapes[PRODUCT].ids[-1] + 1, server.tapes[PRODUCT].ids[-1] + 900))
        run = land(*INGEST, *out, "--cold-start-window", "1s")
        assert run.code == 0, run.err
        assert "reading what has landed instead" in run.err
    assert_exact(landed(store(tmp_path)), server.tapes[PRODUCT].ids)
    assert len(list(watermark.parent.glob("*.corrupt-*"))) == 3


# Two at once


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, server: TapeServer, monkeypatch: pytest.MonkeyPatch) -> Place:
    aws = request.getfixturevalue("aws") if request.param == "s3" else None
    for name, value in (aws or {}).items():
        monkeypatch.setenv(name, value)
    return Place.make(tmp_path, server, aws)


@pytest.mark.slow
@pytest.mark.parametrize("command", [(*BACKFILL, "--checkpoint-s3"), (*INGEST, "--limit", "100")], ids=lambda c: c[0])
def test_of_two_at_once_the_second_stops_and_says_why(
    place: Place, server: TapeServer, command: tuple[str, ...]
) -> None:
    server.delay = 0.15
    first = begin(place, 500, *command, *place.flags)
    while not any(place.store.list(f"{PREFIX}/locks/")):
        time.sleep(0.01)
    second = finish(begin(place, 500, *command, *place.flags))
    server.delay = 0.0
    ended = finish(first)
    assert (ended.returncode, second.returncode) == (0, 1), (ended.stderr, second.stderr)
    told = f"another {command[0]} of coinbase BTC-USD into {place.store.uri}/{PREFIX} is running"
    assert told in second.stderr
    assert f"process {first.pid}, since " in second.stderr
    assert "stop it, or wait for its end" in second.stderr
    assert "Traceback" not in second.stderr
    assert_exact(landed(place.store), IDS)


# Stores that fail


@pytest.mark.slow
def test_s3_that_is_slow_and_busy_costs_no_trade(
    land: Cli, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    real = bucket(aws)
    requests, refused = itertools.count(1), []

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        time.sleep(0.02)
        if next(requests) % 4 == 0:
            refused.append(method)
            return (503, error("SlowDown")) if len(refused) % 2 else (500, error("InternalError"))
        return None

    with refusing(aws["AWS_ENDPOINT_URL"], refuse) as url:
        command = (*BACKFILL, "--checkpoint-s3", "--s3-bucket", real.bucket)
        run = land(*command, **aws | {"AWS_ENDPOINT_URL": url})
    assert run.code == 0, run.err
    assert len(refused) > 5
    assert_exact(landed(real), IDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (400, "ExpiredToken", "renew or correct the AWS credentials"),
        (403, "AccessDenied", "let these credentials do that there"),
    ],
)
@pytest.mark.parametrize("command", [(*BACKFILL, "--checkpoint-s3"), (*INGEST, "--limit", "100")], ids=lambda c: c[0])
def test_credentials_that_expire_stop_it_with_a_sentence_and_it_goes_on_later(
    land: Cli,
    aws: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    status: int,
    code: str,
    remedy: str,
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    real = bucket(aws)
    written = itertools.count()
    expired = threading.Event()

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        if method == "PUT" and "/raw_" in path.rpartition("/")[0] and next(written) >= 5:
            expired.set()
        return (status, error(code)) if expired.is_set() else None

    with refusing(aws["AWS_ENDPOINT_URL"], refuse) as url:
        run = land(*command, "--s3-bucket", real.bucket, **aws | {"AWS_ENDPOINT_URL": url})
    assert run.code == 1
    assert remedy in run.err
    assert "Traceback" not in run.err
    again = land(*command, "--s3-bucket", real.bucket, **aws)
    assert again.code == 0, again.err
    assert_exact(landed(real), IDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", [BACKFILL, (*INGEST, "--limit", "100")], ids=lambda c: c[0])
def test_a_full_disk_stops_it_with_a_sentence_and_it_goes_on_later(
    server: TapeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    place = Place.make(tmp_path, server, None)
    with monkeypatch.context() as patch:
        # The kernel's way to refuse a write for want of room, without filling a disk.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
            patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
            process = begin(place, 500, *command, *place.flags)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    full = finish(process)
    assert full.returncode == 1, full.stderr
    assert "cannot write " in full.stderr
    assert "free some room, or choose another folder" in full.stderr
    assert "Traceback" not in full.stderr
    assert not landed(place.store)
    assert not list(tmp_path.rglob("*.tmp"))
    ended = finish(begin(place, 500, *command, *place.flags))
    assert ended.returncode == 0, ended.stderr
    assert_exact(landed(place.store), IDS)


# Ctrl-C


def interrupted(server: TapeServer, process: Popen[str], after: float) -> CompletedProcess[str]:
    """What a command left that got Ctrl-C so many seconds after its 15th request, and ended within two."""
    while len(server.asked) < 15 and process.poll() is None:
        time.sleep(0.01)
    time.sleep(after)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    took = time.monotonic() - started
    assert ended.returncode == 130, ended.stderr
    assert took < 2, f"{took:.2f} s"
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ((*BACKFILL, "--workers", "3"), "stopped; the same command with --resume goes on where this one ended"),
        ((*INGEST, "--limit", "100"), "stopped; what was landed stays, and the next run goes on after it"),
    ],
    ids=["backfill", "ingest"],
)
def test_ctrl_c_stops_within_two_seconds_and_says_how_to_go_on(
    server: TapeServer, tmp_path: Path, command: tuple[str, ...], told: str
) -> None:
    place = Place.make(tmp_path, server, None)
    server.spoil = lambda asked, body: time.sleep(5) if len(server.asked) > 13 else None
    process = begin(place, 500, *command, *place.flags)
    ended = interrupted(server, process, after=0.3)
    assert told in ended.stderr
    kept = landed(place.store)
    assert len(kept) > 600, "what was fetched is landed, not thrown away"
    server.spoil = None
    asked = len(server.asked)
    again = finish(begin(place, 500, *command, *place.flags))
    assert again.returncode == 0, again.stderr
    assert_exact(landed(place.store), IDS)
    assert not set(server.served(asked)) & set(kept)


@pytest.mark.slow
def test_ctrl_c_stops_a_backfill_into_the_raw_table_within_two_seconds(server: TapeServer, tmp_path: Path) -> None:
    place = Place.make(tmp_path, server, None)
    command = ("backfill", "--to", "raw", "--products", PRODUCT, "--chunk-size", "100")
    server.spoil = lambda asked, body: time.sleep(5) if len(server.asked) > 13 else None
    process = begin(place, 500, *command)
    ended = interrupted(server, process, after=1)
    assert "the same command goes on after it" in ended.stderr
