"""What AWS says of requests: by its own description of them, and which actions of IAM those to loopback were.

Actions are called as in AWS's Service Authorization Reference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import botocore.session
from botocore.validate import ParamValidator

_lock = threading.Lock()
SERVICES = {"AWSGlue": "glue", "AmazonAthena": "athena", "secretsmanager": "secretsmanager"}


def refusal(service: str, operation: str, request: dict[str, Any]) -> str:
    """What AWS's description of an operation has against a request; nothing when it is right."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report


def recording(app: Callable[..., Iterable[bytes]], file: Path) -> Callable[..., Iterable[bytes]]:
    """The same server, which adds a line for each request to a file."""

    def recorded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with _lock, file.open("a", encoding="utf-8") as lines:
            lines.write(action(environ) + "\n")
        return app(environ, start_response)

    return recorded


def action(environ: dict[str, Any]) -> str:
    """What one request needs to be allowed."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        service, _, operation = target.partition(".")
        return f"{SERVICES.get(service, service)}:{operation}"
    method, asked = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    _, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    if not key:
        return _on_bucket(method, asked)
    if method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in asked else "s3:DeleteObject"
    return "s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject"


def _on_bucket(method: str, asked: dict[str, list[str]]) -> str:
    if method == "POST" and "delete" in asked:
        return "s3:DeleteObject"
    if "location" in asked:
        return "s3:GetBucketLocation"
    return "s3:ListBucket" if method in ("GET", "HEAD") else f"s3:{method} of a bucket"
