"""What the server tells a browser that has the Live page open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.live import venue
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui import live
from schemahub_lib.ui.live import Watch

pytestmark = pytest.mark.slow


def watched(
    environment: dict[str, str], folder: Path, steps: Callable[[Watch], Awaitable[None]], *, record: bool = False
) -> None:
    """Take steps with an engine, and stop it."""

    async def run() -> None:
        lake = Lake(Settings.load(warehouse=str(folder), environment=environment))
        watch = Watch(lake, record=record, stopping=lambda: False)
        try:
            await steps(watch)
        finally:
            await watch.stop()

    asyncio.run(run())


async def news(stream: Any) -> dict[str, Any]:
    event = await asyncio.wait_for(anext(stream), 30)
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    told: dict[str, Any] = json.loads(event.removeprefix(b"data: "))
    return told


async def until_quiet(stream: Any, rows: dict[str, Any]) -> dict[str, Any]:
    """The rows that were told, by id, as they are once nothing changes any more."""
    quiet = 0
    while quiet < 10 or not all(row["bid"] for row in rows.values()):
        told = (await news(stream)).get("rows", [])
        rows = rows | {row["id"]: row for row in told}
        quiet = 0 if told else quiet + 1
    return rows


def test_everything_is_told_at_first_and_then_what_has_changed(tmp_path: Path) -> None:
    with Simulator(seed=7, speed=0, rate_limits=False) as simulator:
        urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}

        async def steps(watch: Watch) -> None:
            stream = watch.told()
            first = await news(stream)
            assert len(first["rows"]) == 9
            assert {line["exchange"] for line in first["lines"]} == {"coinbase", "binance", "kraken"}
            before = await until_quiet(stream, {row["id"]: row for row in first["rows"]})
            simulator.advance(1)
            after = {}
            while not after:
                after = await until_quiet(stream, {})
            assert all(row != before[name] for name, row in after.items())
            other = watch.told()  # a second browser is told everything, and the same
            assert {row["id"]: row for row in (await news(other))["rows"]} == before | after
            await stream.aclose()
            await other.aclose()

        watched(urls, tmp_path, steps)


def test_an_engine_that_cannot_start_says_why_and_may_be_tried_again(tmp_path: Path) -> None:
    wrong = {"SCHEMAHUB_MAPPINGS": str(tmp_path / "nowhere")}

    async def steps(watch: Watch) -> None:
        for _ in range(2):
            told = [json.loads(event.removeprefix(b"data: ")) async for event in watch.told()]
            assert len(told) == 1
            assert "nowhere" in told[0]["problem"]

    watched(wrong, tmp_path, steps)


def test_an_engine_that_records_starts_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "AGAIN", 0.1)

    async def steps(watch: Watch) -> None:
        watch.start()
        async with asyncio.timeout(30):
            while caplog.text.count("the live feeds have stopped") < 3:
                await asyncio.sleep(0.05)

    watched({"SCHEMAHUB_MAPPINGS": str(tmp_path / "nowhere")}, tmp_path, steps, record=True)


def test_a_recording_that_fails_is_told_and_no_more_once_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venue, "RECORD_EVERY", 0.2)
    files = Path(tmp_path) / "warehouse"
    files.write_text("no folder")
    with Simulator(seed=7, rate_limits=False, trade_rate=3) as simulator:
        urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}

        async def steps(watch: Watch) -> None:
            stream = watch.told()
            while not (told := await news(stream)).get("unrecorded"):
                pass
            assert "binance: " in told["unrecorded"]
            files.unlink()
            while (told := await news(stream)).get("unrecorded") != "" or not told["recorded"]:
                pass

        watched(urls, files, steps, record=True)
