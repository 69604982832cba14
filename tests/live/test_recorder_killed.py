"""`kill -9` while the stream is recorded."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.live.conftest import SYMBOLS
from tests.live.test_recorder import ingested, numbers, whole

pytestmark = pytest.mark.slow


def test_whenever_a_recording_is_killed_no_trade_is_lost_or_written_twice(
    simulator: Simulator, lake_of: Callable[[Simulator], Lake]
) -> None:
    lake, draw = lake_of(simulator), random.Random(3)
    for name in SYMBOLS:
        ingested(lake, name)
    environment = {**os.environ, **lake.settings.environment}
    for _ in range(4):
        command = [sys.executable, "-m", "tests.live.recording", lake.settings.warehouse]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as recording:
            assert recording.stdout is not None
            assert recording.stdout.readline() == b"recording\n"
            time.sleep(draw.uniform(0.0, 1.0))  # into a publish, or between two
            recording.kill()
        for name in SYMBOLS:
            assert whole(numbers(lake, name))
    for name in SYMBOLS:
        before = numbers(lake, name)
        ingested(lake, name)
        after = numbers(lake, name)
        assert whole(after)
        assert after[: len(before)] == before
