"""Presets and other settings files: find, read, override, validate; every problem a sentence with file, line and key.

The settings' models are imported where they are used, so that a list of the presets does not have to load pydantic.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli

from domcli import files, toml
from domcli.catalogue import ATTACKS, OPERATIONS, all_options
from domcli.catalogue.choice import UNKNOWN_TOO
from domcli.errors import SettingsError
from domcli.overrides import parse as parse_override
from domcli.plural import either
from domcli.printable import printable_json, quoted

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from domcli.rundir import RunDirectory
    from domcli.settings import Settings

Tables = dict[str, Any]
Purpose = Literal["new", "made", "to train"]
"""Of settings: those of a run that is asked for, of one that was made and is looked at, and of one in its trainer."""

# As in the paper's tables: training against one step comes last.
PARADIGMS = tuple(dict.fromkeys(one.paradigm for one in sorted(ATTACKS, key=lambda one: one.one_step)))
METHODS = (
    *(one.method for one in OPERATIONS if one.acts),
    "baseline",
    *(one.name for one in OPERATIONS if one.everywhere and one.augments),
)
"""DOM, nothing, augmentation of every image."""

QUICK: dict[str, Tables] = {
    "data": {"dataset": "digits", "train_images": 1000, "test_images": 200},
    "model": {"name": "preactresnet18", "width": 16},
    "train": {"epochs": 6, "batch_size": 64},
    "checkpoint": {"every": 2},
}
"""What `--quick` sets: no download, and small enough for two CPU cores, with epochs on both sides of the warm-up."""

QUICK_DROPS = ("mean", "std")
"""Keys of [data] that `--quick` leaves out because they belong to the preset's own data set."""

REQUIRED = {
    "int_type": "be a whole number",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "finite_number": "be a finite number",
    "bool_type": "be true or false",
    "string_type": "be text in quotes",
    "tuple_type": "be a list of numbers",
    "model_type": "be a section: a line [{key}] with its keys below",
    "dict_type": "be a section: a line [{key}] with its keys below",
    "greater_than": "be greater than {gt:.10g}",
    "greater_than_equal": "be at least {ge:.10g}",
    "less_than": "be less than {lt:.10g}",
    "less_than_equal": "be at most {le:.10g}",
    "string_too_short": "not be empty",
    "too_short": "have at least {min_length} value",
    "too_long": "have at most {max_length} values",
    "literal_error": "be one of {allowed}",
}
"""What a value must do, by the kind of problem the validation found."""

LONGEST_SHOWN = 60
"""Characters of what was typed that are shown again."""

_HEADER = re.compile(r"\s*\[{1,2}([^\[\]#=]+)\]{1,2}\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


@dataclass(frozen=True)
class PresetInfo:
    """A preset that comes with domcli: its name, its file and the first comment of the file."""

    name: str
    path: Path
    description: str


@dataclass(frozen=True)
class _Origin:
    """Where each key was set: on a line of a file, or by an override (which then wins)."""

    source: str
    lines: dict[str, int] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)

    def of(self, key: str) -> str:
        """Return the place of `section` or `section.key`, or the nearest one known."""
        section = key.partition(".")[0]
        if key in self.overrides:
            return f"--set {_short(self.overrides[key])}"
        if key in self.lines or section in self.lines:
            return f"{self.source}, line {self.lines.get(key) or self.lines[section]}"
        return next(
            (f"--set {_short(text)}" for name, text in self.overrides.items() if _within(name, section)), self.source
        )

    def of_section(self, section: str, problem: str) -> str:
        """Return the place of a problem of several keys: where the last of those it speaks of was set."""
        keys = [key for key in (*self.lines, *self.overrides) if _within(key, section)]
        spoken = [key for key in keys if re.search(rf"\b{re.escape(key.partition('.')[2])}\b", problem)]
        return self.of(spoken[-1] if spoken else section)


def available() -> list[PresetInfo]:
    """Return the presets that come with domcli, by paradigm and, in each, in the order of the paper's tables."""
    files = sorted(_folder().glob("*.toml"), key=lambda path: _rank(path.stem))
    return [PresetInfo(path.stem, path, _description(path)) for path in files]


def load(name_or_path: str) -> Tables:
    """Return the tables of a preset, or of a TOML file if it has a / or ends in .toml, as they stand there.

    Raises SettingsError if there is no such preset or file, or if it is not TOML.
    """
    path = _locate(name_or_path)
    return _parse(_read(path), str(path))


def resolve(name_or_path: str, overrides: Sequence[str] = (), quick: bool = False) -> Settings:
    """Return complete settings: the preset, then what `quick` shrinks, then the overrides, of which the last wins.

    An override is `section.key=value` (see domcli.overrides). Raises SettingsError with a line for every problem.
    """
    path = _locate(name_or_path)
    return _resolve_text(_read(path), str(path), overrides, quick)


def resolve_tables(
    tables: Tables, source: str, overrides: Sequence[str] = (), quick: bool = False, purpose: Purpose = "new"
) -> Settings:
    """Return complete settings from tables that are already read; `source` names them in messages."""
    return _validate(tables, _Origin(source), overrides, quick, purpose)


def from_run(run: RunDirectory, *, to_train: bool = False) -> Settings:
    """Return the settings of a run. Raises SettingsError if its settings.toml is missing, damaged or not valid.

    Unless it is `to_train`, it may name what the catalogue lacks, as a run of somebody's extension does: it can be
    looked at all the same.
    """
    text = _read(run.settings, "every run has one, and says there how it is trained")
    return _resolve_text(text, str(run.settings), (), False, "to train" if to_train else "made")


def _folder() -> Path:
    package = Path(__file__).parent
    for folder in (package / "_presets", package.parent / "presets"):
        if folder.is_dir():
            return folder
    raise SettingsError(f"the presets are missing from the installation in {package}; install domcli again")


def _rank(name: str) -> tuple[int, int, str]:
    paradigm, _, method = name.partition("-")
    first = PARADIGMS.index(paradigm) if paradigm in PARADIGMS else len(PARADIGMS)
    return first, METHODS.index(method) if method in METHODS else len(METHODS), name


def _description(path: Path) -> str:
    comments = (line.lstrip("# ") for line in _read(path).splitlines() if line.startswith("#"))
    return next(comments, "")


def _locate(name_or_path: str) -> Path:
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return Path(name_or_path)
    known = {path.stem: path for path in _folder().glob("*.toml")}
    if name_or_path in known:
        return known[name_or_path]
    wanted = name_or_path.lower().replace("_", "-")
    nearest = [wanted] if wanted in known else difflib.get_close_matches(wanted, known, 3, 0.6)
    if files.is_regular(Path(name_or_path)):
        nearest = [f"the file ./{name_or_path}"]
    hint = f"did you mean {either(nearest)}?" if nearest else "`domcli presets` lists them, and a file ends in .toml"
    raise SettingsError(f"unknown preset {quoted(name_or_path)}; {hint}")


def _read(path: Path, advice: str = "give the path of a TOML file, or a name of `domcli presets`") -> str:
    try:
        return files.read_text(path, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"there is no file {path}; {advice}") from error
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not UTF-8 text; save it as TOML in UTF-8") from error


def _parse(text: str, source: str) -> Tables:
    try:
        return toml.tables_of(text)
    except tomli.TOMLDecodeError as error:
        problem, _, place = str(error).rpartition(" (at ")
        place = place.rstrip(")")
        if place.startswith("end of"):
            place = f"line {max(1, len(text.splitlines()))}"
        if problem.startswith(("Cannot overwrite", "Cannot declare", "Duplicate")):
            problem = "a key or section stands there for the second time"
        raise SettingsError(f"{source}, {place}: not valid TOML: {problem[:1].lower()}{problem[1:]}") from error
    except toml.NumberTooLarge as error:
        line = _lines(text).get(error.key)
        raise SettingsError(f"{source}{f', line {line}' if line else ''}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source}: not valid TOML: {error}") from error


def _lines(text: str) -> dict[str, int]:
    """Return the line, from 1, of every section header and of every key as `section.key`."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.fullmatch(line):
            section = _plain(header[1])
            lines.setdefault(section, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{section}.{_plain(key[1])}".lstrip("."), number)
    return lines


def _plain(key: str) -> str:
    return ".".join(map(_unquoted, key.split(".")))


def _unquoted(part: str) -> str:
    try:
        return next(iter(tomli.loads(f"{part} = 0")))
    except tomli.TOMLDecodeError:  # a dot within quotes
        return part.strip(" \t\"'")


def _resolve_text(text: str, source: str, overrides: Sequence[str], quick: bool, purpose: Purpose = "new") -> Settings:
    return _validate(_parse(text, source), _Origin(source, _lines(text)), overrides, quick, purpose)


def _validate(
    tables: Tables, origin: _Origin, overrides: Sequence[str], quick: bool, purpose: Purpose = "new"
) -> Settings:
    from pydantic import ValidationError

    from domcli.settings import Settings

    merged = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    if quick:
        _shrink(merged)
    for text in overrides:
        section, key, value = parse_override(text)
        if not section:
            merged[key], origin.overrides[key] = value, text
        elif isinstance(table := merged.setdefault(section, {}), dict):
            table[key] = value
            origin.overrides.pop(f"{section}.{key}", None)
            origin.overrides[f"{section}.{key}"] = text
    try:
        toml.refuse_large(merged)
    except toml.NumberTooLarge as error:
        raise SettingsError(f"{origin.of(error.key)}: {error}") from error
    if extended := purpose == "new" and bool(merged.get("extensions")):
        merged["extensions"] = _pinned_extensions(merged["extensions"], origin)
    unknown_too = extended or purpose == "made"  # what extensions add, the trainer knows
    try:
        return Settings.model_validate(merged, context={UNKNOWN_TOO: True} if unknown_too else None)
    except ValidationError as error:
        sentences = [_sentence(problem, origin) for problem in error.errors(include_url=False)]
        raise SettingsError(*dict.fromkeys(sentences)) from error


def _pinned_extensions(wanted: object, origin: _Origin) -> list[str]:
    from domcli import extensions

    base = Path() if "extensions" in origin.overrides else Path(origin.source).parent
    return extensions.pinned(wanted, base.absolute(), origin.of("extensions"))


def _shrink(tables: Tables) -> None:
    for section, table in QUICK.items():
        if isinstance(present := tables.setdefault(section, {}), dict):
            present.update(table)
    if isinstance(tables["data"], dict):
        for key in QUICK_DROPS:
            tables["data"].pop(key, None)


def _sentence(problem: ErrorDetails, origin: _Origin) -> str:
    """Return one sentence for one problem that the validation found."""
    key = ".".join(str(part) for part in problem["loc"][:2])
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "value_error":
        return f"{origin.of_section(key, str(context['error']))}: {context['error']}"
    if kind == "extra_forbidden":
        return f"{origin.of(key)}: {_unknown(problem['loc'], value)}"
    item = problem["loc"][2:]
    subject = f"value {int(item[0]) + 1} of {key}" if item else key
    typed = origin.overrides.get(key, "").partition("=")[2].strip()
    shown = _short(typed) if typed and isinstance(value, float) and not item else _shown(value)
    shown += " (text)" if isinstance(value, str) and kind.endswith("_type") else ""
    if kind not in REQUIRED:
        return f"{origin.of(key)}: {subject} is {shown}: {problem['msg']}"
    allowed = ", ".join(_allowed(key)) if kind == "literal_error" else ""
    return (
        f"{origin.of(key)}: {subject} is {shown}; it must {REQUIRED[kind].format(key=key, allowed=allowed, **context)}"
    )


def _unknown(location: tuple[int | str, ...], value: object) -> str:
    sections = {name: _keys_of(name, section) for name, section in _sections().items()}
    section, name = str(location[0]), str(location[-1])
    shown = name if re.fullmatch(r"[\w-]+", name) else _shown(name)
    keys = [f"{owner}.{own}" for owner, names in sections.items() for own in names]
    if len(location) == 1 and isinstance(value, dict):
        nearest = difflib.get_close_matches(section, sections, 1, 0.6)
        return f"unknown section [{shown}]; " + _hint([f"[{near}]" for near in nearest], "the sections are", sections)
    if name == "extensions":
        return "unknown key: extensions = [...] stands before the first section of a file"
    if len(location) == 1:
        fitting = [full for full in keys if full.endswith(f".{name}")]
        return f"unknown key {shown} outside of a section; " + _hint(fitting, "the sections are", sections)
    if not sections[section]:
        return f"unknown key {section}.{shown}; nothing has options here"
    near = [f"{section}.{own}" for own in difflib.get_close_matches(name, sections[section], 1, 0.6)]
    near = near or [full for full in keys if full.endswith(f".{name}")]
    return f"unknown key {section}.{shown}; " + _hint(near, f"the keys of [{section}] are", sections[section])


def _hint(nearest: Sequence[str], otherwise: str, known: Iterable[str]) -> str:
    return f"did you mean {either(nearest)}?" if nearest else f"{otherwise} {', '.join(known)}"


def _sections() -> dict[str, FieldInfo]:
    from domcli.settings import Settings

    return {name: field for name, field in Settings.model_fields.items() if name != "extensions"}


def _fields_of(section: FieldInfo) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = getattr(section.annotation, "model_fields", {})
    return fields


def _keys_of(name: str, section: FieldInfo) -> list[str]:
    return list(all_options() if name == "options" else _fields_of(section))


def _allowed(key: str) -> tuple[str, ...]:
    from domcli.settings import choices

    section, _, name = key.partition(".")
    return choices(_fields_of(_sections()[section])[name])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return "a list of tables"
    shown = repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    return _short(printable_json(shown))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _within(key: str, section: str) -> bool:
    return key.startswith(f"{section}.")
