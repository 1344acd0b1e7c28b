"""Python, domcli itself and the packages it needs, except torch (see pytorch)."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import domcli
from domcli.checks.check import Check, guarded

OLDEST_PYTHON = (3, 10)
IN_TORCH_GROUP = ("torch", "torchvision")
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:>=\s*([0-9.]+))?\s*$")
"""Of the kinds that pyproject.toml uses; those of an extra have a marker behind them and do not fit."""


def check() -> list[Check]:
    """Look at what this very process runs with."""
    return [
        *guarded("python", lambda: python(sys.version_info[:3], sys.maxsize > 2**32, _virtual_environment(os.environ))),
        *guarded("domcli", lambda: installation(_distribution())),
        *guarded("packages", lambda: packages(requirements(), installed_version)),
        *guarded("matplotlib", lambda: matplotlib(installed_version("matplotlib"))),
    ]


def python(version: tuple[int, int, int], is_64_bit: bool, environment: str | None) -> Check:
    """Check the interpreter; `environment` is the path of the virtual environment, None outside of one."""
    shown = ".".join(map(str, version))
    place = f"virtual environment {environment}" if environment else "no virtual environment"
    details = {"version": shown, "executable": sys.executable, "environment": environment, "64_bit": is_64_bit}
    text = f"{platform.python_implementation()} {shown}, {'64' if is_64_bit else '32'} bit, {place}"
    remedy = None
    if version[:2] < OLDEST_PYTHON:
        remedy = "install Python 3.10 or newer and set up a virtual environment with it"
    elif not is_64_bit:
        remedy = "install a 64-bit Python: PyTorch is made for no other"
    return Check("python", "problem" if remedy else "ok", text, remedy, details)


def installation(distribution: metadata.Distribution | None) -> Check:
    """Check how domcli was installed."""
    source = Path(domcli.__file__).resolve().parents[1]
    if distribution is None:
        text = f"{domcli.__version__}, run from {source} without being installed"
        return Check("domcli", "warning", text, f"install it with: {pip('-e', str(source))}")
    how = f"installed in {source}"
    url = json.loads(distribution.read_text("direct_url.json") or "{}")
    if url.get("dir_info", {}).get("editable"):
        place = Path(url2pathname(urlsplit(str(url.get("url"))).path)).resolve()
        how = f"installed as editable from {place}"
    else:
        place = Path(str(distribution.locate_file(""))).resolve()
    if place != source:  # PYTHONPATH, or the current folder, comes first
        how = f"imported from {source}, not from {place}, where it is installed"
    return Check("domcli", "ok", f"{domcli.__version__}, {how}", None, {"version": domcli.__version__})


def requirements() -> dict[str, str]:
    """Return the packages that domcli needs, each with its lowest version (empty: any); none if not installed."""
    distribution = _distribution()
    found = map(REQUIREMENT.match, (distribution.requires or []) if distribution else [])
    return {match[1]: match[2] or "" for match in found if match}


def installed_version(package: str) -> str | None:
    """Return the version of a package of this environment, None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def packages(needed: Mapping[str, str], version: Callable[[str], str | None]) -> list[Check]:
    """Check that all packages domcli needs are there and new enough."""
    needed = {package: lowest for package, lowest in needed.items() if package not in IN_TORCH_GROUP}
    found = {package: version(package) for package in needed}
    wrong = {package: lowest for package, lowest in needed.items() if not is_enough(found[package], lowest)}
    if not needed:
        return []
    if not wrong:
        return [Check("packages", "ok", f"all {len(needed)} that domcli needs", None, {"versions": found})]
    said = ", ".join(f"{package} {found[package] or 'is missing'}" for package in wrong)
    remedy = f"install what domcli needs with: {pip(*_specifiers(wrong))}"
    return [Check("packages", "problem", f"missing or too old: {said}", remedy, {"versions": found})]


def matplotlib(version: str | None) -> Check:
    """Tell whether the one optional package is there."""
    text = version or "not installed; nothing but figures as PDF, SVG or PNG would need it"
    return Check("matplotlib", "ok", text, None, {"version": version})


def is_enough(version: str | None, lowest: str) -> bool:
    """Tell whether a version is there and not lower than `lowest` (empty: any)."""
    return version is not None and (not lowest or _numbers(version) >= _numbers(lowest))


def pip(*arguments: str) -> str:
    """Return the command that installs into this environment."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def _specifiers(needed: Mapping[str, str]) -> Sequence[str]:
    return [f"{package}>={lowest}" if lowest else package for package, lowest in needed.items()]


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _distribution() -> metadata.Distribution | None:
    try:
        return metadata.distribution("domcli")
    except metadata.PackageNotFoundError:
        return None


def _virtual_environment(environment: Mapping[str, str]) -> str | None:
    return sys.prefix if sys.prefix != sys.base_prefix else environment.get("CONDA_PREFIX")
