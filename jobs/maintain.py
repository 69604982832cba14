"""Compact the tables, expire their old snapshots and remove orphan files, as far as each is due."""

import sys
from collections.abc import Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["tables", "maintain"], argv)


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
