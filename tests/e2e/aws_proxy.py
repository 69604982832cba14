"""A loopback proxy in front of S3 and Glue that answers in their place when a test says so."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.loopback import Handler, serving

# Sees what is asked: of S3 method and path, of Glue who asks and the operation, such as AWSGlue.GetTable. The status
# and body sent instead, or None to pass it on.
Refuse = Callable[[str, str], "tuple[int, str] | None"]
HOPS = ("connection", "transfer-encoding", "content-length", "expect")


def error(code: str, message: str = "as the test says") -> str:
    """S3's XML of an error."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


def glue_error(code: str, message: str = "as the test says") -> tuple[int, str]:
    """Glue's answer with an error."""
    return 400, json.dumps({"__type": code, "Message": message})


@contextmanager
def refusing(upstream: str, refuse: Refuse) -> Iterator[str]:
    """The URL of a proxy that asks `refuse` before it passes a request on."""
    target = urlsplit(upstream).netloc

    class Proxy(Handler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._body()
            operation = self.headers.get("X-Amz-Target")
            refused = refuse(self.headers["User-Agent"], operation) if operation else refuse(self.command, self.path)
            if refused is not None:
                status, text = refused
                kind = "application/x-amz-json-1.1" if operation else "application/xml"
                return self._send(status, {"Content-Type": kind}, text.encode())
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOPS}
            asked = http.client.HTTPConnection(target, timeout=30)
            asked.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
            answer = asked.getresponse()
            told = {name: value for name, value in answer.getheaders() if name.lower() not in HOPS}
            if self.command == "HEAD":
                told["Content-Length"] = answer.getheader("Content-Length", "0")
            self._send(answer.status, told, answer.read())
            asked.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

        def _body(self) -> bytes:
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))

        def handle_expect_100(self) -> bool:
            return True  # answered above

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    with serving(Proxy) as url:
        yield url
