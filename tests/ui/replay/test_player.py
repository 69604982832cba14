"""Playing a window: by mouse, keys and link, and what of it is saved."""

from __future__ import annotations

import csv
import re
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import Watched
from tests.ui.replay.conftest import BEGUN, clock, connected, go, numbers, shown

pytestmark = pytest.mark.slow


def test_the_same_time_is_the_same_frame_and_what_is_later_is_hidden(watched: Watched, address: str) -> None:
    frames = []
    for offset in (6_000_000, 6_000_000, 9_000_000):
        go(watched.page, address, t=str(offset))
        shown(watched.page)
        expect(watched.page.locator(".movers")).to_be_visible()  # which moves the screen by its height
        screen = watched.page.locator(".screen")
        frames.append(screen.screenshot())
        box, curtain = screen.bounding_box(), watched.page.locator(".curtain").bounding_box()
        assert box is not None
        assert curtain is not None
        assert curtain["x"] - box["x"] == pytest.approx(70 + (box["width"] - 86) * offset / 12e6, abs=1)
    assert frames[0] == frames[1] != frames[2]


def test_keys_pause_step_from_trade_to_trade_and_go_to_the_ends(
    watched: Watched, address: str, trades: list[dict[str, Any]]
) -> None:
    page = watched.page
    go(page, address)
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()
    page.keyboard.press("Home")
    moments = sorted({row["trade_ts"] for row in trades})
    told = [f"{moment:%H:%M:%S.%f}" for moment in moments[:3]]
    for at in told:
        page.keyboard.press("ArrowRight")
        assert clock(page) == at
    page.keyboard.press("ArrowLeft")
    assert clock(page) == told[1]
    page.keyboard.press("End")
    assert clock(page) == f"{BEGUN + timedelta(seconds=12):%H:%M:%S.%f}"


def test_keys_are_the_players_also_after_a_click(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    page.get_by_role("button", name=re.compile("replay BTC 2024-02-08 15:12:0")).click()
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()
    for key, speed in (("+", "2x"), ("-", "1x"), ("-", "0.5x")):
        page.keyboard.press(key)
        expect(page.get_by_label("speed")).to_have_value(speed.removesuffix("x"))
    page.get_by_role("button", name="play", exact=True).click()
    page.get_by_role("button", name="pause").click()
    before = clock(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("output.clock")).not_to_have_text(before)


def test_replay_again_plays_from_the_start(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address, t="7000000")
    shown(page)
    connected(page)
    assert clock(page) == f"{BEGUN + timedelta(seconds=7):%H:%M:%S.%f}"
    page.get_by_label("Window", exact=True).fill("6s")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    expect(page.get_by_text(f"to {BEGUN + timedelta(seconds=6):%H:%M:%S.%f} UTC")).to_be_visible()


def test_a_link_to_no_time_of_the_window_begins_at_its_start(watched: Watched, address: str) -> None:
    go(watched.page, address, t="abc")
    shown(watched.page)
    watched.page.keyboard.press("Home")
    assert clock(watched.page) == f"{BEGUN:%H:%M:%S.%f}"


def test_a_day_of_the_calendar_is_its_midnight(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    connected(page)
    page.get_by_role("button", name="calendar").click()
    page.get_by_role("button", name="15", exact=True).click()
    expect(page.get_by_label("From (UTC)")).to_have_value(re.compile(r"\d{4}-\d\d-15T00:00:00Z"))
    page.get_by_role("button", name="15", exact=True).click()  # which chooses nothing
    expect(page.get_by_label("From (UTC)")).to_have_value(re.compile(r"\d{4}-\d\d-15T00:00:00Z"))


def test_light_and_dark_are_chosen_for_all_pages(watched: Watched, address: str) -> None:
    page = watched.page
    ground = "getComputedStyle(document.body).backgroundColor"
    go(page, address)
    shown(page)
    light = page.evaluate(ground)
    page.get_by_role("button", name="light or dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    page.goto(f"{address}/books")
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="light or dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))


def test_time_is_at_the_same_place_on_both_axes(watched: Watched, address: str) -> None:
    go(watched.page, address)
    shown(watched.page)
    places = watched.page.evaluate(
        """async () => {
            const { echarts } = await import("nicegui-echart");
            const chart = echarts.getInstanceByDom(document.querySelector(".screen .chart"));
            return [0, 1].map((xAxisIndex) => [0, 6e6, 12e6].map((t) => chart.convertToPixel({ xAxisIndex }, t)));
        }"""
    )
    assert places[0] == pytest.approx(places[1], abs=0.5)


def test_the_slider_scrubs_and_the_speed_is_chosen(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    page.get_by_role("slider").fill("3000000")
    assert clock(page) == f"{BEGUN + timedelta(seconds=3):%H:%M:%S.%f}"
    page.get_by_label("speed").select_option("50x")
    page.get_by_role("button", name="play", exact=True).click()
    expect(page.locator("output.clock")).to_have_text(f"{BEGUN + timedelta(seconds=12):%H:%M:%S.%f}")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()


def test_the_link_reproduces_the_view(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address, venues="coinbase,kraken", window="5s")
    shown(page)
    page.get_by_role("slider").fill("1234000")
    page.get_by_role("button", name="link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    before = (clock(page), numbers(page))
    page.goto("about:blank")
    page.goto(link)
    shown(page)
    assert (clock(page), numbers(page)) == before
    assert list(before[1]) == ["COINBASE", "KRAKEN"]


def test_its_trades_are_saved_as_csv(
    watched: Watched, address: str, trades: list[dict[str, Any]], tmp_path: Path
) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    saved.value.save_as(tmp_path / "trades.csv")
    with (tmp_path / "trades.csv").open() as file:
        found = {(row["exchange"], row["trade_ts"], float(row["price"]), row["side"]) for row in csv.DictReader(file)}
    assert found == {
        (row["exchange"], f"{row['trade_ts']:%Y-%m-%dT%H:%M:%S.%f}Z", row["price"], row["side"]) for row in trades
    }


# How many points of a picture, from a share of its width on, are not of its ground: where charts are, and below them.
_DRAWN = """async ([picture, from]) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(picture), (c) => c.charCodeAt(0))]));
    const brush = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    brush.drawImage(bitmap, 0, 0);
    const ground = brush.getImageData(0, 0, 1, 1).data.join();
    const drawn = (left, top, right, bottom) => {
        const { data } = brush.getImageData(left, top, right - left, bottom - top);
        return data.reduce((count, _, i) => count + (i % 4 === 0 && data.slice(i, i + 4).join() !== ground), 0);
    };
    const left = 140 + from * (bitmap.width - 172) + 6;
    return {
        charts: drawn(left, 120, bitmap.width - 34, bitmap.height - 80),
        caption: drawn(0, bitmap.height - 30, 700, bitmap.height),
        legend: drawn(0, 0, bitmap.width, 60),
    };
}"""


def test_the_frame_on_screen_is_saved_as_a_picture(watched: Watched, address: str, tmp_path: Path) -> None:
    page = watched.page
    go(page, address, t="3000000")
    shown(page)

    def drawn(time: int) -> dict[str, int]:
        page.get_by_role("slider").fill(str(time))
        with page.expect_download() as saved:
            page.get_by_role("button", name="PNG").click()
        saved.value.save_as(tmp_path / f"{time}.png")
        picture = b64encode((tmp_path / f"{time}.png").read_bytes()).decode()
        found: dict[str, int] = page.evaluate(_DRAWN, [picture, 0.25])
        return found

    early, late = drawn(3_000_000), drawn(12_000_000)
    assert early["charts"] == 0, "what is later is in the picture"
    assert late["charts"] > 10_000
    assert early["legend"] == late["legend"] > 0
    assert early["caption"] > 0, "it does not say what it is"
