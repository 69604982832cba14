"""What runs the queries of `tests/athena_server.py`: DuckDB over the tables of Glue on loopback, or a real Trino."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa
from sqlglot import exp, parse_one
from sqlglot.dialects.trino import Trino
from sqlglot.tokens import TokenType

from schemahub_lib.config import Settings
from schemahub_lib.pipeline import duckdb
from schemahub_lib.tables.lake import Lake
from tests.conftest import AWS

Answer = tuple[
    list[dict[str, Any]], Iterable[Sequence[str | None]]
]  # columns as GetQueryResults has them, rows as text
# Takes a statement, its parameters, and what tells whether it is to be stopped.
Engine = Callable[[str, Sequence[str], Callable[[], bool]], Answer]

# "Escape reserved keywords in queries", those of SELECT.
RESERVED = """
ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_CATALOG CURRENT_DATE CURRENT_PATH CURRENT_SCHEMA
CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE
EXISTS EXTRACT FALSE FIRST FOR FROM FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO IS JOIN JSON_ARRAY
JSON_EXISTS JSON_OBJECT JSON_QUERY JSON_TABLE JSON_VALUE LAST LEFT LIKE LISTAGG LOCALTIME LOCALTIMESTAMP NATURAL
NORMALIZE NOT NULL OF ON OR ORDER OUTER PREPARE RECURSIVE RIGHT ROLLUP SELECT SKIP TABLE THEN TRIM TRUE UESCAPE UNION
UNNEST USING VALUES WHEN WHERE WITH
"""
NAMES = {
    pa.bool_(): "boolean",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "UTC"): "timestamp with time zone",
}


def by_duckdb(url: str, sql: str, parameters: Sequence[str], stopped: Callable[[], bool]) -> Answer:
    """DuckDB, with Glue and S3 at `url`. It is not stopped."""
    tree = parse_one(_given(sql, parameters), dialect="athena")
    tables = {}
    for number, node in enumerate([node for node in tree.find_all(exp.Table) if node.db]):
        table, _, metadata = node.name.partition("$")
        place = "$".join([f"table_{number}", *filter(None, [metadata])])
        version = node.args.get("version")
        tables[place] = (_lake(url, node.db).find(table), int(version.expression.name) if version else None)
        name = node.alias or node.name
        node.replace(exp.alias_(exp.Table(this=exp.to_identifier(place, quoted=True)), name, table=True, quoted=True))
    found = duckdb.answer(tree.sql(dialect="duckdb"), tables, None, None)
    columns = [_column(one.name, *_named(one.type)) for one in found.schema]
    return columns, zip(*(map(_text, column.to_pylist()) for column in found.columns), strict=True)


@cache
def _lake(url: str, database: str) -> Lake:
    environment = AWS | {"AWS_ENDPOINT_URL": url, "SCHEMAHUB_DATABASE": database}
    return Lake(Settings.load(profile="glue", warehouse="s3://unused", environment=environment))


def check(sql: str) -> None:
    """Raises ValueError for what Athena's guide says that it refuses, where Trino and DuckDB do not."""
    tree = parse_one(sql, dialect="athena")
    if any(mark.find_ancestor(exp.Where) is None for mark in tree.find_all(exp.Placeholder)):
        raise ValueError("a parameter outside of WHERE")
    names = {node.name.upper() for node in tree.find_all(exp.Identifier) if not node.args.get("quoted")}
    if reserved := names & set(RESERVED.split()):
        raise ValueError(f"{', '.join(reserved)}: reserved, and not in quotes")


def _given(sql: str, parameters: Sequence[str]) -> str:
    """A statement with its parameters in it."""
    marks = [token.start for token in Trino().tokenize(sql) if token.token_type == TokenType.PLACEHOLDER]
    if len(marks) != len(parameters):
        raise ValueError(f"Incorrect number of parameters: expected {len(marks)} but found {len(parameters)}")
    for mark, value in reversed(list(zip(marks, parameters, strict=True))):
        sql = f"{sql[:mark]}({value}){sql[mark + 1 :]}"
    return sql


def _named(kind: pa.DataType) -> tuple[str, int, int]:
    if pa.types.is_decimal(kind):
        return "decimal", kind.precision, kind.scale
    return NAMES.get(kind, "array" if pa.types.is_list(kind) else "varchar"), 0, 0


def by_trino(url: str, catalog: str, sql: str, parameters: Sequence[str], stopped: Callable[[], bool]) -> Answer:
    """A Trino at `url`, as EXECUTE … USING, by which Athena takes parameters. Raises ValueError with its own words."""
    if parameters:
        quoted = sql.replace("'", "''")
        sql = f"EXECUTE IMMEDIATE '{quoted}' USING {', '.join(parameters)}"
    # Without the capability it would round times to milliseconds.
    headers = {
        "X-Trino-User": "tests",
        "X-Trino-Catalog": catalog,
        "X-Trino-Time-Zone": "UTC",
        "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
    }
    columns: list[dict[str, Any]] = []
    rows: list[list[str | None]] = []
    request = urllib.request.Request(f"{url}/v1/statement", sql.encode(), headers)
    while True:
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.load(response)
        if error := told.get("error"):
            raise ValueError(f"{error['errorName']}: {error['message']}")
        columns = told.get("columns") or columns
        rows += [list(map(_text, row)) for row in told.get("data") or []]
        if "nextUri" not in told:
            return [_column(one["name"], *_of_trino(one["typeSignature"])) for one in columns], rows
        request = urllib.request.Request(told["nextUri"], headers=headers, method="DELETE" if stopped() else "GET")
        if request.method == "DELETE":
            urllib.request.urlopen(request, timeout=60).close()
            raise ValueError("stopped")
        time.sleep(0.01)


def catalog_of_trino(url: str, aws: str) -> str:
    """Let a Trino know the tables of Glue and S3 at `aws`; by this name."""
    key, secret, region = AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"], AWS["AWS_DEFAULT_REGION"]
    settings = {
        "iceberg.catalog.type": "glue",
        "hive.metastore.glue.endpoint-url": aws,
        "hive.metastore.glue.region": region,
        "hive.metastore.glue.aws-access-key": key,
        "hive.metastore.glue.aws-secret-key": secret,
        "fs.native-s3.enabled": "true",
        "s3.endpoint": aws,
        "s3.region": region,
        "s3.path-style-access": "true",
        "s3.aws-access-key": key,
        "s3.aws-secret-key": secret,
    }
    listed = ", ".join(f""""{name}" = '{value}'""" for name, value in settings.items())
    name = f"glue_at_{aws.rpartition(':')[2]}"
    by_trino(url, name, f"DROP CATALOG IF EXISTS {name}", [], lambda: False)
    by_trino(url, name, f"CREATE CATALOG {name} USING iceberg WITH ({listed})", [], lambda: False)
    return name


def _of_trino(signature: dict[str, Any]) -> tuple[str, int, int]:
    precision, scale = 0, 0
    if signature["rawType"] == "decimal":
        precision, scale = (argument["value"] for argument in signature["arguments"])
    return signature["rawType"], precision, scale


def _column(name: str, kind: str, precision: int = 0, scale: int = 0) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Precision": precision, "Scale": scale}


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}" + (" UTC" if value.tzinfo else "")
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str)
    return None if value is None else str(value)
