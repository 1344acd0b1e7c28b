"""File locks are taken in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import domcli

PACKAGE = Path(domcli.__file__).parent
PROBE = "checks/storage.py"
"""Finds out whether a file system has locks, and must not hear what domcli makes of it."""


def test_only_one_module_locks_files() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name == "fcntl" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "fcntl")
    }
    assert found == {"locks.py", PROBE}
