"""Every error SchemaHub raises on purpose. Each message says what happened, where, and what to do.

SchemaHubError                 exit code 1
├── UsageError                 2  wrong flag, setting or file; nothing was started. Fix it; retrying cannot help
│   └── MappingError           2  a mapping YAML is refused; carries file and line of every problem
├── ExchangeError                 one product of one exchange failed; the others go on (run ends 3, partial)
│   ├── RequestRejected           the exchange refused the request (unknown product, bad parameter); do not retry
│   ├── ExchangeUnavailable       throttled, down or in maintenance until the retry deadline; run again later
│   └── UnexpectedResponse        the answer is not what the API documents; nothing of the page was kept
├── PublishRefused                another run kept publishing first; nothing was written. Run again
├── AuditFailed                   what was to be published broke an audit; main is untouched. Look at the branch named
├── StateCorrupt                  a watermark state file is missing or altered; see the message for the rebuild
├── CheckpointCorrupt             a landing checkpoint was no checkpoint and was set aside; rebuild it from the objects
├── Conflict                      another writer changed a file first; nothing was overwritten. Stop one of the two
├── StoreError                    a folder or bucket cannot be read or written; mend what the message names, run again
└── Interrupted                130  Ctrl-C; what was published stays, the rest is fetched by the next run
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from schemahub_lib import aws


class SchemaHubError(Exception):
    exit_code = 1


def words(error: BaseException) -> str:
    """What an error says, without the number and the path that Python puts around what the system says."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def sentence(error: BaseException) -> str:
    """One sentence for an error of any kind: ours as it is, a refusal of AWS's with what to do, else with its type."""
    if isinstance(error, SchemaHubError):
        return str(error) or type(error).__name__
    return aws.refusal(error) or f"{type(error).__name__}: {error}"


class UsageError(SchemaHubError):
    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a mapping file. Lines and columns count from 1; line 0 means the file as a whole."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class MappingError(UsageError):
    """All problems found in one mapping file, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ExchangeError(SchemaHubError):
    """A failure that concerns one exchange, and usually one product of it."""

    def __init__(self, message: str, *, exchange: str, endpoint: str, product: str | None = None) -> None:
        self.exchange, self.endpoint, self.product = exchange, endpoint, product
        self.message = message
        where = " ".join(part for part in (exchange, product, endpoint) if part)
        super().__init__(f"{where}: {message}")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        # Errors travel from Spark's executors; by default an exception is made anew from its text alone.
        told: dict[str, Any] = {"exchange": self.exchange, "endpoint": self.endpoint, "product": self.product}
        return partial(type(self), self.message, **told), ()


class RequestRejected(ExchangeError):
    pass


class ExchangeUnavailable(ExchangeError):
    pass


class UnexpectedResponse(ExchangeError):
    pass


class PublishRefused(SchemaHubError):
    pass


class AuditFailed(SchemaHubError):
    pass


class StateCorrupt(SchemaHubError):
    pass


class CheckpointCorrupt(SchemaHubError):
    pass


class Conflict(SchemaHubError):
    pass


class StoreError(SchemaHubError):
    pass


class Interrupted(SchemaHubError):
    exit_code = 130
