"""For all tests: they run side by side, so each keeps to one CPU thread, and so do the processes that they start.

How long an example of a property takes, or making one, says only what else is at work: neither has a limit.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("domcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("domcli")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many tests run side by side: more than there are cores, as many wait for what they have started."""
    del config
    return len(os.sched_getaffinity(0)) + 1
