"""For all tests: they run side by side, so each keeps to one CPU thread, and so do the processes that they start."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
