"""Official bulk files by the command line, and on into the unified table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archives import binance_line, binance_zip, kraken_zip
from tests.e2e.conftest import Outcome

QUERY = "SELECT exchange, symbol, side, count(*) AS n, sum(quantity) AS q FROM trades_unified GROUP BY ALL ORDER BY ALL"


def test_bulk_files_become_unified_trades_once(
    spark_jvm: None, cli: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMAHUB_WAREHOUSE", str(tmp_path / "w"))
    binance = binance_zip(tmp_path, [binance_line(n, buyer_maker="True") for n in range(1, 21)])
    kraken = kraken_zip(tmp_path, {"XBTUSD": [f"{1381095255 + n},100.0,1.0" for n in range(10)]})
    for _ in range(2):
        for source, path in (("binance", binance), ("kraken", kraken)):
            done = cli("backfill", "--source", source, "--from-archive", str(path))
            assert done.code == 0, done.err
        assert cli("run", "unify").code == 0
    found = json.loads(cli("query", QUERY, "--json").out)
    assert found == [
        {"exchange": "BINANCE", "symbol": "BTCUSDT", "side": "SELL", "n": 20, "q": pytest.approx(0.0016)},
        {"exchange": "KRAKEN", "symbol": "XBTUSD", "side": None, "n": 10, "q": 10.0},
    ]


def test_a_file_that_is_not_there_or_not_the_exchanges_is_refused(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    done = cli("backfill", "--source", "binance", "--from-archive", str(tmp_path / "x.zip"))
    assert done.code == 2
    assert "there is no such file" in done.err
    done = cli("backfill", "--from-archive", str(tmp_path / "x.zip"))
    assert done.code == 2
    assert "coinbase publishes no bulk files" in done.err
    done = cli("backfill", "--source", "binance", "--from-archive", "x.zip", "--since", "2024-01-01")
    assert done.code == 2
    assert "so --since has no effect: remove it" in done.err
