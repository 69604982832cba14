"""What the REST APIs share: matching a path, refusing what is wrong, and the shape of an answer."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from schemahub_lib.simulator.clock import Clock
from schemahub_lib.simulator.source import Json, Source


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `page` names the stream when the body is a page of trades; `throttled` marks a rate limit."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    page: str | None = None
    throttled: bool = False

    @classmethod
    def json(cls, value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        return cls(orjson.dumps(value), status, headers or {})


class Refused(Exception):
    """The request is wrong; carries the exchange's answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


@dataclass(frozen=True)
class Call:
    """A request that matched an endpoint. `args` are the variable parts of the path."""

    endpoint: str
    args: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]  # names in any case


Handler = Callable[[Call], Answer]


class Api(ABC):
    """One exchange's public REST API over a source of trades. Answers are pure functions of request and clock."""

    name: ClassVar[str]
    internal_error: ClassVar[Answer]
    maintenance: ClassVar[Answer]
    gateway_page: ClassVar[Answer]

    def __init__(self, source: Source, clock: Clock, rate_limits: bool) -> None:
        self.source, self.clock, self.rate_limits = source, clock, rate_limits
        self._routes = [
            (re.compile(re.sub(r"\{\w+\}", "([^/]+)", endpoint)), endpoint, handler)
            for endpoint, handler in self.routes().items()
        ]

    @abstractmethod
    def routes(self) -> dict[str, Handler]:
        """Handlers by path, such as `/products/{id}`."""

    @abstractmethod
    def unknown_path(self, path: str) -> Answer: ...

    @abstractmethod
    def throttle(self, call: Call) -> Answer | None:
        """Count the call; the exchange's refusal if it is one too many."""

    def answer(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, Answer]:
        """The endpoint that was asked and its answer."""
        for pattern, endpoint, handler in self._routes:
            match = pattern.fullmatch(path)
            if match:
                call = Call(endpoint, match.groups(), params, headers)
                try:
                    return endpoint, self.throttle(call) or handler(call)
                except Refused as refused:
                    return endpoint, refused.answer
        return "unknown", self.unknown_path(path)


def whole_number(text: str) -> int | None:
    """The number of a parameter that must be a whole one, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
