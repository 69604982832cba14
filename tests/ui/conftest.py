"""The pages as a person sees them: `schemahub ui` in a process of its own, and Debian's Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

PATIENCE = 60_000  # ms: the machine may be busy
SHOTS = os.environ.get("SCHEMAHUB_SCREENSHOTS")
expect.set_options(timeout=PATIENCE / 2)


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[str]:
    """The address of `schemahub ARGUMENTS… ui --port 0` for the block, and that Ctrl-C ends it, without a traceback."""
    command = [sys.executable, "-m", "schemahub_lib", *arguments]
    # NiceGUI is another program where it thinks that it is tested.
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(
            [*command, "ui", "--port", "0"] if "ui" not in arguments else command,
            env=variables | environment,
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.match(r"http://[\w.:\[\]]+", line)
            assert found, line
            yield found[0]
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130
        said.seek(0)
        assert "Traceback" not in (words := said.read()), words


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for a module: Playwright's loop is in the way of others."""
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


def launched(playwright: Playwright) -> Browser:
    """Debian's Chromium, with a profile of its own. A context manager."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"]
    )


@dataclass
class Watched:
    """A page, and what a browser's console said of it and whom it asked."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    """A page of 1280 x 800 that must not complain: not of scripts, and not of the content security policy."""
    with opened(chromium) as found:
        yield found
        assert found.complaints == []


@contextmanager
def opened(chromium: Browser, size: tuple[int, int] = (1280, 800), scheme: str = "light") -> Iterator[Watched]:
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    found = Watched(page)
    page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.asked.add(request.url))
    try:
        yield found
    finally:
        context.close()


def keep(page: Page, name: str) -> None:
    """A screenshot for who wants to look: into the folder $SCHEMAHUB_SCREENSHOTS, if it is set."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def violations(page: Page) -> Sequence[str]:
    """What axe-core finds that is serious or worse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
