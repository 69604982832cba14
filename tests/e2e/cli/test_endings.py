"""How commands end: exit codes, tracebacks only when asked for, secrets nowhere, Ctrl-C soon and with nothing lost."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.cli.conftest import INGEST, SINCE_TEXT, Cli
from tests.e2e.conftest import assert_one_error
from tests.e2e.pipelines import PRODUCTS, SINCE, lake_at, pipeline, raw_keys, tape
from tests.e2e.support import environment, schemahub, start


def test_a_traceback_comes_with_v_only(tmp_path: Path) -> None:
    env = environment({}, tmp_path / "warehouse")
    plain = schemahub(env, *INGEST, "--since", "soon")
    assert plain.returncode == 2
    assert_one_error(plain.stderr, "'soon' is not a time")
    verbose = schemahub(env, *INGEST, "--since", "soon", "-v")
    assert verbose.returncode == 2
    assert "Traceback (most recent call last)" in verbose.stderr
    assert "'soon' is not a time" in verbose.stderr


def test_a_process_ends_with_the_exit_code(filled: Lake, market: Simulator, tmp_path: Path) -> None:
    env = environment(market.urls, filled.settings.warehouse, JAVA_HOME=str(tmp_path))
    assert schemahub(env, *INGEST, "--products", "BTC-USD").returncode == 0
    assert schemahub(env, *INGEST, "--products", "NO-SUCH").returncode == 1
    assert schemahub(env, *INGEST, "--products", "BTC-USD,NO-SUCH").returncode == 3


SECRETS = {"KEY": "the-key-itself", "PASSPHRASE": "the-passphrase", "SECRET": base64.b64encode(b"the-secret").decode()}


@pytest.mark.parametrize(
    "arguments",
    [
        (*INGEST, "-v", "--products", "BTC-USD", "--since", "2023-02-08T15:19"),
        (*INGEST, "-v", "--products", "NO-SUCH"),
        ("doctor", "-v"),
        ("doctor", "--json"),
        ("status", "-v"),
        ("run", "ingest", "kraken", "-v", "--log-format", "json"),
    ],
)
def test_secrets_are_never_shown(arguments: tuple[str, ...], on_filled: Cli) -> None:
    variables = {f"SCHEMAHUB_COINBASE_{name}": value for name, value in SECRETS.items()}
    variables |= {"SCHEMAHUB_KRAKEN_KEY": SECRETS["KEY"], "SCHEMAHUB_KRAKEN_SECRET": "not base64: " + SECRETS["SECRET"]}
    run = on_filled(*arguments, **variables)
    assert run.out or run.err
    for secret in SECRETS.values():
        assert secret not in run.out + run.err


def test_secrets_are_not_in_a_traceback_either(tmp_path: Path, market: Simulator) -> None:
    env = environment(
        market.urls, tmp_path / "warehouse", SCHEMAHUB_COINBASE_KEY="k", SCHEMAHUB_COINBASE_SECRET="s3-#!"
    )
    run = schemahub(env, *INGEST, "-v")
    assert run.returncode == 2
    assert "Traceback" in run.stderr
    assert "s3-#!" not in run.stdout + run.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_schedulers_stop_end_a_run_soon_and_the_next_one_completes_it(
    spark_jvm: None, market: Simulator, tmp_path: Path, sent: signal.Signals
) -> None:
    warehouse = tmp_path / "warehouse"
    market.set_faults({"slow:1": 1.0})
    try:
        process = start(
            environment(market.urls, warehouse), ["-m", "schemahub_lib", "run", "pipeline", "--since", SINCE_TEXT]
        )
        asked = requests_so_far(market)
        deadline = time.monotonic() + 60
        while requests_so_far(market) < asked + 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(sent)
        interrupted = time.monotonic()
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - interrupted
    finally:
        market.set_faults({})
    assert process.returncode == 130, err
    assert took < 10
    assert out == ""
    assert_one_error(err, "stopped; everything published so far is safe and the next run continues after it")
    lake = lake_at(warehouse, market.urls)
    pipeline(lake, since=SINCE)
    expected = tape(market.urls)
    assert sum((raw_keys(lake, name) for name in PRODUCTS), Counter()) == Counter(expected.keys())


def requests_so_far(market: Simulator) -> int:
    return sum(int(stats["requests"]) for stats in market.stats.values())


def test_the_simulator_ends_quietly_on_ctrl_c() -> None:
    process = start(dict(os.environ), ["-m", "schemahub_lib", "simulate", "--json"])
    assert process.stdout is not None
    assert set(json.loads(process.stdout.readline())) == set(PRODUCTS)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
