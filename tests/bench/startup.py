"""What a person or a scheduler waits for when there is nothing to do: `--help`, and a run with nothing new."""

from __future__ import annotations

import sys
import tempfile

from schemahub_lib.simulator import Simulator
from tests.bench.measure import Spent, alternate, middle, run
from tests.e2e.support import environment

COMMAND = [sys.executable, "-m", "schemahub_lib"]


def help_text() -> None:
    """schemahub --help, against a Python that does nothing (target: under 300 ms)"""
    env = environment({}, "none")
    spent = alternate(
        10, {"schemahub --help": lambda: run([*COMMAND, "--help"], env), "python -c pass": _python("pass", env)}
    )
    for name, runs in spent.items():
        print(f"  {name:34} {middle(runs)}")


def nothing_new() -> None:
    """run pipeline with nothing new, without a JVM (target: under 2 s plus the network)"""
    with tempfile.TemporaryDirectory() as folder, Simulator(speed=0, trade_rate=0.02, rate_limits=False) as simulator:
        env = environment(simulator.urls, folder)
        pipeline = [*COMMAND, "run", "pipeline"]
        run(pipeline, env)
        no_java = env | {"JAVA_HOME": "", "PATH": ""}  # a run that wanted a JVM would fail
        spent = alternate(
            7,
            {
                "nothing new": lambda: run(pipeline, no_java),
                "importing pyiceberg and pyarrow": _python("import pyiceberg.catalog.sql, pyiceberg.io.pyarrow", env),
            },
        )
    for name, runs in spent.items():
        print(f"  {name:34} {middle(runs)}")


def _python(code: str, env: dict[str, str]):
    def call() -> Spent:
        return run([sys.executable, "-c", code], env)

    return call
