"""A checkpoint is read as it was written or set aside, and of two writers the second learns of the first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import CheckpointCorrupt, Conflict, StoreError
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import checkpoint_key, local_checkpoint_key, watermark_key
from schemahub_lib.landing.store import Store, Stored

WHEN = datetime(2025, 12, 15, 10, 30, 45, 123456, tzinfo=UTC)
MINE = Checkpoint("12345678", 1_000_000, WHEN, {"product": "BTC-USD", "source": "coinbase", "oldest": "2025-12-01"})
KEY = partial(checkpoint_key, "raw")
FILE = "raw/checkpoints/BTC-USD.json"


class Memory:
    """As much of a store as checkpoints use, quick enough for many thousands of files."""

    uri = "memory"

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.aside: list[bytes] = []

    def read(self, key: str) -> Stored | None:
        return Stored(self.body, "1")

    def set_aside(self, key: str) -> str:
        self.aside.append(self.body)
        return f"{key}.corrupt-now"


def written(checkpoint: Checkpoint, folder: Path) -> bytes:
    store = LocalStore(folder)
    Checkpoints(store, KEY).save("BTC-USD", checkpoint)
    return (folder / FILE).read_bytes()


def load(body: bytes) -> Checkpoint | None:
    """The checkpoint in `body`, or None when it was set aside."""
    store = Memory(body)
    try:
        found = Checkpoints(store, KEY, "coinbase").load("BTC-USD")  # type: ignore[arg-type]
    except CheckpointCorrupt:
        assert store.aside == [body]
        return None
    assert found is not None
    assert store.aside == []
    return found


def test_what_is_saved_is_loaded(store: Store) -> None:
    checkpoints = Checkpoints(store, KEY)
    assert checkpoints.load("BTC-USD") is None
    checkpoints.save("BTC-USD", MINE)
    assert Checkpoints(store, KEY, "coinbase").load("BTC-USD") == MINE


def test_a_run_saves_over_what_it_saved(store: Store) -> None:
    checkpoints = Checkpoints(store, KEY)
    for last in ("3", "2", "1"):
        checkpoints.save("BTC-USD", Checkpoint(last, 7, WHEN))
    assert Checkpoints(store, KEY).load("BTC-USD") == Checkpoint("1", 7, WHEN)


def test_the_file_is_the_briefs(tmp_path: Path) -> None:
    document = json.loads(written(MINE, tmp_path))
    assert list(document)[:3] == ["last_trade_id", "trades_processed", "last_updated"]
    assert document["last_trade_id"] == 12345678
    assert document["trades_processed"] == 1_000_000
    assert document["last_updated"] == "2025-12-15T10:30:45.123456Z"
    assert document["oldest"] == "2025-12-01"
    assert document["checksum"].startswith("sha256:")


def test_a_watermark_does_not_count(tmp_path: Path) -> None:
    watermarks = Checkpoints(LocalStore(tmp_path), partial(watermark_key, "raw"))
    watermarks.save("XBT/USD", Checkpoint("7", None, WHEN))
    document = json.loads((tmp_path / "raw/ingest_checkpoints/XBT%2FUSD.json").read_text())
    assert list(document) == ["last_trade_id", "last_updated", "checksum"]
    assert watermarks.load("XBT/USD") == Checkpoint("7", None, WHEN)


def test_local_checkpoints_lie_in_the_working_directory(tmp_path: Path) -> None:
    Checkpoints(LocalStore(tmp_path), partial(local_checkpoint_key, "coinbase")).save("BTC-USD", MINE)
    assert (tmp_path / "state" / "BTC-USD.json").is_file()


@settings(deadline=None)
@given(
    st.from_regex(r"[0-9]{1,25}|x[0-9]+-[0-9.]+-[bs][ml]-[0-9]", fullmatch=True),
    st.none() | st.integers(0, 10**12),
    st.datetimes(timezones=st.just(UTC)).filter(lambda when: when.year >= 1000),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.text() | st.none()),
)
def test_everything_in_it_is_loaded(
    last: str, processed: int | None, when: datetime, details: dict[str, object]
) -> None:
    saved: list[bytes] = []

    class Keeping(Memory):
        def write(self, key: str, body: bytes, *, expected: str | None) -> str:
            saved.append(body)
            return "1"

    reserved = {"last_trade_id", "trades_processed", "last_updated", "checksum", "product", "source"}
    checkpoint = Checkpoint(last, processed, when, {k: v for k, v in details.items() if k not in reserved})
    Checkpoints(Keeping(b""), KEY).save("BTC-USD", checkpoint)  # type: ignore[arg-type]
    assert load(saved[0]) == checkpoint


def test_times_are_kept_in_utc(tmp_path: Path) -> None:
    there = WHEN.astimezone(timezone(timedelta(hours=9)))
    assert load(written(Checkpoint("1", 1, there), tmp_path)) == Checkpoint("1", 1, WHEN)


def test_every_beginning_of_the_file_is_set_aside(tmp_path: Path) -> None:
    body = written(MINE, tmp_path)
    for end in range(len(body)):
        assert load(body[:end]) == (MINE if end == len(body) - 1 else None), body[:end]  # but for the line's end


@pytest.mark.parametrize("checkpoint", [MINE, Checkpoint("0", None, WHEN), Checkpoint("x1.5-b", 0, WHEN, {"n": 1.5})])
def test_no_changed_byte_makes_another_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    body = written(checkpoint, tmp_path)
    for place in range(len(body)):
        for change in range(1, 256):
            damaged = bytearray(body)
            damaged[place] ^= change
            assert load(bytes(damaged)) in (None, checkpoint), bytes(damaged)


def test_no_missing_or_doubled_byte_makes_another_checkpoint(tmp_path: Path) -> None:
    body = written(MINE, tmp_path)
    for place in range(len(body)):
        assert load(body[:place] + body[place + 1 :]) in (None, MINE)
        assert load(body[: place + 1] + body[place:]) in (None, MINE)


def test_the_clients_own_files_are_taken() -> None:
    theirs = (
        b'{\n  "last_trade_id": 12345678,\n  "trades_processed": 1000000,\n  "last_updated": "2025-12-15T10:30:45Z"\n}'
    )
    assert load(theirs) == Checkpoint("12345678", 1_000_000, WHEN.replace(microsecond=0))
    assert load(b'{"last_trade_id": 7, "last_updated": "2025-12-15T10:30:45.123456"}') == Checkpoint("7", None, WHEN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\0" * 100,
        b"[" * 100_000,
        '{"last_trade_id": 7, "last_updated": "2025-12-15T10:30:45Z"}'.encode("utf-16"),
        b'{"last_trade_id": 7}',
        b'{"last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": -7, "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": "-7", "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": "", "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": true, "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": 7.0, "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": null, "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": 7, "last_updated": "yesterday"}',
        b'{"last_trade_id": 7, "last_updated": 1765794645}',
        b'{"last_trade_id": 7, "trades_processed": -1, "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": 7, "trades_processed": "1", "last_updated": "2025-12-15T10:30:45Z"}',
        b'{"last_trade_id": 7, "last_updated": "2025-12-15T10:30:45Z", "more": 1}',
        b'{"last_trade_id": 7, "last_updated": "2025-12-15T10:30:45Z", "checksum": null}',
    ],
)
def test_what_is_no_checkpoint_is_set_aside(body: bytes) -> None:
    assert load(body) is None


@pytest.mark.parametrize(("product", "source"), [("ETH-USD", "coinbase"), ("BTC-USD", "kraken")])
def test_anothers_checkpoint_is_set_aside(product: str, source: str, tmp_path: Path) -> None:
    theirs = Checkpoint("1", 1, WHEN, {"product": product, "source": source})
    Checkpoints(LocalStore(tmp_path), lambda _: FILE, source).save(product, theirs)
    assert load((tmp_path / FILE).read_bytes()) is None


def test_the_corrupt_file_is_kept_and_named(store: Store) -> None:
    store.write(FILE, b'{"last_trade_id": 12', expected=None)
    checkpoints = Checkpoints(store, KEY)
    with pytest.raises(CheckpointCorrupt, match=r"BTC-USD.json is no checkpoint of BTC-USD: not JSON .* set aside as"):
        checkpoints.load("BTC-USD")
    (entry,) = store.list("raw/")
    assert entry.key.startswith(f"{FILE}.corrupt-2")
    assert checkpoints.load("BTC-USD") is None
    checkpoints.save("BTC-USD", MINE)
    assert checkpoints.load("BTC-USD") == MINE


def test_the_second_of_two_writers_is_told(store: Store) -> None:
    first, second = Checkpoints(store, KEY), Checkpoints(store, KEY)
    first.save("BTC-USD", MINE)
    second.load("BTC-USD")
    first.save("BTC-USD", Checkpoint("5", 1, WHEN))
    with pytest.raises(Conflict, match=rf"BTC-USD: another run wrote \S+/{FILE} .*nothing was overwritten"):
        second.save("BTC-USD", Checkpoint("6", 1, WHEN))
    with pytest.raises(Conflict):
        Checkpoints(store, KEY).save("BTC-USD", MINE)  # which never looked
    assert second.load("BTC-USD") == Checkpoint("5", 1, WHEN)
    second.save("BTC-USD", Checkpoint("4", 2, WHEN))


def test_of_many_writers_one_moves_the_checkpoint(store: Store) -> None:
    Checkpoints(store, KEY).save("BTC-USD", MINE)
    writers = [Checkpoints(store, KEY) for _ in range(6)]
    for writer in writers:
        writer.load("BTC-USD")

    def save(number: int) -> bool:
        try:
            writers[number].save("BTC-USD", Checkpoint(str(number), 1, WHEN))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(len(writers)) as threads:
        (winner,) = (number for number, won in enumerate(threads.map(save, range(len(writers)))) if won)
    found = Checkpoints(store, KEY).load("BTC-USD")
    assert found is not None
    assert found.last_trade_id == str(winner)


@pytest.mark.parametrize(
    "bad",
    [
        Checkpoint("", 1, WHEN),
        Checkpoint("-1", 1, WHEN),
        Checkpoint("1", -1, WHEN),
        Checkpoint("1", 1, WHEN, {"checksum": "x"}),
        Checkpoint("1", 1, WHEN, {"x": float("nan")}),
        Checkpoint("1", 1, WHEN, {"product": "ETH-USD"}),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(bad: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Checkpoints(LocalStore(tmp_path), KEY).save("BTC-USD", bad)
    assert not (tmp_path / FILE).exists()


SAVING = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.local import LocalStore

checkpoints = Checkpoints(LocalStore(Path(sys.argv[1])), lambda product: f"state/{product}.json")
checkpoints.load("BTC-USD")
for number in itertools.count():
    checkpoints.save("BTC-USD", Checkpoint("1" * 1000, number, datetime.now(UTC)))
    print(number, flush=True)
"""


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    for attempt in range(5):
        with subprocess.Popen([sys.executable, "-c", SAVING, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(attempt + 1):
                last = process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            last = (last + process.stdout.read()).split()[-1]
        found = Checkpoints(LocalStore(tmp_path), partial(local_checkpoint_key, "coinbase")).load("BTC-USD")
        assert found is not None
        assert found.trades_processed in (int(last), int(last) + 1)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    body = written(MINE, tmp_path)
    code = f"""
import resource
from pathlib import Path
from tests.landing.test_checkpoint import KEY, MINE, Checkpoints, LocalStore
checkpoints = Checkpoints(LocalStore(Path({str(tmp_path)!r})), KEY)
checkpoints.load("BTC-USD")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
checkpoints.save("BTC-USD", MINE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StoreError: cannot write" in done.stderr
    assert "free some room" in done.stderr
    assert (tmp_path / FILE).read_bytes() == body


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    user = os.geteuid()
    tmp_path.chmod(0o500)
    if not user:
        os.seteuid(65534)  # root may write everywhere
    try:
        with pytest.raises(StoreError, match="let this user write there"):
            Checkpoints(LocalStore(tmp_path), KEY).save("BTC-USD", MINE)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
