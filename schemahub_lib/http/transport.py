"""How a request reaches an exchange and its answer comes back whole."""

from __future__ import annotations

import time
from typing import Protocol

from schemahub_lib import __version__
from schemahub_lib.errors import words
from schemahub_lib.http.messages import Request, Response

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
CHUNK = 2**16
POOL_SIZE = 64  # connections kept alive: more than any number of workers


class ConnectionFailed(Exception):
    """No complete answer came: refused, reset, timed out or cut short. Worth another try."""


class Transport(Protocol):
    def send(self, request: Request, timeout: float) -> Response:
        """One try, given `timeout` seconds at most. Raises ConnectionFailed."""

    def close(self) -> None:
        """Let go of connections."""


class Live:
    """HTTP over kept-alive connections that any number of threads may use. No retries, no redirects, no cookies."""

    def __init__(self, base_url: str) -> None:
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {"User-Agent": f"schemahub/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=POOL_SIZE, max_retries=0))

    def send(self, request: Request, timeout: float) -> Response:
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        deadline = time.monotonic() + timeout
        posted = request.method == "POST"
        target = f"{request.path}?{request.query}" if request.params and not posted else request.path
        headers = dict(request.headers)
        if posted:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            answer = self._session.request(
                request.method,
                self._base_url + target,
                data=request.query if posted else None,
                headers=headers,
                timeout=(min(CONNECT_TIMEOUT, timeout), min(READ_TIMEOUT, timeout)),
                allow_redirects=False,  # a redirect would take the key to another host
                stream=True,
            )
            body = bytearray()
            with answer:
                while received := answer.raw.read1(CHUNK, decode_content=True):
                    body += received
                    if time.monotonic() > deadline:
                        raise ConnectionFailed(f"the answer was not complete after {timeout:.0f} s")
            # Only a good answer must be exact; a gateway's error page may be in any encoding.
            text = body.decode("utf-8", "strict" if answer.status_code == 200 else "replace")
        except (RequestException, HTTPError, UnicodeDecodeError) as error:
            raise ConnectionFailed(_cause(error)) from error
        named = {name.lower(): value for name, value in answer.headers.items()}
        return Response(request, answer.status_code, named, text, size=answer.raw.tell())

    def close(self) -> None:
        self._session.close()


def _cause(error: BaseException) -> str:
    """What is at the root of an error that requests and urllib3 have wrapped several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return words(error)
