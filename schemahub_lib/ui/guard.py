"""Who may see the pages, and what a page may do in a browser.

The tables are open to whoever can reach the port, so on loopback the guard refuses what other sites' pages could make
a browser send (another Host by DNS rebinding, another Origin), and beyond loopback everybody without the token.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ON_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)  # as a Host says it
COOKIE = "schemahub_token"
_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self'; "
    "font-src 'self'; img-src 'self' data: blob:; "
    # Vue compiles templates in the browser, and Quasar sets styles: the two that NiceGUI cannot do without.
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware for requests and WebSockets. With `token` whoever brings it once, as `?token=`, is let in by a
    cookie from then on; without it only pages under a loopback name are served."""

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send if scope["type"] == "websocket" else _Sealed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refused(scope, receive, _Sealed(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse(f"a page of {origin} may not read this one\n", 403)
        # Pictures and scripts that another site's page asks for come without an Origin. To open a page is allowed.
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("a page of another site may not read this one\n", 403)
        if self._token is None:
            if not _ON_LOOPBACK.fullmatch(host):
                return PlainTextResponse(f"{host} is not this machine: open http://127.0.0.1 with this port\n", 403)
            return None
        return self._without_token(scope, headers, self._token)

    def _without_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        # Of any characters a token may be, but a cookie's value not; other servers of this host have cookies too.
        value = sha256(token.encode()).hexdigest()
        cookies = (cookie.strip().partition("=") for cookie in headers.get("cookie", "").split(";"))
        if any(name == COOKIE and hmac.compare_digest(given.encode(), value.encode()) for name, _, given in cookies):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1").replace("+", "%2B")))
        if scope["type"] == "http" and hmac.compare_digest(query.pop("token", "").encode(), token.encode()):
            path = "/" + scope["path"].lstrip("/")  # "//name" would be another host
            answer = RedirectResponse(f"{path}{'?' if query else ''}{urlencode(query)}", 303)
            answer.set_cookie(COOKIE, value, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse(
            "open this address with ?token=… at its end: the one that `schemahub ui` was given\n", 401
        )


class _Sealed:
    """Sends a response with security headers; the inline scripts of a page are allowed by their hashes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
            if not Headers(scope=message).get("content-type", "").startswith("text/html"):
                await self._send(message)
            else:
                self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                MutableHeaders(scope=self._start)["Content-Security-Policy"] = policy(self._body)
                await self._send(self._start)
                await self._send({"type": "http.response.body", "body": self._body})


def policy(page: bytes) -> str:
    """The content security policy of an HTML page: no script runs in it but those it was served with."""
    hashes: Any = (b64encode(sha256(script).digest()).decode() for script in _SCRIPT.findall(page))
    return " ".join([_POLICY, *(f"'sha256-{digest}'" for digest in hashes)])
