"""Both stores keep one promise: an object is there whole or not at all, and of racing writers one wins."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemahub_lib.errors import Conflict, StoreError, UsageError
from schemahub_lib.landing.store import Store, open_store

RACERS = 8


def together(action: Callable[[int], object]) -> list[object]:
    """What `action` gives, or the Conflict it raises, when eight threads do it at one moment."""
    start = threading.Barrier(RACERS)

    def one(number: int) -> object:
        start.wait()
        try:
            return action(number)
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(RACERS) as threads:
        return list(threads.map(one, range(RACERS)))


def test_what_is_not_there_reads_as_none(store: Store) -> None:
    assert store.read("a/none") is None


def test_what_is_written_is_read_with_its_version(store: Store) -> None:
    version = store.write("a/b.json", b"one", expected=None)
    stored = store.read("a/b.json")
    assert stored
    assert (stored.body, stored.version) == (b"one", version)
    assert store.write("a/b.json", b"two", expected=version) != version
    after = store.read("a/b.json")
    assert after
    assert after.body == b"two"


@pytest.mark.parametrize("seen", [None, '"an older one"'])
def test_a_writer_who_saw_another_version_overwrites_nothing(store: Store, seen: str | None) -> None:
    store.write("a", b"theirs", expected=None)
    with pytest.raises(Conflict, match=r"another writer changed \S+/a; nothing was overwritten"):
        store.write("a", b"mine", expected=seen)
    stored = store.read("a")
    assert stored
    assert stored.body == b"theirs"


def test_a_writer_whose_object_was_deleted_does_not_bring_it_back(store: Store) -> None:
    version = store.write("a", b"x", expected=None)
    store.delete("a")
    with pytest.raises(Conflict):
        store.write("a", b"y", expected=version)
    assert store.read("a") is None


def test_one_of_many_who_create_wins(store: Store) -> None:
    for attempt in range(3):
        key = f"race/{attempt}"
        results = together(lambda number, key=key: store.write(key, b"%d" % number, expected=None))  # type: ignore[misc]
        (winner,) = (number for number, result in enumerate(results) if not isinstance(result, Conflict))
        stored = store.read(key)
        assert stored
        assert stored.body == b"%d" % winner


def test_one_of_many_who_replace_a_version_wins(store: Store) -> None:
    version = store.write("race", b"start", expected=None)
    for _ in range(3):
        seen = version
        results = together(lambda number: store.write("race", b"%s %d" % (seen.encode(), number), expected=seen))  # noqa: B023
        (version,) = (str(result) for result in results if not isinstance(result, Conflict))


def test_writers_of_the_same_content_do_not_both_win(store: Store) -> None:
    results = together(lambda _: store.write("race", b"the same", expected=None))
    assert sum(not isinstance(result, Conflict) for result in results) == 1


def test_a_large_object_comes_back_byte_for_byte(store: Store) -> None:
    body = random.Random(1).randbytes(40_000_000)
    with store.create("large") as sink:
        for at in range(0, len(body), 300_000):
            sink.write(body[at : at + 300_000])
        assert sink.size == len(body)
    with store.open("large") as file:
        assert file.read() == body


@pytest.mark.parametrize("size", [0, 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 16 << 20])
def test_sizes_around_a_part_come_back(store: Store, size: int) -> None:
    body = random.Random(size).randbytes(size)
    with store.create("part") as sink:
        sink.write(body)
    with store.open("part") as file:
        assert file.read() == body


def test_eight_uploads_at_a_time_come_back(store: Store) -> None:
    bodies = [random.Random(number).randbytes(9_000_000 + number) for number in range(8)]

    def upload(number: int) -> None:
        with store.create(f"parallel/{number}") as sink:
            for at in range(0, len(bodies[number]), 1_000_000):
                sink.write(bodies[number][at : at + 1_000_000])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(upload, range(8)))
    for number, body in enumerate(bodies):
        with store.open(f"parallel/{number}") as file:
            assert file.read() == body


def test_a_reader_never_sees_half_an_object(store: Store) -> None:
    bodies = {bytes([letter]) * 9_000_000 for letter in b"abc"}
    with store.create("k") as sink:
        sink.write(min(bodies))
    done = threading.Event()

    def write() -> None:
        for body in sorted(bodies) * 2:
            with store.create("k") as sink:
                sink.write(body[:5_000_000])
                sink.write(body[5_000_000:])
        done.set()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        while not done.is_set():
            stored = store.read("k")
            assert stored
            assert stored.body in bodies
        writing.result()


@pytest.mark.parametrize("size", [10, 30_000_000])
def test_an_aborted_object_leaves_nothing(store: Store, size: int) -> None:
    sink = store.create("gone")
    sink.write(bytes(size))
    with pytest.raises(ZeroDivisionError), sink:
        raise ZeroDivisionError
    assert store.read("gone") is None
    assert list(store.list("")) == []


def test_an_object_is_not_there_before_its_end(store: Store) -> None:
    with store.create("late") as sink:
        sink.write(bytes(20_000_000))
        assert store.read("late") is None
        assert list(store.list("")) == []


def test_after_its_end_nothing_can_be_written(store: Store) -> None:
    with store.create("k") as sink:
        sink.write(b"x")
    sink.abort()
    with pytest.raises(ValueError, match="after commit"):
        sink.write(b"y")
    stored = store.read("k")
    assert stored
    assert stored.body == b"x"


# SeaweedFS orders folder by folder.
@pytest.mark.parametrize("store", ["local", "aws"], indirect=True)
def test_a_listing_is_ordered_by_key_however_deep(store: Store) -> None:
    keys = ["a/x", "a.b", "a/b/c", "a/b.c", "ab/d", "b", "a/é", "a/A"]
    for key in keys:
        store.write(key, key.encode(), expected=None)
    assert [entry.key for entry in store.list("")] == sorted(keys)
    assert [entry.key for entry in store.list("a/")] == sorted(key for key in keys if key.startswith("a/"))
    assert [entry.key for entry in store.list("a/b")] == ["a/b.c", "a/b/c"]
    assert [entry.size for entry in store.list("a/é")] == [4]
    assert list(store.list("none/")) == []


def test_a_listing_is_ordered_within_a_folder_and_finds_what_is_below(store: Store) -> None:
    keys = ["a/2.x", "a/1_x", "a/10", "a/b/c", "other"]
    for key in keys:
        store.write(key, b"x", expected=None)
    assert [entry.key for entry in store.list("a/")] == ["a/10", "a/1_x", "a/2.x", "a/b/c"]


def test_a_listing_tells_a_changed_object(store: Store) -> None:
    version = store.write("a", b"one", expected=None)
    (before,) = store.list("a")
    store.write("a", b"two", expected=version)
    (after,) = store.list("a")
    assert before.version != after.version


def test_a_bad_object_is_set_aside(store: Store) -> None:
    store.write("a/b.json", b"bad", expected=None)
    aside = store.set_aside("a/b.json")
    assert aside.startswith("a/b.json.corrupt-2")
    assert [entry.key for entry in store.list("")] == [aside]
    with store.open(aside) as file:
        assert file.read() == b"bad"


def test_deleting_twice_is_no_error(store: Store) -> None:
    store.write("a", b"x", expected=None)
    store.delete("a")
    store.delete("a")
    assert store.read("a") is None


def test_an_object_can_be_read_from_anywhere(store: Store) -> None:
    body = random.Random(2).randbytes(3_000_000)
    store.write("k", body, expected=None)
    with store.open("k") as file:
        assert file.seek(-8, 2) == len(body) - 8
        assert file.read() == body[-8:]
        file.seek(1_234_567)
        assert file.read(2_000_000) == body[1_234_567:][:2_000_000]
        file.seek(5)
        assert file.read(3) == body[5:8]


def test_what_is_missing_cannot_be_opened(store: Store) -> None:
    with pytest.raises(StoreError, match=r"cannot read \S+none"):
        store.open("none")


@pytest.mark.parametrize(
    ("bucket", "out", "message"),
    [
        (None, None, "either --s3-bucket NAME or --out"),
        ("b", "out", "either --s3-bucket NAME or --out"),
        (None, "", "either --s3-bucket NAME or --out"),
        ("", None, "either --s3-bucket NAME or --out"),
        ("s3://trades/raw/", None, "--s3-bucket trades --s3-prefix raw$"),
        ("s3://trades", None, "--s3-bucket trades$"),
        ("trades/", None, "--s3-bucket trades$"),
        ("a b", None, "no bucket's name"),
    ],
)
def test_a_place_that_is_none_is_refused(bucket: str | None, out: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_store(bucket=bucket, out=out)


def test_a_bucket_is_reached_only_when_it_is_used() -> None:
    assert open_store(bucket="my-bucket", out=None).uri == "s3://my-bucket"
