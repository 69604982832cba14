"""Fetch new Coinbase trades into raw_coinbase_trades."""

import sys
from collections.abc import Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["run", "ingest", "coinbase"], argv)


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
