"""`make bench`, or `python -m tests.bench NAME…` for some of them: figures and ratios, each measured in one run."""

from __future__ import annotations

import sys

from tests.bench.something_new import something_new
from tests.bench.startup import help_text, nothing_new
from tests.bench.throughput import limiter, throughput

BENCHMARKS = {function.__name__: function for function in (help_text, nothing_new, something_new, throughput, limiter)}

for name in sys.argv[1:] or BENCHMARKS:
    print(f"{name}: {BENCHMARKS[name].__doc__}")
    BENCHMARKS[name]()
