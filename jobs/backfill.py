"""Fetch an exchange's history, from new to old: into its raw table with `--to raw`, or as objects in `--s3-bucket`."""

import sys
from collections.abc import Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["backfill"], argv)


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
