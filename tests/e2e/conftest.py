from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest import mock

import pytest

from schemahub_lib.cli import main
from tests.e2e.support import NOT_INHERITED


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


def assert_one_error(text: str, told: str) -> None:
    """stderr holds a single error, which says `told`, and nothing else that would worry people."""
    assert told in text
    assert len(re.findall(r"^error: ", text, re.IGNORECASE | re.MULTILINE)) == 1
    assert "Traceback" not in text
    assert "WARNING" not in text


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """The command line in this process, on the shared Spark where there is one: `cli("status", SCHEMAHUB_…="…")`."""
    root, own = logging.getLogger(), logging.getLogger("schemahub_lib")
    handlers, levels = root.handlers[:], (root.level, own.level)

    def run(*arguments: str, **environment: str) -> Outcome:
        os.environ.update(environment)
        capsys.readouterr()
        code = main(list(arguments))
        return Outcome(code, *capsys.readouterr())

    with mock.patch.dict(os.environ):  # all of it, as OpenLineage's client writes variables of its own there
        for name in [name for name in os.environ if name.startswith(NOT_INHERITED)]:
            del os.environ[name]
        yield run
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
