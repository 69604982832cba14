"""A Spark that other processes use, as jobs under spark-submit use the JVM they are given: no JVM start for each.

Prints the variables they need, as JSON, and serves until its stdin is closed.
"""

from __future__ import annotations

import json
import os
import sys

from pyspark.sql import SparkSession

from schemahub_lib.config import Settings
from schemahub_lib.tables import session


def main() -> None:
    everything = tuple({package: None for packages in session.PACKAGES.values() for package in packages})
    session.PACKAGES["local"] = everything  # one class path for every profile
    spark = session.start_spark(Settings.load(warehouse=sys.argv[1], environment={}))
    parameters = SparkSession._instantiatedSession.sparkContext._gateway.gateway_parameters
    print(
        json.dumps({"PYSPARK_GATEWAY_PORT": str(parameters.port), "PYSPARK_GATEWAY_SECRET": parameters.auth_token}),
        flush=True,
    )
    sys.stdin.read()
    spark.stop()
    os._exit(0)  # clients that were killed leave threads behind


if __name__ == "__main__":
    main()
