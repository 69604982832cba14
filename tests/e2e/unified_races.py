"""Four processes that write to one `trades_unified`, killed at random if wanted, while a reader looks at all it shows.

Two unify, one restates days, one maintains and keeps nothing. Raw grows all the while, and garbage is planted in the
unified table. What the reader sees must be whole at every moment, and the table exact in the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Operation, Snapshot

from schemahub_lib.config import Settings
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.snapshots import figure
from schemahub_lib.tables.state import is_mark, read_state
from tests.e2e.pipelines import TARGET, unified
from tests.e2e.raw_feed import DAYS, GARBAGE, PLANTED, VENUES, Feed, mappings, raw_table
from tests.e2e.support import BRIEF_JVM, ROOT
from tests.e2e.unified_writer import CALLING

WRITERS = ("unify", "unify", "restate", "maintain")
NO_SWEEP, SWEEP_ALL = 48 * 3600.0, 0.0  # seconds after which a branch counts as left behind


@dataclass
class Tally:
    """What a race came to: how often which operation ended how, the steps at which writers were killed, the procedures
    of Iceberg's that were called. `lost` are the publishes written again since another came first, `heads` the states
    of the table that the reader saw, `expired` those that were gone before it had read them."""

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    procedures: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    heads: int = 0
    expired: int = 0

    @property
    def over(self) -> int:
        """How many operations came to an end, or were killed."""
        return self.ended.total() + self.kills.total()

    def of(self, status: str) -> int:
        return sum(count for (_, how), count in self.ended.items() if how == status)

    def each(self, times: int) -> bool:
        """Whether every writer can have come to an end so many times."""
        by_operation = Counter[str]()
        for (operation, _), count in self.ended.items():
            by_operation[operation] += count
        return all(by_operation[operation] >= times * WRITERS.count(operation) for operation in WRITERS)

    def __str__(self) -> str:
        publishes = self.of("ok") - self.ended["maintain", "ok"]
        told = f"{publishes} publishes, {self.of('refused')} refused, {self.lost} written again; "
        told += f"{counted(self.procedures)}; {self.heads} heads read, {self.expired} expired before"
        return told + (f"; {self.kills.total()} kills ({counted(self.kills)})" if self.kills else "")

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.ended + other.ended,
            self.kills + other.kills,
            self.procedures + other.procedures,
            self.lost + other.lost,
            self.heads + other.heads,
            self.expired + other.expired,
        )


def counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items(), key=lambda part: -part[1]))


class Writer:
    """A process of `unified_writer`, and its JVM."""

    def __init__(self, aws: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.unified_writer"],
            cwd=ROOT,
            env=os.environ | aws | BRIEF_JVM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.busy = self.killed = False
        self.steps: list[str] = []

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        assert self.killed, f"a writer died by itself after {self.steps[-3:]}"

    def wait(self) -> None:
        """Until it is ready."""
        next(self.messages())

    def do(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """What became of an order; None when the process was killed over it."""
        assert self._process.stdin is not None
        self.steps, self.busy = [], True
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            for message in self.messages():
                if "ended" in message:
                    return message
                self.steps.append(message["step"])
        except BrokenPipeError:
            assert self.killed
        finally:
            self.busy = False
        return None

    def kill(self) -> None:
        """The process and its JVM at once, as when a machine goes down."""
        self.killed = True
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if not self.killed:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # the last order was not read
                pipe.close()


class Fleet:
    """A writer for each of `WRITERS`."""

    def __init__(self, aws: Mapping[str, str]) -> None:
        self._aws = aws
        self.writers = [Writer(aws) for _ in WRITERS]
        for writer in self.writers:
            writer.wait()

    def replace(self, slot: int) -> None:
        self.writers[slot].close()
        self.writers[slot] = Writer(self._aws)
        self.writers[slot].wait()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


@contextmanager
def fleet(aws: Mapping[str, str]) -> Iterator[Fleet]:
    started = Fleet(aws)
    try:
        yield started
    finally:
        started.close()


def place(profile: str, folder: Path, aws: Mapping[str, str]) -> dict[str, str]:
    """The environment of a warehouse that does not exist yet."""
    folder.mkdir()
    told = {"SCHEMAHUB_MAPPINGS": str(mappings(folder / "mappings"))}
    if profile == "local":
        return told | {"SCHEMAHUB_WAREHOUSE": str(folder / "warehouse")}
    name = f"race-{os.getpid()}-{time.time_ns()}"
    s3 = boto3.client(
        "s3",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
        region_name=aws["AWS_DEFAULT_REGION"],
    )
    s3.create_bucket(Bucket=name)
    return told | {
        "SCHEMAHUB_PROFILE": "glue",
        "SCHEMAHUB_WAREHOUSE": f"s3://{name}/warehouse",
        "SCHEMAHUB_DATABASE": name.replace("-", "_"),
        **aws,
    }


class Reader:
    """Looks at each state that main ever had, as long as it is there, and never finds half of a publish."""

    def __init__(self, lake: Lake, feed: Feed, tally: Tally) -> None:
        self._lake, self._feed, self._tally = lake, feed, tally
        self._seen: set[int] = set()

    def look(self) -> None:
        table = self._lake.find(TARGET)
        for entry in table.history() if table is not None else ():
            if entry.snapshot_id not in self._seen:
                self._seen.add(entry.snapshot_id)
                self._read(table, entry.snapshot_id)

    def _read(self, table: IcebergTable, head: int) -> None:
        snapshot = table.snapshot_by_id(head)
        if snapshot is None:
            self._tally.expired += 1
            return
        assert _is_whole(snapshot), f"main was at a snapshot that ends no publish: {snapshot}"
        try:
            found = table.scan(snapshot_id=head).to_arrow().to_pylist()
        except FileNotFoundError:
            now = self._lake.find(TARGET)
            assert now is not None
            assert now.snapshot_by_id(head) is None, "a file is gone that a snapshot needs"
            self._tally.expired += 1
            return
        self._check(table, head, found)
        self._tally.heads += 1

    def _check(self, table: IcebergTable, head: int, found: list[dict[str, Any]]) -> None:
        trades = {
            (r["exchange"], r["symbol"], r["trade_id"]): (r["side"], r["price"], r["quantity"], r["trade_ts"])
            for r in found
        }
        assert len(trades) == len(found), "a key stands twice"
        garbage = {key for key in trades if int(key[2]) >= GARBAGE}
        for planted in self._feed.planted:
            assert planted & garbage in (planted, frozenset()), "a restatement took out a part of what it should"
        told = {key: values for key, values in trades.items() if key not in garbage}
        appends = {int(values[2]) for values in told.values()}
        for source, snapshot_id in read_state(table, head).sources.items():
            # The state comes with the rows: what it says is unified is there.
            appends |= self._unified(source, snapshot_id)
        assert told == self._feed.expected(appends), "a reader saw a part of a publish"

    def _unified(self, source: str, snapshot_id: int) -> set[int]:
        exchange = next(name for name in VENUES if raw_table(name).name == source)
        raw = self._lake.find(source)
        snapshot = raw.snapshot_by_id(snapshot_id) if raw is not None else None
        return self._feed.first_appends(exchange, figure(snapshot, "total-records")) if snapshot else set()


def _is_whole(snapshot: Snapshot) -> bool:
    """Whether it ends a publish, rewrote files, was planted, or is the empty one a table begins with."""
    assert snapshot.summary is not None
    rewrote = snapshot.summary.operation == Operation.REPLACE
    planted = PLANTED in snapshot.summary.additional_properties
    return is_mark(snapshot) or rewrote or planted or figure(snapshot, "total-records") == 0


class Race:
    """A warehouse and the writers that race for it."""

    def __init__(self, place: dict[str, str], fleet: Fleet, rng: random.Random) -> None:
        self._place, self._fleet, self._rng = place, fleet, rng
        self.lake = Lake(Settings.load(environment=place))
        self.feed, self.tally = Feed(self.lake, rng), Tally()
        self.reader = Reader(self.lake, self.feed, self.tally)
        self._patience, self._branch_lifetime = 0.0, NO_SWEEP
        self._over = False
        self._next_feed = self._next_kill = 0.0

    def run(
        self,
        enough: Callable[[Tally], bool],
        *,
        patience: float,
        kill_every: float | None = None,
        branch_lifetime: float = NO_SWEEP,
    ) -> None:
        """Let them race until it is enough. `patience` is how long they wait for each other's lock (0: not at all),
        `kill_every` the average time between two kills, all in seconds."""
        self._patience, self._branch_lifetime, self._over = patience, branch_lifetime, False
        self._next_kill = time.monotonic() + (kill_every or 0)
        with ThreadPoolExecutor(len(WRITERS)) as pool:
            working = [pool.submit(self._work, slot) for slot in range(len(WRITERS))]
            try:
                while not enough(self.tally) and not any(future.done() for future in working):
                    self._beat(kill_every)
                self._over = True
                while not all(future.done() for future in working):
                    self._beat(None)
            finally:
                self._over = True
        for future in working:
            future.result()

    def _work(self, slot: int) -> None:
        while not self._over:
            if self._fleet.writers[slot].killed:
                self._fleet.replace(slot)
            self._do(slot, self._order(slot))
            self._rest(slot)

    def _rest(self, slot: int) -> None:
        """Maintenance waits until another writer has come to its end: it expires what they read, so that on a machine
        that is slow enough all would only begin anew."""
        time.sleep(self._rng.uniform(0, 1))
        done = self.tally.over
        while WRITERS[slot] == "maintain" and self.tally.over == done and not self._over:
            time.sleep(0.1)

    def _order(self, slot: int) -> dict[str, Any]:
        return {
            "operation": WRITERS[slot],
            "day": self._rng.choice(DAYS).isoformat(),
            "environment": self._place,
            "patience": self._patience,
            "expiry": 15.0,  # a lock object in S3 outlives whoever is killed
            "branch_lifetime": self._branch_lifetime,
        }

    def _do(self, slot: int, order: Mapping[str, Any]) -> None:
        writer = self._fleet.writers[slot]
        outcome = writer.do(order)
        branches = sum(step.startswith(f"{TARGET}: set-snapshot-ref run_") for step in writer.steps)
        self.tally.lost += max(branches - 1, 0)
        called = (step.removeprefix(CALLING) for step in writer.steps if step.startswith(CALLING))
        self.tally.procedures.update(called)
        if outcome is None:
            self.tally.kills[stage(writer.steps)] += 1
            return
        assert outcome["ended"] != "failed", f"{order['operation']} failed: {outcome['error']}"
        self.tally.ended[str(order["operation"]), outcome["ended"]] += 1

    def _beat(self, kill_every: float | None) -> None:
        now = time.monotonic()
        if now >= self._next_feed and not self._over:
            self.feed.append(self._rng.choice(list(VENUES)))
            if self.tally.ended["unify", "ok"] and self._rng.random() < 0.05:
                self.feed.plant()
            self._next_feed = now + self._rng.uniform(1, 5)
        busy = [writer for writer in self._fleet.writers if writer.busy]
        if kill_every is not None and now >= self._next_kill and len(busy) > 1:
            self._rng.choice(busy).kill()
            self._next_kill = now + self._rng.uniform(0, 2 * kill_every)
        self.reader.look()
        time.sleep(0.25)

    def settle(self) -> None:
        """What a killed writer left undone is done, and swept: an operation of each kind, one after the other."""
        self._branch_lifetime = SWEEP_ALL
        survivor = next((slot for slot, writer in enumerate(self._fleet.writers) if not writer.killed), 0)
        if self._fleet.writers[survivor].killed:
            self._fleet.replace(survivor)
        for operation in dict.fromkeys(WRITERS):
            self._do(survivor, self._order(survivor) | {"operation": operation, "day": None})
            self.reader.look()

    def assert_no_branches(self) -> None:
        for name in (TARGET, *(raw_table(exchange).name for exchange in VENUES)):
            table = self.lake.find(name)
            assert table is not None
            tags = {f"unified_{TARGET}"} if name != TARGET else set()
            assert set(table.refs()) <= {"main"} | tags

    def assert_exact(self) -> None:
        """The table is what the appends come to, raw is as it was, and nothing of a publish is left over."""
        assert unified(self.lake) == self.feed.expected(self.feed.appends)
        self.feed.assert_raw_is_as_appended()
        self.assert_no_branches()


def stage(steps: list[str]) -> str:
    """How far an operation had come, told by its last step."""
    last = steps[-1] if steps else ""
    if last.startswith(CALLING):
        return last.removeprefix(CALLING)
    if last == "rows merged into the branch":
        return "merged"
    table, _, commit = last.partition(": ")
    if table != TARGET:
        return "ledgers and tags" if steps else "before"
    if "set-snapshot-ref main" in commit:
        return "published"
    if "add-snapshot" in commit:
        return "marked"
    return "branched" if commit.startswith("set-snapshot-ref") else "branch dropped"
