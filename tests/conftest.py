"""For all tests: they run side by side, so each keeps to one CPU thread, and so do the processes that they start.

How long an example of a property takes, or making one, says only what else is at work: neither has a limit.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("domcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("domcli")
