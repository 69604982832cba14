"""Ingest every exchange and unify, in one Spark start: the cheap way to run every 30 minutes."""

import sys
from collections.abc import Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["run", "pipeline", "trades_unified"], argv)


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
