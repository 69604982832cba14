"""The command line, held at the start: imports, says `ready`, waits for a line on stdin, then runs its arguments."""

from __future__ import annotations

import sys

import pyspark.sql  # noqa: F401 - what takes time is loaded before the start, not after it

from schemahub_lib import cli


def main() -> int:
    print("ready", flush=True)
    sys.stdin.readline()
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
