"""Land what is new of an exchange as objects: a job, or an AWS Lambda function (`land.handler`); needs no Spark."""

import sys
from collections.abc import Mapping, Sequence

from schemahub_lib.glue import run_job


def main(argv: Sequence[str]) -> int:
    return run_job(["ingest"], argv)


def handler(event: Mapping[str, object], context: object) -> None:
    """`event` has the job's arguments, as {"source": "coinbase", "s3-bucket": "…"}. Raises RuntimeError for a run that
    failed, by which Lambda tells that it did."""
    status = main([word for name, value in event.items() for word in (f"--{name}", str(value))])
    if status:
        raise RuntimeError(f"ended with {status}: the log above says why")


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
