"""Fetch new OKX trades into raw_okx_trades."""

import sys
from collections.abc import Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["run", "ingest", "okx"], argv)


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
