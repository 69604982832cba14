"""`make screenshots`: the README's pictures, of the pages that `make demo-ui` shows."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.ui.conftest import launched, opened

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def replay(page: Page) -> None:
    page.get_by_role("button", name=re.compile("replay BTC")).first.click()
    page.get_by_text(re.compile("leads")).first.wait_for()
    page.get_by_role("button", name="pause").click()
    page.get_by_role("slider").fill("7500000")


def live(page: Page) -> None:
    page.locator(".ag-row").first.wait_for()
    page.wait_for_timeout(90_000)  # the history has begun


def books(page: Page) -> None:
    page.get_by_role("rowheader", name="COINBASE").wait_for()


def operations(page: Page) -> None:
    page.locator(".panel-chart svg").first.wait_for()
    page.wait_for_timeout(10_000)  # two panels at a time


PAGES: dict[str, Callable[[Page], None]] = {"": replay, "live": live, "books": books, "operations": operations}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "schemahub_lib.demo", "--pages"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        address = next(line.strip() for line in demo.stdout if line.startswith("http://127.0.0.1:"))
        with sync_playwright() as playwright, launched(playwright) as chromium:
            for path, settle in PAGES.items():
                with opened(chromium, (1280, 900)) as watched:
                    watched.page.goto(f"{address}{path}")
                    settle(watched.page)
                    watched.page.screenshot(path=IMAGES / f"{settle.__name__}.png")
        demo.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
