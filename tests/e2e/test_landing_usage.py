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
        (["ingest", "--out", "o", "--seed-path", "no-such.yaml"], "no-such.yaml cannot be read"),
        (["ingest", "BTC-USD", "--out", "o", "--cold-start-window", "soon"], "'soon' is not a duration"),
        (["ingest", "BTC-USD", "--out", "o", "--before", "9", "--cold-start-window", "1h"], "leave one of them out"),
        (["backfill"], "either --s3-bucket NAME or --out FOLDER"),
        (["backfill", "--out", "o", "--to", "raw"], "leave --s3-bucket and --out out"),
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


def test_a_folder_without_landed_objects_says_what_they_are_called(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    done = cli("run", "load", "coinbase", "--from", str(tmp_path), SCHEMAHUB_WAREHOUSE=str(tmp_path / "w"))
    assert done.code == 2
    assert_one_error(done.err, "raw_coinbase_trades_<product>_<time>_<trade id>.jsonl")
