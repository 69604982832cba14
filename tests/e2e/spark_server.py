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
    spark = start_for_every_profile(sys.argv[1])
    parameters = SparkSession._instantiatedSession.sparkContext._gateway.gateway_parameters
    print(
        json.dumps({"PYSPARK_GATEWAY_PORT": str(parameters.port), "PYSPARK_GATEWAY_SECRET": parameters.auth_token}),
        flush=True,
    )
    sys.stdin.read()
    spark.stop()
    os._exit(0)  # clients that were killed leave threads behind


def start_for_every_profile(warehouse: str) -> SparkSession:
    """A Spark whose class path serves lakes of every profile."""
    everything = tuple({package: None for packages in session.PACKAGES.values() for package in packages})
    session.PACKAGES["local"] = everything
    return session.start_spark(Settings.load(warehouse=warehouse, environment={}))


if __name__ == "__main__":
    main()
