"""Wrong input to `ingest`, `backfill` and `run load`: one sentence with the remedy, before anything is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Outcome, assert_one_error


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ingest", "BTC-USD"], "either --s3-bucket NAME or --out FOLDER"),
        (["ingest", "BTC-USD", "--out", "o", "--s3-bucket", "b"], "either --s3-bucket NAME or --out FOLDER"),
        (["ingest", "BTC-USD", "--s3-bucket", "s3://b/some/prefix"], "--s3-bucket b --s3-prefix some/prefix"),
        (["ingest", "BTC-USD", "--out", "o", "--before", "9", "--after", "10"], "no id is above --before 9"),
        (["ingest", "XBTUSD", "--source", "kraken", "--out", "o", "--before", "9"], "kraken pages by time"),
        (
            ["ingest", "--out", "o", "--seed-path", "no-such.yaml"],
            "no-such.yaml cannot be read: No such file or directory",
        ),
        (["ingest", "BTC-USD", "--out", "o", "--cold-start-window", "soon"], "'soon' is not a duration"),
        (["ingest", "BTC-USD", "--out", "o", "--before", "9", "--cold-start-window", "1h"], "leave one of them out"),
        (["backfill"], "either --s3-bucket NAME or --out FOLDER"),
        (["ingest", "BTC-USD,ETH-USD", "--out", "o"], "BTC-USD,ETH-USD: give one PRODUCT, or leave it out for"),
        (["ingest", "", "--out", "o"], "PRODUCT is empty"),
        (["ingest", "BTC-USD", "--out", "o", "--seed-path", "s.yaml"], "PRODUCT says which products, so --seed-path"),
        (["ingest", "--out", "o", "--seed-path", ""], "the product seed file . cannot be read: Is a directory"),
        (["backfill", "--out", "o", "--products", ""], "--products is empty: name at least one, or leave it out"),
        (["backfill", "--out", "o", "--products", " , "], "--products is empty"),
        (["backfill", "--out", "o", "--since", ""], "'' is not a time"),
        (["backfill", "--out", "o", "--products", "A", "--seed-path", "s.yaml"], "--products says which products, so"),
        (["backfill", "--from-archive", "x.zip", "--products", ""], "--products is empty"),
        (["backfill", "--from-archive", "x.zip", "--format", "parquet"], "so --format has no effect: remove it"),
        (["run", "load", "coinbase", "--from", ".", "--products", ""], "--products is empty"),
        (
            ["backfill", "--out", "o", "--to", "raw"],
            "--to raw writes into the warehouse (--warehouse), so --out has no",
        ),
        (["backfill", "--out", "o", "--gaps"], "--gaps writes into the warehouse (--warehouse), so --out has no"),
        (["backfill", "--to", "raw", "--format", "jsonl"], "so --format has no effect: remove it"),
        (["backfill", "--to", "raw", "--compress", "none"], "so --compress has no effect: remove it"),
        (["backfill", "--to", "raw", "--checkpoint-s3"], "so --checkpoint-s3 has no effect: remove it"),
        (["backfill", "--to", "raw", "--s3-prefix", "p", "--dry-run"], "so --s3-prefix has no effect: remove it"),
        (["backfill", "--out", "o", "--to", "landing", "--gaps"], "use it with --to raw"),
        (["backfill", "--out", "o", "--since", "2024-02-02", "--until", "2024-02-01"], "is not before --until"),
        (["backfill", "--out", "o", "--since", "2424-02-02"], "is in the future"),
        (["run", "load", "coinbase", "--from", "no-such-folder"], "there is no such folder or file"),
    ],
)
def test_it_is_refused(
    cli: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*arguments, SCHEMAHUB_COINBASE_URL="http://127.0.0.1:9", SCHEMAHUB_KRAKEN_URL="http://127.0.0.1:9")
    assert done.code == 2
    assert_one_error(done.err, told)
    assert not list(tmp_path.rglob("*.jsonl*"))


def test_products_of_which_nothing_landed_are_named_beside_those_that_are_there(
    cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    for product in ("ETH-USD", "BTC-USD"):
        (tmp_path / f"raw_coinbase_trades_{product}_20240101T000000000000Z_1.jsonl").write_text("")
    load = ("run", "load", "coinbase", "--from", str(tmp_path))
    done = cli(*load, "--products", "NOPE,NOR-THIS", SCHEMAHUB_WAREHOUSE=str(tmp_path / "w"))
    assert done.code == 2
    assert_one_error(done.err, "no landed objects of NOPE, NOR-THIS are there, but of BTC-USD, ETH-USD")
    done = cli(*load, "--products", "NOPE,BTC-USD", SCHEMAHUB_WAREHOUSE=str(tmp_path / "w"))
    assert done.code == 0
    assert "no landed objects of NOPE are there" in done.err


def test_a_folder_without_landed_objects_says_what_they_are_called(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    done = cli("run", "load", "coinbase", "--from", str(tmp_path), SCHEMAHUB_WAREHOUSE=str(tmp_path / "w"))
    assert done.code == 2
    assert_one_error(done.err, "raw_coinbase_trades_<product>_<time>_<trade id>.jsonl")
