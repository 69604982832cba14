"""What can go wrong in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemahub_lib.errors import StoreError, UsageError
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.store import open_store


def test_the_folder_is_made(tmp_path: Path) -> None:
    store = open_store(bucket=None, out=str(tmp_path / "new" / "out"))
    assert store.uri == str(tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out").is_dir()


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StoreError, match=r"cannot make the folder .*/out: .*a file is in the way"):
        open_store(bucket=None, out=str(tmp_path / "out"))


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    store = LocalStore.make(str(tmp_path))
    user = os.geteuid()
    tmp_path.chmod(0o500)
    if not user:
        os.seteuid(65534)  # root may write everywhere
    try:
        with pytest.raises(StoreError, match=r"cannot write .*/a: Permission denied; let this user write there"):
            store.create("a")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd", ""])
def test_keys_stay_in_the_folder(key: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leads out of"):
        LocalStore(tmp_path).read(key)


WRITE = """
import sys
from pathlib import Path
from schemahub_lib.errors import StoreError
from schemahub_lib.landing.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
with store.create("a/k") as sink:
    sink.write(b"new" * 100_000)
    print("half", flush=True)
    sys.stdin.read()
    sink.write(b"new" * 100_000)
"""


def test_a_full_disk_is_one_clear_sentence_and_leaves_the_old_object(tmp_path: Path) -> None:
    LocalStore(tmp_path).write("a/k", b"old", expected=None)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n{WRITE}"
    done = subprocess.run([sys.executable, "-c", limited, tmp_path], input="", capture_output=True, text=True)
    assert "StoreError: cannot write" in done.stderr
    assert "a/k: File too large; free some room" in done.stderr
    assert [path.name for path in (tmp_path / "a").iterdir() if path.suffix != ""] == []
    assert (tmp_path / "a" / "k").read_bytes() == b"old"


def test_a_killed_writer_leaves_the_old_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("a/k", b"old", expected=None)
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    assert (tmp_path / "a" / "k").read_bytes() == b"old"
    assert [entry.key for entry in store.list("")] == ["a/k"]


def test_what_killed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".schemahub-1.tmp", tmp_path / ".schemahub-2.tmp"
    for left in (old, young):
        left.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    LocalStore(tmp_path).write("k", b"x", expected=None)
    assert not old.exists()
    assert young.exists()
