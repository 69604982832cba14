"""`make bench`, or `python -m tests.bench NAME…` for some of them: figures and ratios, each measured in one run."""

from __future__ import annotations

import sys

from tests.bench.archive_speed import archive_speed
from tests.bench.landing import landing_pace, landing_speed, memory
from tests.bench.landing_size import landing_size
from tests.bench.live_screen import live_screen
from tests.bench.merging import merge
from tests.bench.microbatches import microbatches
from tests.bench.ohlcv import ohlcv
from tests.bench.pages import pages
from tests.bench.something_new import something_new
from tests.bench.startup import help_text, nothing_new
from tests.bench.storage import storage_compression, storage_encodings, storage_realism
from tests.bench.storage_spark import storage_distribution, storage_memory, storage_shuffle
from tests.bench.storage_tables import (
    storage_athena,
    storage_deletes,
    storage_files,
    storage_layouts,
    storage_row_groups,
)
from tests.bench.throughput import limiter, throughput
from tests.bench.watching import watching

USUAL = (
    help_text,
    nothing_new,
    something_new,
    throughput,
    watching,
    limiter,
    landing_size,
    landing_speed,
    archive_speed,
    landing_pace,
    merge,
)
LONG = (  # only when named
    memory,
    microbatches,
    live_screen,
    ohlcv,
    pages,
    storage_realism,
    storage_compression,
    storage_encodings,
    storage_row_groups,
    storage_files,
    storage_layouts,
    storage_deletes,
    storage_athena,
    storage_distribution,
    storage_shuffle,
    storage_memory,
)
BENCHMARKS = {function.__name__: function for function in (*USUAL, *LONG)}

for name in sys.argv[1:] or [function.__name__ for function in USUAL]:
    print(f"{name}: {BENCHMARKS[name].__doc__}", flush=True)
    BENCHMARKS[name]()
