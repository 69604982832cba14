"""`mappings new-source` writes an exchange into a checkout: sound, red until it is filled in, then like any other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.support import ROOT, environment

FILES = [
    "schemahub_lib/exchanges/bitstamp.py",
    "tests/exchanges/test_bitstamp.py",
    "mappings/bitstamp_trades.yaml",
    "mappings/bitstamp_trades_test.yaml",
]
REGISTRY = "schemahub_lib/exchanges/__init__.py"
FILLED_IN = {
    "from schemahub_lib.exchanges.base import Product, status_trouble": (
        "import json\n\nfrom schemahub_lib.exchanges.base import Product, ask, status_trouble"
    ),
    'raise NotImplementedError("FILL IN: ask for the list of markets, and make a Product of each")': (
        'response = yield from ask(Request("/markets"))\n'
        "        try:\n"
        '            told = [(m["symbol"], m["base"], m["quote"], m["status"]) for m in json.loads(response.text)]\n'
        "        except (TypeError, ValueError, KeyError) as error:\n"
        '            raise self.unexpected(response, "an array of markets") from error\n'
        '        return [Product(*m, tradable=m[3] == "open") for m in told]'
    ),
    'raise NotImplementedError("FILL IN: the request for the newest `page_size` trades below the id `before`")': (
        'params: dict[str, str | int] = {"limit": self.page_size}\n'
        "        if before is not None:\n"
        '            params["before"] = before\n'
        '        return Request(f"/trades/{product}", params, product=product)'
    ),
    'raise NotImplementedError("FILL IN: self.read_page(response, ...) if an answer is an array of trades")': (
        'return self.read_page(response, "an array of trades, newest first")'
    ),
}


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("schemahub_lib", "mappings", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "setup.py"):
            shutil.copy(ROOT / file, folder)

    def run(self, *module: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *module],
            env=environment({}, self.folder / "warehouse", PYTHONPATH=str(self.folder)),
            cwd=folder or self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def pytest(self) -> str:
        return self.run("pytest", "-q", "-p", "no:cacheprovider", FILES[1]).stdout

    def replace(self, file: str, *pairs: tuple[str, str]) -> None:
        text = (self.folder / file).read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / file).write_text(text)

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.slow
def test_it_is_sound_and_red_until_it_is_filled_in(checkout: Checkout) -> None:
    before = checkout.files()
    written = checkout.run("schemahub_lib", "mappings", "new-source", "bitstamp", "--json")
    assert (written.returncode, written.stderr) == (0, "")
    assert sorted(checkout.files() - before) == sorted(checkout.folder / file for file in FILES)
    for tool in (("ruff", "check"), ("ruff", "format", "--check")):
        assert checkout.run(*tool, FILES[0], FILES[1], REGISTRY).returncode == 0
    told = checkout.run("mypy", "--strict", "schemahub_lib/exchanges/__init__.py")
    assert told.returncode == 0, told.stdout
    validated = checkout.run("schemahub_lib", "mappings", "validate")
    assert "ok  mappings/bitstamp_trades_test.yaml" in validated.stdout
    red = checkout.pytest()
    for needed in ("ask for the list of markets", "the request for the newest", "INVENTED"):
        assert needed in red
    assert "4 passed" in red  # that errors are told apart, the one thing that needs no filling in

    checkout.replace(FILES[0], *FILLED_IN.items())
    assert "1 failed" in checkout.pytest()
    checkout.replace(FILES[1], ("INVENTED", "USD"), ('assert "USD"', 'assert "INVENTED"'))
    green = checkout.pytest()
    assert "passed" in green
    assert "failed" not in green


@pytest.mark.slow
def test_it_writes_over_nothing_and_nowhere_else(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> None:
    (checkout.folder / FILES[2]).write_text("mine")
    before = checkout.files()
    for name, place, told in (
        ("bitstamp", checkout.folder, f"there already: {FILES[2]}"),
        ("okx", checkout.folder, "there already: "),
        ("Bit-Stamp", checkout.folder, "cannot be an exchange's name"),
        *((word, checkout.folder, "cannot be an exchange's name") for word in ("class", "none")),
        ("../x", checkout.folder, "cannot be an exchange's name"),
        ("bitstamp", tmp_path_factory.mktemp("elsewhere"), "is no checkout of SchemaHub"),
    ):
        refused = checkout.run("schemahub_lib", "mappings", "new-source", name, folder=place)
        assert refused.returncode == 2
        assert told in refused.stderr
    assert checkout.files() == before
    assert (checkout.folder / FILES[2]).read_text() == "mine"

    (checkout.folder / FILES[2]).unlink()
    (checkout.folder / "tests" / "exchanges").rename(checkout.folder / "elsewhere")
    before = checkout.files()
    refused = checkout.run("schemahub_lib", "mappings", "new-source", "bitstamp")
    assert (refused.returncode, refused.stderr) == (2, "error: nothing was written: No such file or directory\n")
    assert checkout.files() == before
