from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from schemahub_lib.errors import MappingError, UsageError
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.schemas import Table

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "mappings"
KRAKEN = (SHIPPED / "kraken_trades.yaml").read_bytes()
BINANCE = (SHIPPED / "binance_trades.yaml").read_bytes()


def test_the_shipped_mappings_cover_the_exchanges(raw_tables: Mapping[str, Table]) -> None:
    loaded = load_mappings(None, raw_tables)
    assert {target: [spec.source for spec in specs] for target, specs in loaded.items()} == {
        "trades_unified": ["raw_binance_trades", "raw_coinbase_trades", "raw_kraken_trades", "raw_okx_trades"]
    }
    assert loaded["trades_unified"][0].file == "mappings/binance_trades.yaml"
    assert all("side" in spec.by_target for spec in loaded["trades_unified"])


@pytest.mark.parametrize(
    ("file", "source", "ids"),
    [
        ("product_ids_seed.yaml", "coinbase", ["BTC-USD", "ETH-USD", "SOL-USD"]),
        ("product_ids_seed_binance.yaml", "binance", ["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
        ("product_ids_seed_kraken.yaml", "kraken", ["XBTUSD", "ETHUSD", "SOLUSD"]),
        ("product_ids_seed_okx.yaml", "okx", ["BTC-USDT", "ETH-USDT", "SOL-USDT"]),
    ],
)
def test_each_exchange_starts_with_three_products(file: str, source: str, ids: list[str]) -> None:
    seed = yaml.safe_load((SHIPPED / file).read_text())
    assert seed["product_ids"] == ids
    assert (seed["metadata"]["source"], seed["metadata"]["count"]) == (source, len(ids))
    assert seed["metadata"]["last_updated"].tzinfo is not None


def test_a_folder_replaces_the_shipped_mappings(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    (tmp_path / "mine.yml").write_bytes(KRAKEN)
    (spec,) = load_mappings(str(tmp_path), raw_tables)["trades_unified"]
    assert (spec.source, spec.file) == ("raw_kraken_trades", f"{tmp_path}/mine.yml")


def test_seed_files_and_mapping_tests_are_not_mappings(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    (tmp_path / "kraken_trades.yaml").write_bytes(KRAKEN)
    for name in ("product_ids_seed.yaml", "product_ids_seed_kraken.yaml", "kraken_trades_test.yaml", "notes.txt"):
        (tmp_path / name).write_text("not: a mapping")
    assert len(load_mappings(str(tmp_path), raw_tables)["trades_unified"]) == 1


def test_the_problems_of_all_files_are_reported_together(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    (tmp_path / "a.yaml").write_bytes(KRAKEN.replace(b"taker_from_code", b"taker_from_cod"))
    (tmp_path / "b.yaml").write_bytes(b"source: caf\xe9\n")
    (tmp_path / "c.yaml").write_bytes(BINANCE)
    with pytest.raises(MappingError) as caught:
        load_mappings(str(tmp_path), raw_tables)
    assert [(Path(problem.file).name, problem.line) for problem in caught.value.problems] == [
        ("a.yaml", 24),
        ("b.yaml", 1),
    ]
    assert "save the file as UTF-8" in str(caught.value)


def test_two_mappings_of_one_source_to_one_target_are_refused(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    (tmp_path / "a.yaml").write_bytes(KRAKEN)
    (tmp_path / "b.yaml").write_bytes(KRAKEN)
    with pytest.raises(MappingError, match=r"b\.yaml: .*a\.yaml maps raw_kraken_trades to trades_unified already"):
        load_mappings(str(tmp_path), raw_tables)


def test_two_sources_may_not_share_what_tells_their_rows_apart(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    (tmp_path / "a.yaml").write_bytes(KRAKEN)
    (tmp_path / "b.yaml").write_bytes(BINANCE.replace(b"exchange: BINANCE", b"exchange: KRAKEN"))
    with pytest.raises(MappingError, match=r"b\.yaml: exchange is 'KRAKEN' here as in .*a\.yaml, so trades"):
        load_mappings(str(tmp_path), raw_tables)


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path, raw_tables: Mapping[str, Table]) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        load_mappings(str(tmp_path / "nowhere"), raw_tables)
    with pytest.raises(UsageError, match=r"there is no mapping \(\*\.yaml\) in"):
        load_mappings(str(tmp_path), raw_tables)


def test_a_zip_carries_the_mappings_with_it(tmp_path: Path) -> None:
    archive = tmp_path / "schemahub_lib.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for file in (ROOT / "schemahub_lib").rglob("*.py"):
            bundle.write(file, str(file.relative_to(ROOT)))
        for file in SHIPPED.glob("*.yaml"):
            bundle.write(file, f"schemahub_lib/mappings/{file.name}")
    code = (
        "from schemahub_lib.mapping.registry import shipped_mappings\n"
        "print(shipped_mappings(), (shipped_mappings() / 'kraken_trades.yaml').read_text().splitlines()[1][:8])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(archive)},
        stdout=subprocess.PIPE,
    )
    assert done.stdout.decode().split() == [f"{archive}/schemahub_lib/mappings/", "#", "Kraken"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket on a real S3 server on loopback."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="lake")
    yield "lake"
    server.stop()


def test_mappings_are_read_from_s3(bucket: str, raw_tables: Mapping[str, Table]) -> None:
    import boto3

    s3 = boto3.client("s3")
    for key in ("config/mappings/kraken_trades.yaml", "config/mappings/product_ids_seed.yaml"):
        s3.put_object(Bucket=bucket, Key=key, Body=KRAKEN)
    for key in ("config/mappings/old/kraken_trades.yaml", "config/mappings-2/kraken_trades.yaml", "kraken.yaml"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"not a mapping")
    (spec,) = load_mappings(f"s3://{bucket}/config/mappings", raw_tables)["trades_unified"]
    assert spec.file == "s3://lake/config/mappings/kraken_trades.yaml"


def test_an_unknown_bucket_is_a_clear_error(bucket: str, raw_tables: Mapping[str, Table]) -> None:
    with pytest.raises(UsageError, match=r"cannot read the mappings in s3://pond/x: .*NoSuchBucket"):
        load_mappings("s3://pond/x", raw_tables)
