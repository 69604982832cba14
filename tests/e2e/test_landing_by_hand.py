"""The landing commands as people use them by hand: `ingest` never goes on past a trade that has not landed, whatever
was asked for or lost before; a plan is what comes of it; nothing of another place is lost."""

from __future__ import annotations

import itertools
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.http.messages import RateLimit
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.pipeline import land_history, land_new
from schemahub_lib.simulator import Simulator
from tests.e2e.conftest import Outcome
from tests.e2e.tape import TapeServer, with_holes
from tests.soak import PREFIX, PRODUCT, Place, begin, finish, landed

# Ids are missing where one object ends and the next begins.
IDS = with_holes(3000, (700, 1100))


@pytest.fixture
def server() -> Iterator[TapeServer]:
    second = timedelta(seconds=1)
    with TapeServer(start=datetime.now(UTC) - 3000 * second, apart=second, BTC_USD=IDS) as running:
        yield running


@pytest.fixture
def run(
    cli: Callable[..., Outcome], server: TapeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """A landing command in a folder of its own, with objects of 500 trades."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Coinbase, "rate_limit", RateLimit(units=1e6, seconds=1, burst=1e6))
    monkeypatch.setattr(land_history, "MOST_ROWS", 500)
    monkeypatch.setattr(land_new, "MOST_ROWS", 500)
    variables = {"SCHEMAHUB_COINBASE_URL": server.url, "SCHEMAHUB_WAREHOUSE": str(tmp_path / "warehouse")}
    return partial(cli, **variables)


class Market:
    """What is on the tape, what has landed of it, and how to land more."""

    def __init__(self, run: Callable[..., Outcome], server: TapeServer, folder: Path) -> None:
        self.run, self.tape, self.out = run, server.tapes[PRODUCT], folder / "out"
        self.watermark_file = self.out / PREFIX / f"ingest_checkpoints/{PRODUCT}.json"

    def ingest(self, *flags: str, code: int = 0) -> Outcome:
        done = self.run("ingest", PRODUCT, "--out", str(self.out), *flags)
        assert done.code == code, done.err
        return done

    def backfill(self, *flags: str, code: int = 0) -> Outcome:
        done = self.run("backfill", "--products", PRODUCT, "--out", str(self.out), *flags)
        assert done.code == code, done.err
        return done

    def trades_come(self, number: int) -> None:
        last = self.tape.ids[-1]
        self.tape.add(range(last + 1, last + 1 + number))

    def when(self, number: int) -> datetime:
        return self.tape.start + number * self.tape.apart

    def watermark(self) -> Any:
        return json.loads(self.watermark_file.read_text())["last_trade_id"] if self.watermark_file.exists() else None

    def landed(self) -> dict[int, int]:
        return landed(LocalStore.make(str(self.out)))


@pytest.fixture
def market(run: Callable[..., Outcome], server: TapeServer, tmp_path: Path) -> Market:
    return Market(run, server, tmp_path)


# A checkpoint that was lost


def test_a_rebuilt_watermark_does_not_jump_over_what_was_never_landed(market: Market) -> None:
    market.ingest("--cold-start-window", "2h")
    market.trades_come(600)
    told = market.ingest("--before", "3400")
    assert "stays at trade 3000" in told.err
    market.watermark_file.write_text("{")
    market.trades_come(10)
    told = market.ingest()
    assert "reading what has landed instead" in told.err
    assert "between what has landed from 1 to 3000 and what has from 3401 to 3600" in told.err
    assert "this goes on after trade 3000" in told.err
    assert sorted(market.landed()) == market.tape.ids
    assert market.watermark() == 3610


def test_a_rebuilt_watermark_goes_over_ids_that_the_exchange_does_not_have(market: Market) -> None:
    market.ingest("--cold-start-window", "2h")
    market.watermark_file.write_text("{")
    told = market.ingest("--json")
    assert json.loads(told.out)[0]["status"] == "nothing new"
    assert "trades are missing" not in told.err
    assert market.watermark() == 3000


def test_what_an_unfinished_backfill_landed_is_not_where_a_rebuilt_watermark_begins(market: Market) -> None:
    market.ingest("--cold-start-window", "20m")
    since, until = (f"{market.when(number):%Y-%m-%dT%H:%M:%S.%f}" for number in (1200, 1400))
    market.backfill("--since", since, "--until", until)
    before = market.landed()
    assert set(before) > {1200, 1399}
    market.watermark_file.write_text("{")
    market.trades_come(10)
    told = market.ingest()
    assert "trades are missing" not in told.err
    assert market.landed() == before | dict.fromkeys(range(3001, 3011), 1)


# Where to begin, as told


def test_trades_asked_for_by_id_set_no_watermark_before_they_come_to_the_newest(market: Market) -> None:
    told = market.ingest("--before", "1200", "--after", "1900")
    assert sorted(market.landed()) == list(range(1201, 1900))
    assert market.watermark() is None
    assert "up to trade 1899, does not come to the newest trade, so no watermark is set" in told.err
    assert "--before 1899 goes on after it" in told.err
    told = market.ingest("--before", "1899")
    assert "no watermark is set" not in told.err
    assert market.watermark() == 3000
    market.trades_come(10)
    market.ingest()
    assert dict(market.landed()) == dict.fromkeys(range(1201, 3011), 1)


def test_an_old_id_where_the_run_ends_early_is_not_where_later_ones_go_on(market: Market, server: TapeServer) -> None:
    answers = itertools.count()
    server.spoil = lambda asked, body: (404, b'{"message":"NotFound"}') if next(answers) > 2 else None
    told = market.ingest("--skip-checkpoint", "--before", "5", "--limit", "200", code=1)
    server.spoil = None
    assert "no watermark is set" in told.err
    assert market.landed()
    assert market.watermark() is None
    market.ingest("--cold-start-window", "20m")
    assert market.watermark() == 3000
    assert 1200 not in market.landed()


def test_to_skip_a_checkpoint_that_is_not_there_is_to_begin(market: Market) -> None:
    market.ingest("--skip-checkpoint", "--cold-start-window", "20m", "--after", "2500")
    assert market.watermark() == 2499
    market.ingest()
    assert market.watermark() == 3000


def test_what_does_not_go_on_where_the_watermark_is_is_told_once(market: Market) -> None:
    market.ingest("--cold-start-window", "2h", "--after", "500")
    told = market.ingest("--before", "600", "--limit", "200")
    assert len(list(market.out.rglob("raw_*"))) > 3
    assert told.err.count("does not go on where the watermark is, so that stays at trade 499") == 1


def test_how_many_trades_are_asked_for_is_told_at_the_start(market: Market) -> None:
    told = market.ingest("--before", "5")
    assert "about 2,995 trades are asked for, going by their ids, and come oldest first" in told.err
    assert "for history there is `backfill`" in told.err
    assert "about 9 trades are asked for" in market.ingest("--before", "5", "--after", "15").err


@pytest.mark.slow
def test_ctrl_c_tells_where_the_next_run_goes_on(market: Market, server: TapeServer, tmp_path: Path) -> None:
    market.ingest("--cold-start-window", "2h", "--after", "500")
    place = Place.make(tmp_path, server, None)
    server.delay = 0.3
    asked = len(server.asked)
    process = begin(place, 200, "ingest", PRODUCT, "--before", "600", "--limit", "100", *place.flags)
    while len(server.asked) < asked + 10 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    server.delay = 0.0
    assert ended.returncode == 130, ended.stderr
    assert "the next run goes on after each product's watermark, which need not have come as far" in ended.stderr
    assert f"up to trade {max(market.landed())}, does not go on where the watermark is" in ended.stderr
    assert market.watermark() == 499


# Plans


def half_way(market: Market, server: TapeServer) -> None:
    """A backfill that ends after some objects, because the product is delisted for a while."""
    answers = itertools.count()
    server.spoil = lambda asked, body: (404, b'{"message":"NotFound"}') if next(answers) > 15 else None
    market.backfill("--chunk-size", "100", code=1)
    server.spoil = None
    assert 500 <= len(market.landed()) < len(IDS)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_plan_to_resume_is_what_resuming_fetches_and_writes_nothing(
    market: Market, server: TapeServer, tmp_path: Path, damaged: bool
) -> None:
    half_way(market, server)
    left = min(market.landed()) - 1
    checkpoint = tmp_path / f"state/{PRODUCT}.json"
    if damaged:
        checkpoint.write_text("{")
    files = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    planned = json.loads(market.backfill("--resume", "--dry-run", "--json").out)
    assert [plan["trades"] for plan in planned] == [left]  # by ids, of which some have no trade
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == files
    market.backfill("--resume")
    assert sorted(market.landed()) == IDS
    planned = json.loads(market.backfill("--resume", "--dry-run", "--json").out)
    assert [plan["trades"] for plan in planned] == [0]


def test_a_plan_makes_no_folder_and_asks_where_to_resume(market: Market, run: Callable[..., Outcome]) -> None:
    planned = json.loads(market.backfill("--resume", "--dry-run", "--json").out)
    assert [plan["trades"] for plan in planned] == [3000]
    assert not market.out.exists()
    told = run("backfill", "--products", PRODUCT, "--resume", "--dry-run")
    assert (told.code, "either --s3-bucket NAME or --out FOLDER" in told.err) == (2, True)


@pytest.mark.parametrize(("products", "code"), [("BTC-USD", 0), ("BTC-USD,NO-SUCH", 3), ("NO-SUCH,NOR-THIS", 1)])
def test_a_plan_that_cannot_be_made_shows_in_the_exit_code(
    run: Callable[..., Outcome], products: str, code: int
) -> None:
    told = run("backfill", "--products", products, "--dry-run")
    assert told.code == code
    assert ("cannot be planned" in told.out) == (code != 0)


@pytest.mark.slow
def test_a_plan_shows_where_the_newest_trade_stands_as_people_read_it(cli: Callable[..., Outcome]) -> None:
    with Simulator(seed=5, now="2024-02-08T12:00:00Z", speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        flags = ("--source", "kraken", "--products", "XBTUSD", "--since", "2024-02-08T11:30:00", "--dry-run")
        told = cli("backfill", *flags, SCHEMAHUB_KRAKEN_URL=simulator.urls["kraken"])
    assert re.search(r"XBTUSD\s+│ 2024-02-08 11:[45]\d:\d\d │", told.out), told.out


# Checkpoints of two places


def test_an_unfinished_backfills_only_checkpoint_is_not_overwritten_by_one_elsewhere(
    market: Market, server: TapeServer, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    half_way(market, server)
    checkpoint = tmp_path / f"state/{PRODUCT}.json"
    before = checkpoint.read_bytes()
    elsewhere = ("backfill", "--products", PRODUCT, "--out", str(tmp_path / "other"))
    told = run(*elsewhere)
    assert told.code == 1
    assert f"an unfinished backfill into {market.out}/{PREFIX} has its checkpoint here" in told.err
    assert "finish that one with --resume" in told.err
    assert checkpoint.read_bytes() == before
    assert run(*elsewhere, "--checkpoint-s3").code == 0
    market.backfill("--resume")
    assert sorted(market.landed()) == IDS
    assert run(*elsewhere).code == 0, "one that is complete has nothing to lose"
