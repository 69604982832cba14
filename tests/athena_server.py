"""Athena for tests: moto's API of it, with an engine behind that runs what it is asked over the tables of moto's Glue.

The engine is a Trino where SCHEMAHUB_TRINO is its URL (`tests/trino.py` starts one), as Athena is; DuckDB otherwise.
As Athena's guide has it, a parameter is an expression of SQL, and ? may be in a WHERE clause only.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from moto.athena.responses import AthenaResponse
from moto.s3.models import s3_backends

from tests.athena_engines import Engine, by_duckdb, by_trino, catalog_of_trino, check

ACCOUNT = "123456789012"  # moto's


@dataclass
class Query:
    sql: str
    parameters: list[str]
    output: str
    state: str = "RUNNING"
    reason: str = ""
    columns: list[dict[str, Any]] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid4()))

    def run(self, engine: Engine) -> None:
        try:
            check(self.sql)
            self.columns, rows = engine(self.sql, self.parameters, lambda: self.state != "RUNNING")
            bucket, _, key = self.output.removeprefix("s3://").partition("/")
            lines = [[column["Name"] for column in self.columns], *rows]
            s3_backends[ACCOUNT]["aws"].put_object(bucket, f"{key}{self.id}.csv", "".join(map(_line, lines)).encode())
            ended, reason = "SUCCEEDED", ""
        except Exception as error:
            ended, reason = "FAILED", str(error)
        if self.state == "RUNNING":
            self.state, self.reason = ended, reason

    def told(self) -> dict[str, Any]:
        status: dict[str, Any] = {"State": self.state, "SubmissionDateTime": time.time()}
        if self.reason:
            status |= {
                "StateChangeReason": self.reason,
                "AthenaError": {"ErrorCategory": 2, "ErrorMessage": self.reason},
            }
        result = {"OutputLocation": f"{self.output}{self.id}.csv"}
        return {"QueryExecutionId": self.id, "Query": self.sql, "Status": status, "ResultConfiguration": result}


def serve_athena(url: str) -> None:
    """Let moto's Athena, served at `url`, run queries."""
    queries: dict[str, Query] = {}
    engine: Engine = partial(by_duckdb, url)
    if trino := os.environ.get("SCHEMAHUB_TRINO"):
        engine = partial(by_trino, trino, catalog_of_trino(trino, url))

    def start(self: AthenaResponse) -> Any:
        workgroup = self.athena_backend.work_groups.get(self._get_param("WorkGroup"))
        if workgroup is None:
            return self.error(f"WorkGroup {self._get_param('WorkGroup')} is not found.", 400)
        output = workgroup.configuration.get("ResultConfiguration", {}).get("OutputLocation")
        if output is None:
            return self.error("No output location provided. An output location is required.", 400)
        query = Query(self._get_param("QueryString"), self._get_param("ExecutionParameters") or [], output)
        queries[query.id] = query
        threading.Thread(target=query.run, args=(engine,), daemon=True).start()
        return json.dumps({"QueryExecutionId": query.id})

    def of(self: AthenaResponse) -> Query:
        return queries[self._get_param("QueryExecutionId")]

    def stop(self: AthenaResponse) -> str:
        if of(self).state == "RUNNING":
            of(self).state, of(self).reason = "CANCELLED", "Query cancelled by user"
        return "{}"

    AthenaResponse.start_query_execution = start  # type: ignore[method-assign]
    AthenaResponse.get_query_execution = lambda self: json.dumps({"QueryExecution": of(self).told()})  # type: ignore[method-assign]
    AthenaResponse.get_query_results = lambda self: json.dumps(  # type: ignore[method-assign]
        {"ResultSet": {"Rows": [], "ResultSetMetadata": {"ColumnInfo": of(self).columns}}}
    )
    AthenaResponse.stop_query_execution = stop  # type: ignore[method-assign]
    AthenaResponse.list_query_executions = lambda self: json.dumps({"QueryExecutionIds": list(queries)})  # type: ignore[method-assign]


def _line(values: Sequence[str | None]) -> str:
    """A line of a result's CSV: NULL is nothing, and an empty text is two quotes."""
    return ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in values) + "\n"
