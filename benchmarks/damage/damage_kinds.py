"""The ways in which a file of a run is damaged: as a whole, and value by value.

A file is found damaged after a crash, a bad disk, a hand that slipped, or somebody's wish to do harm.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

DEEP = 100_000
LONG = "x" * (1 << 20)

VALUES: dict[str, str] = {
    "null": "null",
    "true": "true",
    "empty text": '""',
    "text": '"x"',
    "-1": "-1",
    "0": "0",
    "1e20": "1e20",
    "1e300": "1e300",
    "-1e18": "-1e18",
    "10**30": str(10**30),
    "10**5000": "1" + "0" * 5000,
    "NaN": "NaN",
    "[]": "[]",
    "{}": "{}",
    "half a pair": '"\\ud800"',
    "controls": '"\\u001b[31m\\n\\u202e"',
    "1 MB of text": f'"{LONG}"',
    "nested 100,000": "[" * DEEP + "]" * DEEP,
    "nested 400": "[" * 400 + "]" * 400,
    "nested 60": "[" * 60 + "]" * 60,
}
"""What is put in place of a value, as JSON has it."""

TOML_VALUES: dict[str, str] = {
    **{name: text for name, text in VALUES.items() if name not in ("null", "NaN", "half a pair")},
    "NaN": "nan",
    "infinity": "inf",
    "5,000 hexadecimal digits": "0x" + "f" * 5000,
    "a date": "2026-11-28T01:02:03",
    "list of texts": '["x", ["y"]]',
}

Way = Callable[[Path], object]


@dataclass(frozen=True)
class Damage:
    """One file of a run, and what is done to it."""

    file: str
    kind: str
    do: Way

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}"


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _bytes(content: bytes) -> Way:
    def do(path: Path) -> None:
        _gone(path)
        path.write_bytes(content)

    return do


def _changed(change: Callable[[bytes], bytes]) -> Way:
    def do(path: Path) -> None:
        content = b"" if path.is_dir() else path.read_bytes()
        _bytes(change(content))(path)

    return do


def _instead(make: Callable[[Path], object]) -> Way:
    def do(path: Path) -> None:
        _gone(path)
        make(path)

    return do


def _socket(path: Path) -> None:
    # The name of a socket may have about a hundred bytes, less than a path here.
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


WHOLE: dict[str, Way] = {
    "missing": _gone,
    "empty": _bytes(b""),
    "cut": _changed(lambda content: content[: len(content) * 2 // 3]),
    "garbage": _bytes(bytes(range(256)) * 40),
    "zeros": _changed(lambda content: bytes(len(content) or 1000)),
    "not UTF-8": _changed(lambda content: content + b'\n"\xff\xfe" = "\xe9"\n'),
    "BOM": _changed(lambda content: b"\xef\xbb\xbf" + content),
    "UTF-16": _changed(lambda content: content.decode("latin-1").encode("utf-16")),
    "JSON nested deep": _bytes(b'{"a":' * DEEP),
    "JSON nested deep and closed": _bytes(b"[" * DEEP + b"]" * DEEP + b"\n"),
    "TOML nested deep": _bytes(b"a = " + b"[" * DEEP + b"]" * DEEP),
    "TOML dotted deep": _bytes(b"a" + b".a" * DEEP + b" = 1"),
    "TOML tables deep": _bytes(b"a = " + b"{a=" * DEEP + b"}" * DEEP),
    "another document": _bytes(b"[1, 2]\n"),
    "a word": _bytes(b'"x"\n'),
    "pipe": _instead(os.mkfifo),
    "folder": _instead(Path.mkdir),
    "socket": _instead(_socket),
    "dangling link": _instead(lambda path: path.symlink_to("nowhere")),
    "link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "link to /dev/zero": _instead(lambda path: path.symlink_to("/dev/zero")),
    "nobody may read": lambda path: path.chmod(0),
}
"""What becomes of a whole file."""


def whole(files: list[str]) -> Iterator[Damage]:
    """Yield what may become of each file as a whole."""
    for file in files:
        for kind, do in WHOLE.items():
            yield Damage(file, kind, do)


def by_value(run: Path, files: list[str]) -> Iterator[Damage]:
    """Yield each value of each document replaced by each that is not right there, and each key taken away."""
    for file in files:
        path = run / file
        if path.suffix in (".json", ".jsonl", ".safetensors"):
            yield from _in_json(file, path)
        elif path.suffix == ".toml":
            yield from _in_toml(file, path)


def _in_json(file: str, path: Path) -> Iterator[Damage]:
    for line, document in _documents(path):
        for place in _places(document):
            name = ".".join(map(str, (place if path.suffix != ".jsonl" else (line, *place))))
            for kind, text in VALUES.items():
                yield Damage(file, f"{name} = {kind}", _replaced(line, place, text))
            if isinstance(place[-1], str):
                yield Damage(file, f"{name} missing", _replaced(line, place, None))


def _replaced(line: int, place: tuple[Any, ...], text: str | None) -> Way:
    return lambda path: _rewrite(path, line, place, text)


def _rewrite(path: Path, line: int, place: tuple[Any, ...], text: str | None) -> None:
    document = copy.deepcopy(dict(_documents(path))[line])
    inner = document
    for part in place[:-1]:
        inner = inner[part]
    if text is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = "@@@"
    written = json.dumps(document).replace('"@@@"', text or "")
    if path.suffix == ".safetensors":
        outer = json.dumps({"__metadata__": {"domcli": written}}).encode()
        path.write_bytes(len(outer).to_bytes(8, "little") + outer + bytes(8))
    elif path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        lines[line] = written
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text(written)


def _documents(path: Path) -> list[tuple[int, Any]]:
    """Return the documents in a file that is in order, by line; of a stream, the first of each kind."""
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return [(0, json.loads(header["__metadata__"]["domcli"]))]
    if path.suffix == ".json":
        return [(0, json.loads(path.read_text()))]
    kinds: dict[str, tuple[int, Any]] = {}
    for number, line in enumerate(path.read_text().splitlines()):
        document = json.loads(line)
        kinds.setdefault(str(document.get("kind")), (number, document))
    return list(kinds.values())


def _places(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value; of a list, that of the first entry stands for the others."""
    entries = document.items() if isinstance(document, dict) else enumerate(document[:1])
    for key, value in entries:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*before, key))


def _in_toml(file: str, path: Path) -> Iterator[Damage]:
    tables = tomli.loads(path.read_text())
    for section, table in tables.items():
        for kind, text in TOML_VALUES.items():
            yield Damage(file, f"{section} = {kind}", _toml_section(section, text))
            for key in table:
                yield Damage(file, f"{section}.{key} = {kind}", _toml_key(section, key, text))


def _toml_section(section: str, text: str) -> Way:
    """Put a value in the place of a whole table; at the top, where keys of no table stand."""
    import tomli_w

    def do(path: Path) -> None:
        tables = tomli.loads(path.read_text())
        del tables[section]
        path.write_text(f"{section} = {text}\n{tomli_w.dumps(tables)}")

    return do


def _toml_key(section: str, key: str, text: str) -> Way:
    import tomli_w

    def do(path: Path) -> None:
        tables = tomli.loads(path.read_text())
        tables[section][key] = "@@@"
        path.write_text(tomli_w.dumps(tables).replace('"@@@"', text))

    return do
