"""The HTTP client of an exchange, as the settings want it."""

from __future__ import annotations

import threading

from schemahub_lib.config import Settings
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.credentials import load_credentials
from schemahub_lib.http.retry import DEADLINE


def open_client(
    settings: Settings, exchange: Exchange, stop: threading.Event | None = None, deadline: float = DEADLINE
) -> HttpClient:
    """A client with the base URL and the key that are set for the exchange. Close it. Raises UsageError."""
    return HttpClient(
        exchange,
        base_url=settings.exchange_url(exchange.name),
        credentials=load_credentials(exchange.name, settings.environment),
        deadline=deadline,
        stop=stop,
    )
