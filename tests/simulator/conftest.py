from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from schemahub_lib.simulator import Simulator

NOW = "2024-02-08T15:20:00Z"

Get = Callable[..., requests.Response]


@pytest.fixture(scope="package")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="package")
def start(session: requests.Session) -> Callable[..., tuple[Simulator, Get]]:
    """Starts a simulator and returns it with a function that asks one of its exchanges. The caller closes it."""

    def start(**options: object) -> tuple[Simulator, Get]:
        simulator = Simulator(**options)  # type: ignore[arg-type]

        def get(exchange: str, path: str, headers: dict[str, str] | None = None, **params: object) -> requests.Response:
            return session.get(simulator.urls[exchange] + path, params=params, headers=headers, timeout=10)

        return simulator, get

    return start


@pytest.fixture(scope="package")
def frozen(start: Callable[..., tuple[Simulator, Get]]) -> Iterator[tuple[Simulator, Get]]:
    """The market shortly after the scenario's burst, its clock standing still."""
    simulator, get = start(seed=7, now=NOW, speed=0, scenario="burst-2024-02-08", rate_limits=False)
    with simulator:
        yield simulator, get


@pytest.fixture(scope="package")
def get(frozen: tuple[Simulator, Get]) -> Get:
    return frozen[1]
