"""A query run by Amazon Athena: started in a workgroup, waited for, stopped where nobody waits any more, and its answer
read from the file that Athena leaves in S3.

By boto3 alone. PyAthena hands parameters on as they are, so quoting them would be ours all the same; its cursor fetches
a thousand rows a request, and the one that reads the file needs a newer pyarrow than Glue's jobs have.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from schemahub_lib.aws import boto_reason, refusal
from schemahub_lib.errors import SchemaHubError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

    from schemahub_lib.pipeline.query import Limits, Parameter

log = logging.getLogger(__name__)

# Athena's names of column types, and Arrow's; what is not here stays text, as Athena writes it.
_TYPES = {
    "boolean": "bool",
    "tinyint": "int8",
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "float": "float",
    "real": "float",
    "double": "double",
    "date": "date32",
}
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 1.0  # seconds between two looks at a query
_USER = 2  # Athena's category of errors that the statement is to blame for

# What Athena calls an invalid request, but no wrong statement, by words of its message.
_INVALID = (
    ("output location", "give workgroup {} a location in S3 for results"),
    ("workgroup", "create and enable workgroup {}, or correct SCHEMAHUB_ATHENA_WORKGROUP"),
)


def place(table: exp.Table, database: str, snapshot_id: int | None) -> None:
    """Make a table of a statement the one in this Glue database, at a snapshot or, with None, as main is.

    Raises UsageError for what Athena tells of the present only.
    """
    from sqlglot import exp

    table.set("this", exp.to_identifier(table.name, quoted=True))
    table.set("db", exp.to_identifier(database, quoted=True))
    table.set("catalog", None)
    if snapshot_id is None or table.name.endswith("$snapshots"):
        return
    if "$" in table.name:
        raise UsageError(f"Athena knows {table.name} as it is now only: leave --as-of and --ref out")
    version = exp.Version(this="VERSION", kind="AS OF", expression=exp.Literal.number(snapshot_id))
    table.set("version", version)


def answer(workgroup: str, tree: exp.Query, parameters: Mapping[str, Parameter], limits: Limits | None) -> pa.Table:
    """The rows of one SELECT, at most one more than `limits` allow, in the types that DuckDB would give them; lists,
    maps and rows are text.

    Raises UsageError where the statement is at fault, SchemaHubError where AWS refuses and beyond a limit of time or of
    what the workgroup may scan. However it ends, no query is left running.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    sql, given = _positional(tree, parameters, limits)
    request: dict[str, Any] = {"QueryString": sql, "WorkGroup": workgroup}
    if given:
        request["ExecutionParameters"] = given
    try:
        athena = boto3.client("athena")
        query_id = athena.start_query_execution(**request)["QueryExecutionId"]
        done = _waited_for(athena, query_id, limits)
        _check(done, workgroup)
        results = athena.get_query_results(QueryExecutionId=query_id, MaxResults=1)
        file = _file(boto3.client("s3"), done, workgroup)
    except ClientError as error:
        raise _refused(error, workgroup) from error
    except BotoCoreError as error:
        raise SchemaHubError(refusal(error)) from error
    return _rows(file, results["ResultSet"]["ResultSetMetadata"]["ColumnInfo"])


def literal(value: Parameter) -> str:
    """A value as Athena takes it for a parameter: as a literal of its SQL, in which quotes are doubled and nothing else
    has a meaning."""
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _positional(tree: exp.Query, parameters: Mapping[str, Parameter], limits: Limits | None) -> tuple[str, list[str]]:
    """The statement in Athena's SQL with ? for each :name, and the values in the order of their places."""
    from sqlglot import exp

    if limits and not tree.args.get("limit"):
        tree.set("limit", exp.Limit(expression=exp.Literal.number(limits.rows + 1)))
    for node in list(tree.find_all(exp.Placeholder)):
        if node.name in parameters:
            node.replace(exp.Var(this=f"\0{node.name}\0"))  # NUL is in no statement
    given: list[str] = []

    def placed(name: re.Match[str]) -> str:
        given.append(literal(parameters[name[1]]))
        return "?"

    return re.sub("\0(.*?)\0", placed, tree.sql(dialect="athena", comments=False)), given


def _waited_for(athena: Any, query_id: str, limits: Limits | None) -> Mapping[str, Any]:
    """What Athena tells of a query once it has ended."""
    wait, begun = _SHORTEST_WAIT, time.monotonic()
    try:
        while True:
            told: Mapping[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if told["Status"]["State"] not in ("QUEUED", "RUNNING"):
                return told
            if limits and time.monotonic() - begun > limits.seconds:
                raise limits.too_slow()
            time.sleep(wait)
            wait = min(wait * 1.5, _LONGEST_WAIT)
    except BaseException:  # Ctrl-C too
        _stop(athena, query_id)
        raise


def _stop(athena: Any, query_id: str) -> None:
    try:
        athena.stop_query_execution(QueryExecutionId=query_id)
    except Exception as error:  # noqa: BLE001 - what made us stop it is told
        reason = boto_reason(error) or error
        log.warning("query %s goes on in Athena until it ends by itself, as it cannot be stopped: %s", query_id, reason)


def _refused(error: Any, workgroup: str) -> SchemaHubError:
    """What a ClientError says, and what to do."""
    told = error.response["Error"]
    if told["Code"] != "InvalidRequestException":
        return SchemaHubError(refusal(error))
    for words, remedy in _INVALID:
        if words in told["Message"].lower():
            return UsageError(f"{refusal(error)}; {remedy.format(workgroup)}")
    return UsageError(f"the query does not run: {told['Message']}")


def _check(done: Mapping[str, Any], workgroup: str) -> None:
    status = done["Status"]
    if status["State"] == "SUCCEEDED":
        return
    reason = status.get("StateChangeReason") or "Athena does not tell why"
    if status["State"] == "CANCELLED":
        if "bytes scanned limit" in reason.lower():
            remedy = f"ask for less, such as a shorter time, or raise the limit of workgroup {workgroup}"
            raise SchemaHubError(f"the query would scan more than its workgroup allows and was stopped; {remedy}")
        raise SchemaHubError(f"the query was stopped: {reason}")
    if status.get("AthenaError", {}).get("ErrorCategory") == _USER:
        raise UsageError(f"the query does not run: {reason}")
    raise SchemaHubError(f"the query failed in Athena: {reason}; run it again later")


def _file(s3: Any, done: Mapping[str, Any], workgroup: str) -> bytes:
    location = done.get("ResultConfiguration", {}).get("OutputLocation")
    if location is None:
        raise UsageError(f"workgroup {workgroup} keeps results to itself: give it a location in S3 for them")
    place = urlsplit(location)
    body: bytes = s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
    return body


def _rows(file: bytes, columns: list[dict[str, Any]]) -> pa.Table:
    """The rows in the file of a query, in which every value but NULL is in quotes."""
    import pyarrow as pa
    from pyarrow import csv

    places = [str(number) for number in range(len(columns))]  # two columns may have one name
    found = csv.read_csv(
        pa.BufferReader(file),
        csv.ReadOptions(column_names=places, skip_rows_after_names=1),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),  # empty is NULL where that is all
        csv.ConvertOptions(
            column_types={place: _type(column) for place, column in zip(places, columns, strict=True)},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    values = [_timed(found[place], column["Type"]) for place, column in zip(places, columns, strict=True)]
    return pa.table(values, [column["Name"] for column in columns])


def _type(column: Mapping[str, Any]) -> pa.DataType:
    import pyarrow as pa

    if column["Type"] == "decimal":
        return pa.decimal128(column["Precision"], column["Scale"])
    return pa.type_for_alias(_TYPES.get(column["Type"], "string"))


def _timed(text: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Times in Athena's words as times; what is in another zone than UTC stays as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if kind == "timestamp":
            return text.cast(pa.timestamp("us"))
        if kind == "timestamp with time zone":
            return pc.replace_substring_regex(text, " UTC$", "Z").cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return text
    return text
