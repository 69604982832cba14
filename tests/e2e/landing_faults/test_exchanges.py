"""What goes wrong at the exchange while trades are landed: none is lost or doubled, and nothing is asked for ever."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.pipeline import land_history, land_new, landing
from tests.e2e.landing_faults.conftest import BACKFILL, IDS, INGEST, Cli, gone_after, half_way, store
from tests.e2e.tape import Asked, TapeServer
from tests.soak import PRODUCT, assert_exact, landed


def test_a_product_delisted_on_the_way_is_named_and_what_landed_stays(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path
) -> None:
    server.spoil = gone_after(12)
    run = land(*BACKFILL, *out)
    assert run.code == 1
    assert "coinbase BTC-USD /products/BTC-USD/trades: HTTP 404" in run.err
    kept = landed(store(tmp_path))
    assert_exact(kept, [number for number in IDS if number >= min(kept)])
    assert len(kept) > 500
    assert json.loads((tmp_path / "state/BTC-USD.json").read_text())["trades_processed"] == len(kept)
    server.spoil = None
    assert land(*BACKFILL, *out).code == 0
    assert_exact(landed(store(tmp_path)), IDS)


def test_one_product_delisted_does_not_stop_another(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path
) -> None:
    run = land("backfill", "--products", "BTC-USD,GONE-USD", *out)
    assert run.code == 3
    assert "coinbase GONE-USD /products/GONE-USD/trades: HTTP 404" in run.err
    assert_exact(landed(store(tmp_path)), IDS)


@pytest.mark.parametrize("command", [BACKFILL, (*INGEST, "--limit", "100")], ids=lambda c: c[0])
def test_an_exchange_that_repeats_cached_pages_is_asked_again(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    lock = threading.Lock()
    last: list[bytes] = []
    repeated = []

    def spoil(asked: Asked, body: bytes) -> tuple[int, bytes] | None:
        with lock:
            last.append(body)
            if asked.bounded and len(last) % 7 == 0:
                repeated.append(asked)
                return 200, last[-2]
        return None

    server.spoil = spoil
    run = land(*command, *out)
    assert run.code == 0, run.err
    assert len(repeated) > 3
    assert_exact(landed(store(tmp_path)), IDS)
    assert len(server.asked) < 200


def test_an_exchange_that_only_repeats_a_page_is_given_up(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path
) -> None:
    body = b"[" + server.tapes[PRODUCT].rows[-1] + b"]"
    server.spoil = lambda asked, _: (200, body)
    run = land(*BACKFILL, *out)
    assert run.code == 1
    assert "the page asked for" in run.err
    assert len(server.asked) < 300
    assert set(landed(store(tmp_path))) <= {3000}


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("command", [BACKFILL, (*INGEST, "--limit", "100")], ids=lambda c: c[0])
def test_a_clock_an_hour_off_costs_nothing(
    land: Cli,
    server: TapeServer,
    out: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    hours: int,
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=hours)

    half_way(land, server, *command, *out)
    for module in (land_history, land_new, landing):
        monkeypatch.setattr(module, "datetime", Wrong)
    assert land(*command, *out).code == 0
    monkeypatch.undo()
    assert_exact(landed(store(tmp_path)), IDS)


def test_a_chunk_larger_than_a_page_is_served_as_several_pages(
    land: Cli, server: TapeServer, out: tuple[str, str], tmp_path: Path
) -> None:
    run = land("backfill", "--products", PRODUCT, "--chunk-size", "5000", *out)
    assert run.code == 0, run.err
    assert {asked.limit for asked in server.asked} <= {1000, 999}
    assert_exact(landed(store(tmp_path)), IDS)


def test_ids_that_the_exchange_does_not_have_are_not_asked_for_for_ever(
    land: Cli, out: tuple[str, str], tmp_path: Path, server: TapeServer
) -> None:
    tape = server.tapes[PRODUCT]
    tape.add(range(1_000_001, 1_001_001))  # a million ids were skipped
    run = land(*BACKFILL, *out)
    assert run.code == 0, run.err
    assert len(server.asked) < 150
    assert_exact(landed(store(tmp_path)), tape.ids)
    asked = len(server.asked)
    again = land(*BACKFILL, *out, "--json")
    assert [outcome["status"] for outcome in json.loads(again.out)] == ["nothing new"]
    assert len(server.asked) - asked <= 2
    checkpoint = json.loads((tmp_path / "state/BTC-USD.json").read_text())
    assert (checkpoint["last_trade_id"], checkpoint["complete"]) == (1, True)


def test_an_ingest_steps_over_ids_that_the_exchange_does_not_have(
    land: Cli, out: tuple[str, str], tmp_path: Path, server: TapeServer
) -> None:
    tape = server.tapes[PRODUCT]
    assert land(*INGEST, *out).code == 0
    tape.add(range(1_000_001, 1_001_001))
    asked = len(server.asked)
    assert land(*INGEST, *out).code == 0
    assert len(server.asked) - asked < 60
    assert_exact(landed(store(tmp_path)), tape.ids)
    asked = len(server.asked)
    assert land(*INGEST, *out).code == 0
    assert len(server.asked) - asked <= 2
