"""No part of a package imports, by whatever way round, what imports it: wherever the import stands in the file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import domcli

HOME = Path(domcli.__file__).parents[1]
PACKAGES = ("domcli",)
"""Those that are looked at, each by itself."""


def modules_of(package: str) -> dict[str, Path]:
    """Return the files of a package by the names of their modules."""
    found = {}
    for path in HOME.joinpath(*package.split(".")).rglob("*.py"):
        parts = path.relative_to(HOME).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(source: str, known: frozenset[str]) -> Iterator[str]:
    """Yield which of the known modules a source imports, for the types alone or in a function, too.

    What is imported from a package is its module of that name, if it has one, else it comes from the package itself.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found = f"{node.module}.{alias.name}"
                yield from (name for name in (found if found in known else node.module,) if name in known)


def graph_of(package: str) -> dict[str, set[str]]:
    """Return what each module of a package imports of the same package."""
    modules = modules_of(package)
    known = frozenset(modules)
    return {name: set(imports_of(path.read_text("utf-8"), known)) - {name} for name, path in modules.items()}


def circle_in(graph: dict[str, set[str]]) -> list[str] | None:
    """Return the names of a circle, from one module back to it; None if there is none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        found = next((circle for other in sorted(graph[name]) if (circle := search(other, [*way, name]))), None)
        done.add(name)
        return found

    return next((circle for name in sorted(graph) if (circle := search(name, []))), None)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_imports_go_round_in_a_circle(package: str) -> None:
    graph = graph_of(package)
    assert len(graph) > 1
    circle = circle_in(graph)
    assert circle is None, f"these import each other: {' -> '.join(circle)}"


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    known = frozenset({"a", "a.b", "a.c", "a.d"})
    sources = {
        "a.b": "from a import c",
        "a.c": "def work():\n    import a.d",
        "a.d": "if TYPE_CHECKING:\n    from a.b import Thing",
        "a": "",
    }
    graph = {name: set(imports_of(source, known)) for name, source in sources.items()}
    assert circle_in(graph) == ["a.b", "a.c", "a.d", "a.b"]
    assert circle_in({**graph, "a.d": set()}) is None


def test_a_module_is_told_from_what_its_package_holds() -> None:
    known = frozenset({"a", "a.b"})
    assert set(imports_of("from a import b", known)) == {"a.b"}
    assert set(imports_of("from a import thing", known)) == {"a"}
    assert set(imports_of("from a.b import thing", known)) == {"a.b"}
