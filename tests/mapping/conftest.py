from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from schemahub_lib import exchanges
from schemahub_lib.schemas import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def raw_tables() -> Mapping[str, Table]:
    return exchanges.raw_tables()


@pytest.fixture
def plain_spark(spark_jvm: None) -> SparkSession:
    """A session of its own on the shared Spark, for temporary views only."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate().newSession()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    return spark
