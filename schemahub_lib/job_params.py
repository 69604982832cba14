"""glue_job_params.json: what AWS Glue, Terraform and SchemaHub itself know of each job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemahub_lib.errors import UsageError, words

FILE = "glue_job_params.json"


def job_params_file(path: str | None = None) -> Path:
    """`path`, else the file in this folder, else that of the checkout which the library is in."""
    places = (Path(path),) if path else (Path(FILE), Path(__file__).resolve().parents[1] / FILE)
    return next((place for place in places if place.is_file()), places[0])


def read_job_params(place: Path) -> dict[str, dict[str, Any]]:
    """Every job by its name, with what holds for all jobs where it does not say otherwise; `arguments` are its own.

    Raises UsageError when there is no such file, or when it is not to be understood.
    """
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        return {name: document["defaults"] | {"arguments": {}} | job for name, job in document["jobs"].items()}
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {words(error)}; it lies at the top of a checkout") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{place} is not a file of Glue jobs that can be understood: {error!r}") from error
