"""`domcli presets`: what can be run, the resolved settings of a preset, and a check of settings files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import tomli_w
import typer

from domcli import presets
from domcli.catalogue import ATTACKS, all_options
from domcli.cli import options, output
from domcli.cli.once import OnceCommand
from domcli.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from domcli.settings import Settings

OTHERS = "More"
"""Title of presets whose paradigm is none."""

app = typer.Typer(help="What can be run: list the presets, show one, check a settings file.")


@app.callback(invoke_without_command=True)
def list_presets(context: typer.Context, as_json: options.Json = False) -> None:
    """List the presets, or look at one."""
    context.obj = as_json
    if context.invoked_subcommand is not None:
        return
    known = presets.available()
    if as_json:
        output.json_data(
            [{"name": info.name, "description": info.description, "path": str(info.path)} for info in known]
        )
    elif sys.stdout.isatty():
        _print_groups(known)
    else:
        width = max(len(info.name) for info in known)
        for info in known:
            output.data(f"{info.name:{width}}  {info.description}")


@app.command(cls=OnceCommand)
def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="PRESET", help="A preset or a TOML file.", autocompletion=options.complete_preset)
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting; repeatable.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="As `domcli run --quick` would run it.")] = False,
    as_json: options.Json = False,
) -> None:
    """Print the complete settings of a preset as TOML, each with its meaning."""
    settings = presets.resolve(name, overrides or (), quick)
    for doubt in settings.doubts():
        output.warning(doubt)
    if as_json or context.obj:
        output.json_data(settings.complete())
    elif sys.stdout.isatty():
        from rich.syntax import Syntax

        output.table(Syntax(document(settings), "toml", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        output.data(document(settings))


@app.command(cls=OnceCommand)
def check(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="TOML files or presets.")],
    as_json: options.Json = False,
) -> None:
    """Check settings files; exit code 2 if one of them cannot be run. Warns of what is probably not meant."""
    checked = {file: _check(file) for file in files}
    problems = {file: found for file, (found, _) in checked.items()}
    if as_json or context.obj:
        output.json_data(
            [
                {"file": file, "ok": not found, "problems": found, "warnings": doubts}
                for file, (found, doubts) in checked.items()
            ]
        )
    else:
        for file, (found, doubts) in checked.items():
            if not found:
                output.data(f"ok: {file}")
            for doubt in doubts:
                output.warning(f"{file}: {doubt}")
    if any(problems.values()):
        raise SettingsError(*(line for found in problems.values() for line in found))


def document(settings: Settings) -> str:
    """Return the settings as TOML with the meaning of every section and key in a comment above it."""
    names = [name for name in type(settings).model_fields if name not in ("options", "extensions")]
    sections = [_section(name, getattr(settings, name)) for name in names]
    return "\n\n".join([*_extensions(settings), *sections, *_options(settings)])


def _section(name: str, section: BaseModel) -> str:
    from domcli.settings import entries

    lines = [f"# {section.__doc__}", f"[{name}]"]
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        stands = f"# {key} is not set" if value is None else tomli_w.dumps({key: value}).rstrip("\n")
        named = [f"#   {entry.name}: {entry.about}" for entry in entries(field)]
        lines += [f"# {field.description}", *named, stands]
    return "\n".join(lines)


def _extensions(settings: Settings) -> Iterator[str]:
    """Yield what stands before the sections, where there are extensions."""
    if settings.extensions:
        about = type(settings).model_fields["extensions"].description
        yield f"# {about}\n{tomli_w.dumps({'extensions': list(settings.extensions)})}".rstrip("\n")


def _options(settings: Settings) -> Iterator[str]:
    """Yield the section of the options, where anything has some."""
    known = all_options()
    if known:
        lines = [f"# {type(settings).model_fields['options'].description}", "[options]"]
        for key, option in known.items():
            value = settings.options.get(key, option.default)
            lines += [f"# {option.meaning}", tomli_w.dumps({key: value}).rstrip("\n")]
        yield "\n".join(lines)


def _check(file: str) -> tuple[list[str], list[str]]:
    """Return why a file cannot be run, and what of it is probably not meant."""
    try:
        found = presets.resolve(file)
        unchecked = ["names and options that extensions add are checked by the trainer, when a run starts"]
        return [], [*found.doubts(), *(unchecked if found.extensions else [])]
    except SettingsError as error:
        return error.sentences, []


def _print_groups(known: list[presets.PresetInfo]) -> None:
    from rich.table import Table

    titles = {attack.paradigm: attack.title for attack in ATTACKS}
    groups: dict[str, Table] = {}
    width = max(len(info.name) for info in known)
    for info in known:
        title = titles.get(info.name.partition("-")[0], OTHERS)
        if title not in groups:
            groups[title] = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False)
            groups[title].add_column(style="cyan", no_wrap=True, width=width)
        groups[title].add_row(info.name, info.description)
    for table in groups.values():
        output.table(table)
        output.data("")
