"""The import rules of pyproject.toml hold: each layer imports from below, torch only in the trainer."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import tomli

ROOT = Path(__file__).parents[2]
COMPANIONS = {"triton", "pydantic_core", "aiohttp", "tomllib"}
"""Come with PyTorch, pydantic, textual-serve and Python 3.11, which alone decide about their versions."""


def test_import_rules() -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([checker, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def imported() -> set[str]:
    """Return the packages that domcli imports and that are neither Python's nor its own."""
    found = set()
    for file in (ROOT / "domcli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"domcli"}


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    declared = {re.split(r"[<>=\[]", line)[0].strip().lower() for line in lines}
    of = metadata.packages_distributions()
    undeclared = {
        name for name in imported() if not declared & {one.lower().replace("_", "-") for one in of.get(name, [name])}
    }
    assert undeclared <= COMPANIONS
