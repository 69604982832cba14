"""Connectors driven by hand, and the recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from schemahub_lib.http.messages import Flow, Page, Request, Response


class Driven:
    """A flow run to its end: what it asked, what it yielded, what it returned."""

    def __init__(self, flow: Flow, answer: Callable[[Request], str | tuple[str, dict[str, str]]]) -> None:
        self.requests: list[Request] = []
        self.pages: list[Page] = []
        response = None
        while True:
            try:
                step = flow.send(response)
            except StopIteration as end:
                self.value = end.value
                return
            response = None
            if isinstance(step, Page):
                self.pages.append(step)
            else:
                self.requests.append(step)
                assert len(self.requests) < 500, "the flow does not end"
                told = answer(step)
                text, headers = told if isinstance(told, tuple) else (told, {})
                response = Response(step, 200, headers, text)

    @property
    def params(self) -> list[dict[str, str | int]]:
        return [dict(request.params) for request in self.requests]

    @property
    def records(self):
        return [record for page in self.pages for record in page.records]

    @property
    def rejected(self):
        return [rejected for page in self.pages for rejected in page.rejected]


@pytest.fixture(scope="session")
def drive() -> Callable[..., Driven]:
    """`drive(flow, *answers)` with texts, or (text, headers), in order; or `drive(flow, answer=function)`."""

    def run(flow, *answers, answer=None):
        told = iter(answers)
        return Driven(flow, answer or (lambda request: next(told)))

    return run


@pytest.fixture(scope="session")
def recording(recorded: Path) -> Callable[[str], tuple[str, dict[str, str]]]:
    """The body and the headers of a recorded answer, by its path."""

    def read(path: str) -> tuple[str, dict[str, str]]:
        told = recorded / path.replace(".json", ".http.json")
        headers = json.loads(told.read_text(encoding="utf-8"))["headers"] if told.exists() else {}
        return (recorded / path).read_text(encoding="utf-8"), {name.lower(): value for name, value in headers.items()}

    return read


@pytest.fixture
def respond() -> Callable[..., Response]:
    """`respond(status, text, **headers)` as an answer to a request for trades of BTC-USD."""

    def make(status: int, text: str, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(Request("/trades", product="BTC-USD"), status, named, text)

    return make
