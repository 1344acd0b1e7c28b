"""What a container or a batch system allows this process of the machine: its control groups."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What the control groups of this process allow: bytes of memory and those in use, cores; None: no limit."""

    memory: int | None = None
    memory_used: int | None = None
    cores: float | None = None
    cores_used: float | None = None
    """CPU seconds that the processes of the group with this limit have used so far; None: no limit, or no count."""


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits of the control groups (version 1 or 2) that this process is in."""
    folders = _groups(root)
    memory, used = None, None
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in folders:
            limit = _number(folder / limit_name)
            if limit is not None and (memory is None or limit < memory):
                memory, used = limit, _number(folder / used_name)
    shares = {folder: share for folder in folders if (share := _cores(folder)) is not None}
    least = min(shares, key=shares.__getitem__, default=None)
    return Limits(memory, used) if least is None else Limits(memory, used, shares[least], _cores_used(least))


def _groups(root: Path) -> list[Path]:
    """Return the folders of this process's control groups and of those around them."""
    base = root / "sys/fs/cgroup"
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            names = [controllers, *controllers.split(",")] if controllers else ["", "unified"]
            for mount in (base / name for name in names):
                # In a container, what the path names may be mounted at the top.
                inside = mount / path.lstrip("/")
                folders += [folder for folder in (inside, *inside.parents) if folder.is_relative_to(mount)]
    return list(dict.fromkeys(folders))


def _cores(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, _, period = (folder / "cpu.max").read_text().strip().partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    quota_v1, period_v1 = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota_v1 / period_v1 if quota_v1 and period_v1 and quota_v1 > 0 else None


def _cores_used(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((folder / "cpu.stat").read_text().split("usage_usec", 1)[1].split()[0]) / 1e6
    nanoseconds = _number(folder / "cpuacct.usage")
    return None if nanoseconds is None else nanoseconds / 1e9


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None
