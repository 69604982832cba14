"""What dlt makes of the same pages: its REST client into an Iceberg table. Run by a Python that has dlt[pyiceberg].

`python dlt_side.py URL ROWS FOLDER` prints the seconds it took, imports excluded.
"""

import os
import sys
import time

url, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ |= {"DESTINATION__FILESYSTEM__BUCKET_URL": f"file://{folder}", "RUNTIME__DLTHUB_TELEMETRY": "false"}

import dlt  # noqa: E402
from dlt.sources.helpers.rest_client import RESTClient  # noqa: E402


@dlt.resource(name="trades", table_format="iceberg", write_disposition="append")
def trades():  # type: ignore[no-untyped-def]
    client = RESTClient(base_url=url)
    for before in range(0, count, 1000):
        yield client.get("/products/BTC-USD/trades", params={"before": before, "after": before + 1001}).json()


pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="bench", pipelines_dir=f"{folder}/state")
started = time.perf_counter()
pipeline.run(trades())
print(time.perf_counter() - started)
