"""What is said about presets, files and overrides that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from domcli import presets
from domcli.errors import SettingsError
from domcli.settings import Settings


def problems(path: Path, text: str, *overrides: str) -> list[str]:
    """Return what is said about a file with this text, a sentence each, without the folder."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        presets.resolve(str(path), overrides)
    return str(refused.value).replace(f"{path.parent}/", "").splitlines()


def attempt(name: str, *overrides: str) -> Settings | list[str]:
    """Return the settings, or the problems, a sentence each."""
    try:
        return presets.resolve(name, overrides)
    except SettingsError as error:
        return str(error).split("\n")


def set_problems(*overrides: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        presets.resolve("pgd-dom-re", overrides)
    return str(refused.value).splitlines()
