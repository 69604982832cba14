"""Long runs that are not part of the test suite: `python -m tests.soak kills|races|unified-kills [N] [--seed S]`.

`kills`: backfills, ingests and backfills into the raw table, killed by SIGKILL at N random moments, each resumed until
it ends by itself. Then every trade must be there once, and after no kill may more have been fetched anew than one batch
and what was on its way.

`races`, `unified-kills`: N rounds of writers of `trades_unified` racing each other, or N SIGKILLs among them; see
`tests/e2e/unified_races.py`. Each table must be exact in the end, and whole to a reader all the while.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import default_prefix
from schemahub_lib.landing.s3 import S3Store
from schemahub_lib.landing.store import Store
from schemahub_lib.pipeline.history import MOST_PAGES
from schemahub_lib.pipeline.landed import batches, layout_of, objects
from schemahub_lib.tables import lock
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state
from tests.conftest import aws_server
from tests.e2e.support import ROOT, environment, keys
from tests.e2e.tape import TapeServer, with_holes
from tests.e2e.unified_races import Fleet, Race, Tally, fleet, place

PRODUCT = "BTC-USD"
COINBASE = EXCHANGES["coinbase"]
PREFIX = default_prefix("coinbase")
FORMATS = (("jsonl", "none"), ("jsonl", "gzip"), ("jsonl", "zstd"), ("parquet", "none"), ("parquet", "gzip"))
TRADES = 30_000
MOST_KILLS = 25  # of a round, so that it ends
_numbers = itertools.count()


@dataclass
class Result:
    """What a round of kills came to. `again` is how many trades each run fetched that one before it had fetched."""

    told: str
    again: list[int] = field(default_factory=list)
    allowed: int = 0

    @property
    def kills(self) -> int:
        return len(self.again)


@dataclass
class Place:
    """Where a round lands its objects, and how a process is told."""

    store: Store
    flags: Sequence[str]
    env: dict[str, str]
    folder: Path

    @classmethod
    def make(cls, folder: Path, server: TapeServer, aws: Mapping[str, str] | None) -> Place:
        env = environment({"coinbase": server.url}, folder / "warehouse", PYTHONPATH=str(ROOT), **(aws or {}))
        if aws is None:
            return cls(LocalStore.make(str(folder / "out")), ("--out", str(folder / "out")), env, folder)
        store = bucket(aws)
        return cls(store, ("--s3-bucket", store.bucket), env, folder)


def bucket(aws: Mapping[str, str]) -> S3Store:
    """A new bucket of the S3 that these environment variables tell of."""
    os.environ.update(aws)
    store = S3Store(f"soak-{os.getpid()}-{next(_numbers)}")
    store.client.create_bucket(Bucket=store.bucket)
    return store


def begin(place: Place, rows: int, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start the command line with batches of so many rows, in the round's folder."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests/e2e/small_batches.py"), str(rows), *arguments],
        env=place.env | env,
        cwd=place.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Wait for its end."""
    out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def landed(store: Store, prefix: str = PREFIX) -> Counter[int]:
    """How often each trade id lies landed."""
    found: Counter[int] = Counter()
    for entry, name in objects(store, prefix, "coinbase"):
        for batch in batches(store, entry, name, layout_of(COINBASE)):
            assert not batch.bad, f"{entry.key}: {batch.bad}"
            found.update(int(str(shown)) for shown in batch.columns["trade_id"])
    return found


def assert_exact(found: Counter[int], ids: Sequence[int]) -> None:
    """Every trade of the tape once, and nothing else."""
    assert {number: times for number, times in found.items() if times > 1} == {}, "landed twice"
    assert sorted(set(ids) - found.keys()) == [], "lost"
    assert sorted(found.keys() - set(ids)) == [], "invented"


def holes(rng: random.Random, *, wide: bool = True) -> list[int]:
    """The ids of a tape with single ones missing here and there, and one whole range of several pages."""
    low = rng.randint(TRADES // 4, TRADES // 2)
    ranges = [(low, low + rng.randint(2000, 6000))] if wide else []
    return with_holes(TRADES, *ranges, singly=rng.sample(range(1, TRADES + 1), 40))


def on_the_way(chunk: int, concurrency: int, *, wide: bool) -> int:
    """How many trades may be fetched and not in a batch yet: one piece that did not fit, two on their way to it, and
    those fetched ahead. Below a wide hole pieces are wide too."""
    return (concurrency + 3) * chunk * (MOST_PAGES if wide else 1)


def _kill(process: subprocess.Popen[str], server: TapeServer, rng: random.Random, most: int) -> bool:
    """Kill at a random moment after a random number of answers; whether it was still running."""
    goal = len(server.asked) + rng.randint(0, most)
    while len(server.asked) < goal and process.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.03))
    if process.poll() is None:
        process.kill()
    ended = finish(process)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


def _killed_till_done(
    place: Place, server: TapeServer, rng: random.Random, rows: int, command: Sequence[str], result: Result, most: int
) -> None:
    """Kill a command again and again until it ends before."""
    before: set[int] = set()
    while True:
        asked = len(server.asked)
        process = begin(place, rows, *command)
        if result.kills >= MOST_KILLS:
            ended = finish(process)
            assert ended.returncode == 0, ended.stderr
        killed = _kill(process, server, rng, most)
        now = set(server.served(asked))
        if before:
            result.again.append(len(now & before))
        before |= now
        if not killed:
            return


def kill_backfill(folder: Path, rng: random.Random, aws: Mapping[str, str] | None) -> Result:
    """One backfill into objects."""
    format_, compress = rng.choice(FORMATS)
    chunk, concurrency = rng.choice((200, 500, 1000)), rng.randint(1, 6)
    rows = chunk * rng.randint(3, 8)
    beside, wide = aws is not None and rng.random() < 0.7, rng.random() < 0.5
    with TapeServer(BTC_USD=holes(rng, wide=wide)) as server:
        server.delay = 0.002
        place = Place.make(folder, server, aws)
        command = (
            *("backfill", "--products", PRODUCT, "--resume", "--chunk-size", str(chunk)),
            *("--concurrency", str(concurrency), "--format", format_, "--compress", compress, *place.flags),
            *(["--checkpoint-s3"] if beside else []),
        )
        told = f"backfill, {format_} {compress}, chunks of {chunk}, {concurrency} at once, batches of {rows}"
        told += f"{', a wide hole' * wide}, {'S3' if aws else 'a folder'}"
        result = Result(told, allowed=rows + on_the_way(chunk, concurrency, wide=wide))
        _killed_till_done(place, server, rng, rows, command, result, most=2 * rows // chunk + (30 if wide else 0))
        assert_exact(landed(place.store), server.tapes[PRODUCT].ids)
        stored = (
            place.store.read(f"{PREFIX}/checkpoints/{PRODUCT}.json")
            if beside
            else LocalStore(folder).read(f"state/{PRODUCT}.json")
        )
        assert stored is not None
        checkpoint = json.loads(stored.body)
        assert checkpoint["complete"] is True
        assert checkpoint["last_trade_id"] == checkpoint["position"] == 1
        assert checkpoint["trades_processed"] == len(server.tapes[PRODUCT].ids)
    return result


def kill_ingest(folder: Path, rng: random.Random, aws: Mapping[str, str] | None) -> Result:
    """Microbatches over a tape that grows between them."""
    format_, compress = rng.choice(FORMATS)
    limit = rng.choice((200, 500, 1000))
    rows = limit * rng.randint(3, 8)
    tape = iter(holes(rng))
    with TapeServer(start=datetime.now(UTC) - timedelta(hours=1), BTC_USD=itertools.islice(tape, 8000)) as server:
        server.delay = 0.002
        place = Place.make(folder, server, aws)
        command = (
            *("ingest", PRODUCT, "--limit", str(limit), "--cold-start-window", "2h"),
            *("--format", format_, "--compress", compress, *place.flags),
        )
        # One that did not fit, two on their way to it, and the one by which a cold start finds its place.
        told = f"ingest, {format_} {compress}, pages of {limit}, batches of {rows}, {'S3' if aws else 'a folder'}"
        result = Result(told, allowed=rows + 4 * limit)
        ids = server.tapes[PRODUCT]
        while True:
            _killed_till_done(place, server, rng, rows, command, result, most=2 * rows // limit)
            more = list(itertools.islice(tape, rng.randint(3000, 9000)))
            if not more:
                break
            ids.add(more)
        assert_exact(landed(place.store), ids.ids)
        stored = place.store.read(f"{PREFIX}/ingest_checkpoints/{PRODUCT}.json")
        assert stored is not None
        assert json.loads(stored.body)["last_trade_id"] == ids.ids[-1]
    return result


def kill_raw(folder: Path, rng: random.Random, aws: Mapping[str, str] | None = None) -> Result:
    """One backfill into the raw table."""
    chunk, concurrency = rng.choice((500, 1000)), rng.randint(1, 6)
    rows = chunk * rng.randint(5, 12)
    wide = rng.random() < 0.5
    with TapeServer(BTC_USD=holes(rng, wide=wide)) as server:
        server.delay = 0.002
        place = Place.make(folder, server, None)
        command = (
            *("backfill", "--to", "raw", "--products", PRODUCT, "--chunk-size", str(chunk)),
            *("--concurrency", str(concurrency)),
        )
        told = f"backfill --to raw, chunks of {chunk}, {concurrency} at once, batches of {rows}{', a wide hole' * wide}"
        result = Result(told, allowed=rows + on_the_way(chunk, concurrency, wide=wide))
        _killed_till_done(place, server, rng, rows, command, result, most=2 * rows // chunk + (30 if wide else 0))
        lake = Lake(Settings.load(environment=place.env))
        found = keys(lake, "raw_coinbase_trades", ("trade_id",))
        assert_exact(Counter({int(key[0]): times for key, times in found.items()}), server.tapes[PRODUCT].ids)
        table = lake.find("raw_coinbase_trades")
        assert table is not None
        assert read_state(table).streams[PRODUCT].covered == ((1, server.tapes[PRODUCT].ids[-1]),)
    return result


ROUNDS = {"backfill": kill_backfill, "ingest": kill_ingest, "raw": kill_raw}


def rounds(seed: int, aws: Mapping[str, str], folder: Path, kinds: Sequence[str] = tuple(ROUNDS)) -> Iterator[Result]:
    """Rounds without end, each checked; every other one of a kind lands in S3."""
    for number in itertools.count():
        rng = random.Random(f"{seed} {number}")
        kind = kinds[number % len(kinds)]
        place = folder / f"{kind}-{seed}-{number}"
        place.mkdir()
        result = ROUNDS[kind](place, rng, aws if number // len(kinds) % 2 else None)
        assert max(result.again, default=0) <= result.allowed, f"seed {seed}, round {number}: {result}"
        yield result


def until(kills: int, results: Iterator[Result]) -> Iterator[Result]:
    """As many rounds as it takes for so many kills."""
    made = 0
    while made < kills:
        result = next(results)
        made += result.kills
        yield result


RACING_PROFILES = ("local", "glue")
PATIENCES = (0.0, 5.0, lock.PATIENCE)
KILLS_A_ROUND = 10


def race(number: int, seed: int, aws: Mapping[str, str], folder: Path, writers: Fleet, kills: int = 0) -> Race:
    """A round on a warehouse of its own, every other one on Glue: until each writer came to an end, or so many
    were killed."""
    rng = random.Random(f"{seed} {number}")
    profile = RACING_PROFILES[number % len(RACING_PROFILES)]
    running = Race(place(profile, folder / f"{profile}-{seed}-{number}", aws), writers, rng)
    if kills:
        running.run(lambda tally: tally.kills.total() >= kills, patience=5, kill_every=3, branch_lifetime=120)
    else:
        running.run(lambda tally: tally.each(1), patience=rng.choice(PATIENCES))
        running.assert_no_branches()
    running.settle()
    running.assert_exact()
    return running


def race_on(wanted: int, seed: int, aws: Mapping[str, str], folder: Path, *, killing: bool) -> None:
    """So many rounds, or kills."""
    total = Tally()
    with fleet(aws) as writers:
        for number in itertools.count():
            left = wanted - (total.kills.total() if killing else number)
            if left <= 0:
                break
            started = time.monotonic()
            running = race(number, seed, aws, folder, writers, min(left, KILLS_A_ROUND) if killing else 0)
            total += running.tally
            told = f"{running.lake.settings.profile:5} {time.monotonic() - started:4.0f} s"
            print(f"round {number + 1:3}  {told}  exact  {running.tally}", flush=True)
    print(f"seed {seed}, {number} rounds, all exact: {total}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told, default in (
        ("kills", "random kills of what fetches", 200),
        ("races", "rounds of racing unifies, restatements and maintenance", 50),
        ("unified-kills", "random kills among these", 200),
    ):
        command = commands.add_parser(name, help=told)
        command.add_argument("wanted", nargs="?", type=int, default=default)
        command.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    started, made = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder, aws_server() as aws:
        if chosen.command != "kills":
            race_on(chosen.wanted, chosen.seed, aws, Path(folder), killing=chosen.command == "unified-kills")
            return
        for result in until(chosen.wanted, rounds(chosen.seed, aws, Path(folder))):
            made += result.kills
            again = f"fetched again at most {max(result.again, default=0):5,} of {result.allowed:6,} allowed"
            print(f"{made:4} kills   {again}   {result.told}", flush=True)
    print(f"{made} kills in {time.monotonic() - started:.0f} s: every trade once")


if __name__ == "__main__":
    main()
