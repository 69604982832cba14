"""The jobs as Glue and EMR start them: spark-submit, `--key value` arguments, the zip as the only source."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyspark
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.rebuild import current_state
from schemahub_lib.tables.session import jar_files
from tests.conftest import aws_server
from tests.e2e.pipelines import NOW, PRODUCTS, WAYS, lake_at, tape, unified
from tests.e2e.support import ROOT, environment

pytestmark = pytest.mark.slow

SINCE = ("--since", "2024-02-08T15:17:00Z")
# An editable install answers imports from the checkout; without it only the zip does.
HIDE_CHECKOUT = 'import sys\nsys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in str(f)]\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make package` builds."""
    subprocess.run(["make", "--no-print-directory", "package"], cwd=ROOT, check=True, capture_output=True)
    return ROOT / "dist" / "schemahub_lib.zip"


@pytest.fixture
def market() -> Iterator[Simulator]:
    with Simulator(now=NOW, speed=0, trade_rate=0.2, rate_limits=False) as simulator:
        yield simulator


def submit(
    env: dict[str, str], folder: Path, package: Path, job: str, *arguments: str, master: str = "local[2]"
) -> subprocess.CompletedProcess[str]:
    """spark-submit a job from a folder where the library is not importable."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text(HIDE_CHECKOUT)
    home = Path(pyspark.__file__).parent
    env = env | {
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(hidden),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SCALA_VERSION": "2.12",
    }
    alone = subprocess.run([sys.executable, "-c", "import schemahub_lib"], env=env, cwd=folder, capture_output=True)
    assert b"No module named 'schemahub_lib'" in alone.stderr
    jars = jar_files(Settings.load(environment=env))
    assert jars is not None
    return subprocess.run(
        [
            str(home / "bin" / "spark-submit"),
            *("--master", master, "--py-files", str(package), "--jars", ",".join(map(str, jars))),
            *("--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=2"),
            *(str(ROOT / "jobs" / f"{job}.py"), "--JOB_NAME", job, *arguments),
        ],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_package_holds_the_library_and_the_mappings_and_nothing_else(package: Path) -> None:
    names = zipfile.ZipFile(package).namelist()
    assert "schemahub_lib/mappings/kraken_trades.yaml" in names
    assert "schemahub_lib/pipeline/unify.py" in names
    assert not [name for name in names if not name.startswith(("schemahub_lib/", "schemahub-"))]


def test_the_jobs_one_after_another_by_spark_submit(tmp_path: Path, package: Path, market: Simulator) -> None:
    env = environment(market.urls, tmp_path / "warehouse")
    for source in WAYS:
        done = submit(env, tmp_path, package, f"ingest_{source}", *SINCE, "--log-format", "json")
        assert done.returncode == 0, done.stderr
    done = submit(env, tmp_path, package, "unify")
    assert done.returncode == 0, done.stderr
    products = {source: PRODUCTS[source] for source in WAYS}
    assert unified(lake_at(tmp_path / "warehouse", market.urls)) == tape(market.urls, products=products)
    assert {path.name for path in tmp_path.iterdir()} == {"hidden", "warehouse"}  # jobs write nowhere else


def test_a_job_tells_by_its_exit_status_how_it_went(tmp_path: Path, package: Path, market: Simulator) -> None:
    env = environment(market.urls, tmp_path / "warehouse")
    products = ("--products", "BTC-USD,NOT-THERE", *SINCE)
    partial = submit(env, tmp_path, package, "ingest_coinbase", *products)
    assert partial.returncode == 0
    assert "failed: coinbase NOT-THERE" in partial.stdout
    strict = submit(env, tmp_path, package, "ingest_coinbase", *products, "--fail-on-partial", "true")
    assert strict.returncode != 0
    wrong = submit(env, tmp_path, package, "ingest_coinbase", "--cold_start_window", "soon")
    assert wrong.returncode != 0
    assert "'soon' is not a duration" in wrong.stdout  # where spark-submit puts a script's stderr too


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Where the AWS of `aws_of_its_own` writes what is asked of it."""
    return tmp_path / "asked"


@pytest.fixture
def aws_of_its_own(asked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with aws_server(str(asked)) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield variables


def test_jobs_on_s3_and_glue_from_empty_buckets_and_what_they_may_do_there(
    tmp_path: Path, package: Path, market: Simulator, aws_of_its_own: dict[str, str], asked: Path
) -> None:
    bucket = "lake"
    boto3.client("s3").create_bucket(Bucket=bucket)
    env = environment(market.urls, "", SCHEMAHUB_DATABASE="of_jobs", **aws_of_its_own)
    del env["SCHEMAHUB_WAREHOUSE"]
    asked.write_text("")  # what the test asked is not the jobs'
    place = ("--profile", "glue", "--warehouse", f"s3://{bucket}/warehouse")
    glue_env = env | {"SCHEMAHUB_PROFILE": "glue", "SCHEMAHUB_WAREHOUSE": place[3]}
    done = submit(glue_env, tmp_path, package, "pipeline", *place, *SINCE, master="local-cluster[2,1,1024]")
    assert done.returncode == 0, done.stderr
    query = "SELECT exchange, count(*) AS trades FROM trades_unified GROUP BY 1 ORDER BY 1"
    answer = subprocess.run(
        [sys.executable, "-m", "schemahub_lib", "query", query, "--json", *place],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [key[0] for key in tape(market.urls)]
    assert json.loads(answer.stdout) == [
        {"exchange": name, "trades": expected.count(name)} for name in sorted(name.upper() for name in EXCHANGES)
    ]
    for job, arguments in (("maintain", ()), ("land", ("--s3-bucket", bucket, "--cold-start-window", "1h"))):
        done = submit(glue_env, tmp_path, package, job, *place, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    # What infra/ allows is what is needed: no more, but for an upload that fails, and for what Glue itself asks of the
    # buckets that it is told of (as in AWS's own AWSGlueServiceRole).
    unasked = {"s3:AbortMultipartUpload", "s3:GetBucketLocation"}
    allowed = set(re.findall(r'"((?:glue|s3):\w+)"', (ROOT / "infra/modules/iam/main.tf").read_text()))
    assert allowed - unasked == set(asked.read_text().split("\n")) - {""}


def test_a_backfill_fetched_by_a_clusters_executors_with_the_zip_as_their_only_source(
    tmp_path: Path, package: Path, market: Simulator
) -> None:
    env = environment(market.urls, tmp_path / "warehouse")
    for source in ("coinbase", "kraken"):
        place = ("--source", source, "--to", "raw", "--since", "2024-02-08T15:00:00Z", "--workers", "3")
        done = submit(
            env, tmp_path, package, "backfill", *place, "--distributed", "true", master="local-cluster[2,1,1024]"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lake = lake_at(tmp_path / "warehouse", market.urls)
        exchange = EXCHANGES[source]
        for symbol, stream in current_state(lake, exchange).streams.items():
            assert len(stream.covered) == 1
            rows = lake.ensure(exchange.raw_table).scan().to_arrow().to_pylist()
            ids = sorted(int(row[exchange.id_column]) for row in rows if row[exchange.symbol_column] == symbol)
            assert ids == list(range(ids[0], ids[-1] + 1))
            assert len(ids) > 100
