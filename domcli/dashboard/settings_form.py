"""The settings of a run that is being set up: their values, what was changed, what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic.fields import FieldInfo

from domcli import presets
from domcli.catalogue import all_options
from domcli.compare.groups import shown_value
from domcli.compare.records import flatten
from domcli.errors import DomcliError
from domcli.launch.order import Order
from domcli.launch.terms import Wording
from domcli.settings import Settings, entries
from domcli.settings import choices as allowed_in
from domcli.sharing.choice import AUTO

IN_FORM = Wording(name="name", seeds="seeds", jobs="jobs per GPU", retries="retries")


@dataclass(frozen=True)
class Form:
    """What was typed: `changes` are values by section.key, as text."""

    preset: str
    changes: Mapping[str, str] = field(default_factory=dict)
    seeds: str = ""
    devices: str = "auto"
    name: str = ""
    quick: bool = False
    jobs: str = "auto"
    retries: str = ""

    def order(self, runs_dir: str | None = None) -> Order:
        """Return what is to be started, in a folder that is not the usual one if that is given."""
        return Order(
            presets=(self.preset,),
            overrides=tuple(f"{key}={value}" for key, value in self.changes.items()),
            seeds=self.seeds.strip() or None,
            quick=self.quick,
            devices=self.devices.strip() or "auto",
            name=self.name.strip() or None,
            jobs=self.jobs.strip() or AUTO,
            retries=self.retries.strip() or "0",
            runs_dir=runs_dir,
            called=IN_FORM,
        )

    def values(self) -> dict[str, Any]:
        """Return the settings by section.key as they are without the changes. Raises SettingsError."""
        return every_key(presets.resolve(self.preset, quick=self.quick))

    def changed(self, key: str, text: str) -> Form:
        """Return the form with another value of a setting; a value as it was is no change."""
        changes = {name: value for name, value in self.changes.items() if name != key}
        if text.strip() and text.strip() != written(self.values().get(key)):
            changes[key] = text.strip()
        return replace(self, changes=changes)

    def problem(self, key: str) -> str | None:
        """Return what is wrong with the value of a setting, None if it can be so."""
        return next((text for text in self.problems() if f"--set {key}=" in text), None)

    def problems(self) -> list[str]:
        """Return all that stands in the way, a sentence each."""
        order = self.order()
        checks = (
            lambda: presets.resolve(self.preset, order.overrides, self.quick),
            order.seed_list,
            order.jobs_at_a_time,
            order.times_again,
        )
        return [problem for check in checks for problem in problems_of(check)]

    def doubts(self) -> list[str]:
        """Return what can be started and is probably not meant, a sentence each."""
        try:
            return presets.resolve(self.preset, self.order().overrides, self.quick).doubts()
        except DomcliError:
            return []


def problems_of(check: Callable[[], object]) -> list[str]:
    """Return what a check has to say against what was typed, a sentence each."""
    try:
        check()
    except DomcliError as error:
        return error.sentences
    return []


def every_key(settings: Settings) -> dict[str, Any]:
    """Return all settings by section.key, those without a value too, but for the seed, which is asked for apart."""
    tables = {**settings.model_dump(mode="json"), "options": settings.complete().get("options", {})}
    del tables["extensions"]  # which are given by a preset, or on the command line
    return {key: value for key, value in flatten(tables).items() if key != "train.seed"}


def written(value: object) -> str:
    """Return a value as it is typed."""
    return "" if value is None else shown_value(list(value) if isinstance(value, tuple) else value)


def describe(key: str) -> str:
    """Return the meaning of a setting, and what it may be where that is a choice."""
    section, _, name = key.partition(".")
    if section == "options":
        known = all_options().get(name)
        return "An option of an extension." if known is None else known.meaning
    info = _field(section, name)
    text, allowed = " ".join((info.description or "").split()), allowed_in(info)
    if named := entries(info):
        return f"{text} {'; '.join(f'{entry.name}: {entry.about}' for entry in named)}."
    return f"{text} One of {', '.join(allowed)}." if allowed else text


def choices(key: str) -> list[str]:
    """Return what a setting may be, where that is a choice."""
    section, _, name = key.partition(".")
    if section == "options":
        return []
    info = _field(section, name)
    return ["true", "false"] if info.annotation is bool else list(allowed_in(info))


def _field(section: str, name: str) -> FieldInfo:
    model: Any = Settings.model_fields[section].annotation
    found: FieldInfo = model.model_fields[name]
    return found
