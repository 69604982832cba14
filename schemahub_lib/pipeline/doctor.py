"""Doctor: is everything there that a run needs, and what to do where it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from schemahub_lib.errors import SchemaHubError, UsageError, sentence
from schemahub_lib.exchanges import EXCHANGES, raw_tables
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.credentials import load_credentials
from schemahub_lib.http.messages import Request
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.pipeline.query import PAGE, query
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.session import PACKAGES, jar_files, use_java

ENDPOINT_DEADLINE = 10.0  # seconds
CLOCK_SKEW = 5.0  # seconds; an exchange refuses signed requests that are off by 30


@dataclass(frozen=True)
class Finding:
    """`remedy` is empty when all is well."""

    status: Literal["ok", "warn", "fail"]
    what: str
    found: str
    remedy: str = ""


def examine(lake: Lake) -> list[Finding]:
    """Look at everything; nothing is changed, and one failure hides no other."""
    findings = [_python(), _java(), _jars(lake), _mappings(lake), _catalog(lake)]
    if lake.settings.profile != "local":
        findings += [_aws(), _bucket(lake.settings.warehouse)]
    if workgroup := lake.settings.athena_workgroup:
        findings.append(_athena(lake, workgroup))
    for exchange in EXCHANGES.values():
        findings.extend(_exchange(lake, exchange))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Finding("ok", "Python", version)
    return Finding("warn", "Python", version, "SchemaHub is tested on 3.11, the version of AWS Glue 5.1")


def _java() -> Finding:
    try:
        home = use_java()
    except SchemaHubError as error:
        return Finding("fail", "Java", "none", str(error))
    banner = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', banner)
    if version is not None and version[1] in ("11", "17"):
        return Finding("ok", "Java", f"{version[1]} in {home}")
    return Finding("fail", "Java", f"{version[1] if version else 'unreadable'} in {home}", "Spark 3.5 needs Java 17")


def _jars(lake: Lake) -> Finding:
    jars = jar_files(lake.settings)
    if jars is not None:
        return Finding("ok", "jars", f"{len(jars)} in {jars[0].parent}")
    names = ", ".join(PACKAGES[lake.settings.profile])
    return Finding("warn", "jars", "not fetched yet", f"the first Spark start downloads {names}, once")


def _catalog(lake: Lake) -> Finding:
    settings = lake.settings
    if not lake.exists():
        place = Path(settings.warehouse)
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            remedy = f"{there} is no folder that this user can write to: choose another --warehouse"
            return Finding("fail", "catalog", f"{settings.warehouse} cannot be created", remedy)
        return Finding("ok", "catalog", f"{settings.warehouse} does not exist yet; the first run creates it")
    try:
        tables = lake.table_names()
    except Exception as error:  # noqa: BLE001 - whatever a catalog client raises is the finding
        return Finding("fail", "catalog", sentence(error), "check --profile, --warehouse and AWS access")
    if settings.profile == "local" and not os.access(settings.warehouse, os.W_OK):
        return Finding("fail", "catalog", settings.warehouse, "the folder is not writable for this user")
    return Finding("ok", "catalog", f"{len(tables)} tables in {settings.warehouse}")


def _mappings(lake: Lake) -> Finding:
    try:
        found = load_mappings(lake.settings.mappings, raw_tables())
    except SchemaHubError as error:
        return Finding("fail", "mappings", lake.settings.mappings or "those shipped", str(error))
    return Finding("ok", "mappings", ", ".join(spec.file for specs in found.values() for spec in specs))


def _aws() -> Finding:
    import boto3

    credentials = boto3.Session().get_credentials()
    if credentials is None:
        return Finding("fail", "AWS", "no credentials", "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run under a role")
    return Finding("ok", "AWS", f"credentials by {credentials.method}")


def _bucket(warehouse: str) -> Finding:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = urlsplit(warehouse).netloc
    try:
        boto3.client("s3").head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        return Finding("fail", "bucket", f"{bucket}: {error}", "create it, or check its name, region and your rights")
    return Finding("ok", "bucket", bucket)


def _athena(lake: Lake, workgroup: str) -> Finding:
    try:
        query(lake, "SELECT 1 AS one", limits=PAGE)
    except SchemaHubError as error:
        return Finding("fail", "Athena", f"workgroup {workgroup} does not answer", str(error))
    return Finding("ok", "Athena", f"workgroup {workgroup}")


def _exchange(lake: Lake, exchange: Exchange) -> Iterator[Finding]:
    url = lake.settings.exchange_url(exchange.name) or exchange.base_url
    try:
        credentials = load_credentials(exchange.name, lake.settings.environment)
        yield Finding("ok", f"{exchange.name} key", "set" if credentials else "none; public data needs none")
    except SchemaHubError as error:
        credentials = None
        yield Finding("fail", f"{exchange.name} key", "incomplete", str(error))
    try:
        with HttpClient(exchange, base_url=url, credentials=credentials, deadline=ENDPOINT_DEADLINE) as client:
            answer = client.send(Request(exchange.time_path))
    except UsageError as error:
        yield Finding("fail", exchange.name, "not a URL", str(error))
        return
    except SchemaHubError as error:
        yield Finding("fail", exchange.name, url, str(error))
        return
    skew = None
    if date := answer.headers.get("date"):
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    yield Finding("ok", exchange.name, url if skew is None else f"{url}, clocks {skew:+.0f} s apart")
    if skew is not None and abs(skew) > CLOCK_SKEW:
        yield Finding("warn", "clock", f"{skew:+.0f} s against {exchange.name}", "set this machine's clock (NTP)")
