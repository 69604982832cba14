"""AWS on loopback for tests: moto's S3, Glue and Athena over HTTP, with what moto leaves out.

Glue refuses an UpdateTable whose VersionId is not the table's present one; Iceberg's commits rest on that. moto ignores
VersionId, so two committers would overwrite each other and a test of concurrency would prove nothing.
Athena runs queries (`tests/athena_server.py`).
An object put with the metadata `days-old` looks as old as it says: a test cannot wait for a file to age.
Run as a script: prints its URL and serves until it is stopped. What it was asked goes into a file that is its argument,
a line each (see `tests/aws_calls.py`).
"""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.glue.responses import GlueResponse
from moto.s3.models import FakeKey
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.athena_server import serve_athena
from tests.aws_calls import recording

_commit = threading.Lock()
_update_table = GlueResponse.update_table


def _update_table_at_version(self: GlueResponse) -> Any:
    expected = self.parameters.get("VersionId")
    with _commit:
        table = self.glue_backend.get_table(self.parameters["DatabaseName"], self.parameters["TableInput"]["Name"])
        present = table.as_dict()["VersionId"]
        if expected is not None and expected != present:
            raise JsonRESTError(
                "ConcurrentModificationException", f"update of version {expected}, but the table is at {present}"
            )
        return _update_table(self)


def _last_modified(self: FakeKey) -> datetime:
    put: datetime = vars(self)["last_modified"]
    return put - timedelta(days=int(self.metadata.get("x-amz-meta-days-old", 0)))


def main() -> None:
    FakeKey.last_modified = property(  # type: ignore[assignment]
        _last_modified, lambda self, moment: vars(self).update(last_modified=moment)
    )
    GlueResponse.update_table = _update_table_at_version  # type: ignore[method-assign]
    app: Any = DomainDispatcherApplication(create_backend_app)
    if sys.argv[1:]:
        app = recording(app, Path(sys.argv[1]))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    serve_athena(url)
    print(url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
