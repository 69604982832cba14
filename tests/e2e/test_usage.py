"""Wrong flags, settings and files: one clear sentence on stderr, exit code 2, and nothing was started."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.tables import lake as lakes
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import lake_at
from tests.e2e.support import ROOT

Cli = Callable[..., Outcome]
INGEST = ("run", "ingest", "coinbase")


@pytest.fixture(autouse=True)
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr(lakes, "start_spark", refuse)


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (("--profile", "paper", "status"), {}, "'paper' is not one of 'local', 'glue', 'rest'"),
        (("status",), {"SCHEMAHUB_PROFILE": "paper"}, "profile 'paper' is unknown: choose one of local, glue, rest"),
        (("status", "--warehouse", "s3://b/w"), {}, "warehouse s3://b/w is not a local folder"),
        (("status", "--profile", "glue"), {}, "profile 'glue' needs an S3 warehouse: set --warehouse or SCHEMAHUB_WAR"),
        (("status", "--profile", "rest", "--warehouse", "s3://b/w"), {}, "profile 'rest' needs SCHEMAHUB_REST_URI"),
        (("status",), {"SCHEMAHUB_DATABASE": "My DB"}, "SCHEMAHUB_DATABASE='My DB': use lower-case letters"),
        ((*INGEST, "--cold-start-window", "45 min"), {}, "'45 min' is not a duration: write a number and s, m, h or d"),
        ((*INGEST, "--since", "yesterday"), {}, "'yesterday' is not a time: write 2024-02-08"),
        ((*INGEST, "--until", "2024-02-30"), {}, "'2024-02-30' is not a time"),
        ((*INGEST, "--since", "2999-01-01"), {}, "--since 2999-01-01 is in the future"),
        ((*INGEST, "--since", "2024-02-08", "--until", "2024-02-07"), {}, "--since 2024-02-08 is not before --until"),
        ((*INGEST, "--workers", "0"), {}, "0 is not in the range x>=1"),
        ((*INGEST, "--max-catch-up", "many"), {}, "'many' is not a valid integer"),
        ((*INGEST, "--products", ""), {}, "--products is empty: name at least one, or leave it out"),
        ((*INGEST, "--products", "A", "--seed-path", "s.yaml"), {}, "so --seed-path has no effect: leave one of them"),
        (("run", "pipeline", "--sources", ""), {}, "--sources is empty"),
        (("run", "unify", "--sources", " "), {}, "--sources is empty"),
        (("run", "unify", "--symbols", ","), {}, "--symbols is empty"),
        ((*INGEST, "--turbo"), {}, "No such option '--turbo'"),
        (("run", "ingest", "mtgox"), {}, "'mtgox' is not one of 'coinbase', "),
        (("run", "ingest"), {}, "Missing argument"),
        (("run", "ingest", "coinbase", "kraken", "--products", "BTC-USD"), {}, "give one source with it"),
        (("run", "ingest", "coinbase", "kraken", "--seed-path", "a.yaml"), {}, "--seed-path names products of one ven"),
        (("run", "pipeline", "--products", "BTC-USD"), {}, "give one source with --sources"),
        (("run", "pipeline", "--seed-path", "a.yaml"), {}, "give one source with --sources"),
        (("update-seed", "--filter-regex", "*-USD"), {}, "--filter-regex '*-USD' is not a regular expression"),
        (("run", "pipeline", "--sources", "mtgox"), {}, "'mtgox' is not an exchange: choose among coinbase, binance"),
        (("run", "unify", "trades"), {}, "'trades' is not a unified table: choose one of trades_unified"),
        ((*INGEST, "--seed-path", "/no/such.yaml"), {}, "/no/such.yaml cannot be read: No such file or directory"),
        (INGEST, {"SCHEMAHUB_COINBASE_URL": "localhost:80"}, "SCHEMAHUB_COINBASE_URL is not a URL such"),
        (INGEST, {"SCHEMAHUB_COINBASE_SECRET": "c2VjcmV0"}, "coinbase: SCHEMAHUB_COINBASE_KEY is missing or empty"),
        (("run", "unify", "--mappings", "/no/where"), {}, "mappings folder /no/where does not exist"),
        (("query", "SELECT 1 FROM nowhere"), {}, "there is no table nowhere: the warehouse"),
        (("tables", "history", "nowhere"), {}, "there is no table nowhere: the warehouse"),
        (("tables", "history", "trades_unified", "--limit", "0"), {}, "0 is not in the range x>=1"),
        (("tables", "rollback", "trades_unified"), {}, "Missing option '--to'"),
        (
            ("tables", "rollback", "schemahub_runs", "--to", "1"),
            {},
            "schemahub_runs is a ledger and is not rolled back",
        ),
        (("tables", "plan-partitions", "nowhere"), {}, "there is no table nowhere: the warehouse"),
        (("simulate", "--recorded", "/no/where"), {}, "no folder of recorded responses at /no/where"),
        (("simulate", "--fault", "gremlins=1"), {}, "no fault 'gremlins'"),
        (("simulate", "--port", "coinbase=99999"), {}, "--port coinbase=99999: write it as coinbase=8080"),
        (("simulate", "--port", "coinbase"), {}, "--port coinbase: write it as coinbase=8080"),
    ],
)
def test_wrong_usage_is_one_clear_sentence_and_exit_code_2(
    arguments: tuple[str, ...], variables: dict[str, str], told: str, cli: Cli, tmp_path: Path
) -> None:
    run = cli(*arguments, **({"SCHEMAHUB_WAREHOUSE": str(tmp_path / "warehouse")} | variables))
    assert run.code == 2, run.err
    assert run.out == ""
    assert_one_error(run.err, told)


@pytest.mark.parametrize("seed", ["", "product_ids: []", "product_ids: [1]", "ids: [BTC-USD]", "- BTC-USD", "a: [b"])
def test_a_broken_seed_file_is_refused_by_name(seed: str, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(seed)
    run = cli(*INGEST, "--seed-path", str(file), SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"))
    assert run.code == 2
    assert_one_error(run.err, str(file))


def test_a_warehouse_that_cannot_be_written_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = cli(*INGEST, "--warehouse", str(tmp_path / "file" / "warehouse"))
    assert run.code == 2
    assert_one_error(run.err, f"the warehouse {tmp_path}/file/warehouse cannot be opened: Not a directory")


@pytest.mark.parametrize(
    "arguments", [INGEST, ("run", "unify"), ("status",), ("query", "SELECT count(*) FROM raw_coinbase_trades")]
)
def test_a_warehouse_that_was_moved_is_refused_with_the_reason(
    arguments: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    before = lake_at(tmp_path / "before", {})
    before.ensure(EXCHANGES["coinbase"].raw_table)
    (tmp_path / "before").rename(tmp_path / "after")
    run = cli(*arguments, SCHEMAHUB_WAREHOUSE=str(tmp_path / "after"))
    assert run.code == 2, run.err
    assert_one_error(run.err, "cannot be moved or renamed; move it back, or start a new one")


GOOD_MAPPING = (ROOT / "mappings" / "coinbase_trades.yaml").read_text()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("  price: price", "  prize: price", "no column 'prize'; did you mean 'price'?"),
        ("  size: quantity ", "  size: amount ", "trades_unified has no column 'amount'"),
        ("trade_ts: iso8601", "trade_ts: iso", "unknown transform 'iso'; did you mean 'iso8601'?"),
        ("constants:", "constant:", "unknown key 'constant'; did you mean 'constants'?"),
        ("quantity: to_double", "quantity: iso8601", "and raw column 'size' is DOUBLE"),
        ("  side: side", "  side: price", "target column 'price' is mapped twice"),
        ("  trade_id: trade_id\n", "", "trades_unified requires 'trade_id'"),
        ("source: raw_coinbase_trades", "source: [raw", "not valid YAML"),
        ("source: raw_coinbase_trades", "source: raw_coinbase_trade", "did you mean 'raw_coinbase_trades'?"),
    ],
)
def test_a_broken_mapping_is_refused_with_file_and_line_before_anything_starts(
    before: str, after: str, told: str, cli: Cli, tmp_path: Path
) -> None:
    assert before in GOOD_MAPPING
    text = GOOD_MAPPING.replace(before, after, 1)
    file = tmp_path / "mine" / "coinbase_trades.yaml"
    file.parent.mkdir()
    file.write_text(text)
    for command in (("run", "pipeline"), ("run", "unify"), ("mappings", "validate")):
        run = cli(*command, "--mappings", str(file.parent), SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"))
        assert run.code == 2
        lines = [line for line in run.err.splitlines() if told in line]
        assert lines, run.err
        place = re.search(rf"{re.escape(str(file))}:(\d+):(\d+): ", lines[0])
        assert place is not None, lines[0]
        assert 1 <= int(place[1]) <= len(text.splitlines()) + 1
        assert "Traceback" not in run.err
    assert not (tmp_path / "warehouse").exists()


def test_the_line_named_is_the_line_that_is_wrong(cli: Cli, tmp_path: Path) -> None:
    text = GOOD_MAPPING.replace("  price: price", "  prize: price")
    number = text.splitlines().index("  prize: price") + 1
    (tmp_path / "m.yaml").write_text(text)
    assert f"{tmp_path}/m.yaml:{number}:3: " in cli("mappings", "validate", str(tmp_path)).err
