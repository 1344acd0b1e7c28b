"""Sets up new runs: preset, values, seeds, devices; shows the command that does the same."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from domcli import presets
from domcli.dashboard.settings_form import Form, choices, describe, problems_of, written
from domcli.launch import queue
from domcli.launch.order import Order, told_folder
from domcli.sharing import choice

KEY_WIDTH = 24


class ValueInput(Input):
    """The value of the chosen setting; up and down go to the next setting."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "screen.setting(-1)", show=False),
        Binding("down", "screen.setting(1)", show=False),
    ]


class Tick(Checkbox):
    """A checkbox that shows without colours, too, whether it is on."""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        """What stands in the box."""
        return "✓" if self.value else " "


class NewRun(ModalScreen[Order | None]):
    """Answers with what is to be started, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "start", priority=True),
        Binding("ctrl+y", "copy", "copy command"),
        Binding("escape", "cancel", "cancel"),
    ]
    DEFAULT_CSS = "NewRun #jobs, NewRun #retries { max-width: 8; }"

    def __init__(self, runs_dir: Path, preset: str) -> None:
        super().__init__()
        known = [info.name for info in presets.available()]
        self._runs_dir = runs_dir
        self._infos = {info.name: info.description for info in presets.available()}
        self.form = Form(preset if preset in known else known[0])
        self._key = "train.epochs"
        self._values: dict[str, object] = {}
        self._devices: dict[str, list[str]] = {}
        """What is wrong with devices that were typed."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog new-run"):
            with Horizontal(id="choices"):
                yield OptionList(*(Option(name, id=name) for name in self._infos), id="presets", compact=True)
                yield OptionList(id="settings", compact=True)
            yield Static(id="about")
            with Horizontal(classes="line"):
                yield Label("value", id="value-label")
                yield ValueInput(id="value", compact=True, select_on_focus=True)
            yield Static(id="problem")
            with Horizontal(classes="line"):
                yield Label("seeds")
                yield Input(placeholder="0,1,2 or 0-4", id="seeds", compact=True)
                yield Label("devices")
                yield Input("auto", id="devices", compact=True)
                yield Label("name")
                yield Input(placeholder="PRESET-seedN", id="name", compact=True)
            with Horizontal(classes="line"):
                yield Label("jobs per GPU")
                yield Input(choice.AUTO, id="jobs", compact=True)
                yield Label("retries")
                yield Input(placeholder="0", id="retries", compact=True)
                yield Tick("quick: a minute on digits", id="quick", compact=True)
            yield Static(id="command")
            with Horizontal(classes="buttons"):
                yield Button("Start  ctrl+s", id="start", variant="primary", compact=True)
                yield Button("Copy command  ctrl+y", id="copy", compact=True)
                yield Button("Cancel  esc", id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one("#presets").border_title = "Preset"
        self.query_one("#settings").border_title = "Settings"
        names = list(self._infos)
        self.query_one("#presets", OptionList).highlighted = names.index(self.form.preset)
        self._show_settings()
        self._show_form()
        self.query_one("#presets").focus()

    def action_setting(self, by: int) -> None:
        """Go to the next setting."""
        keys = list(self._values)
        self.query_one("#settings", OptionList).highlighted = (keys.index(self._key) + by) % len(keys)

    def action_start(self) -> None:
        """Close with what is to be started, if nothing stands in the way."""
        problems = self._problems()
        if problems:
            self.notify("\n".join(problems), severity="error", markup=False)
        else:
            self.dismiss(self._order())

    def action_copy(self) -> None:
        """Copy the command that does the same."""
        text = self._order().command()
        self.app.copy_to_clipboard(text)
        self.notify(text, title="Copied", markup=False)

    def action_cancel(self) -> None:
        """Close and start nothing."""
        self.dismiss(None)

    @on(OptionList.OptionHighlighted, "#presets")
    def _preset(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None and event.option.id != self.form.preset:
            self.form = replace(self.form, preset=event.option.id)
            self._show_settings()
            self._show_form()

    @on(OptionList.OptionSelected, "#presets")
    def _preset_chosen(self) -> None:
        self.query_one("#settings").focus()

    @on(OptionList.OptionHighlighted, "#settings")
    def _setting(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None and event.option.id != self._key:
            self._key = event.option.id
            self._show_value()
            self._show_form()

    @on(OptionList.OptionSelected, "#settings")
    def _setting_chosen(self) -> None:
        allowed = choices(self._key)
        if not allowed:
            self.query_one("#value").focus()
            return
        now = self.query_one("#value", Input).value
        place = allowed.index(now) + 1 if now in allowed else 0
        self.query_one("#value", Input).value = allowed[place % len(allowed)]

    @on(Input.Changed, "#value")
    def _value(self, event: Input.Changed) -> None:
        self.form = self.form.changed(self._key, event.value)
        self._show_option(self._key)
        self._show_form()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "value":
            self.action_setting(1)
        else:
            self.focus_next()

    @on(Input.Changed, "#seeds, #devices, #name, #jobs, #retries")
    def _field(self, event: Input.Changed) -> None:
        typed: dict[str, Any] = {str(event.input.id): event.value}
        self.form = replace(self.form, **typed)
        self._show_form()

    @on(Checkbox.Changed, "#quick")
    def _quick(self, event: Checkbox.Changed) -> None:
        self.form = replace(self.form, quick=event.value)
        self._show_settings()
        self._show_form()

    @on(Button.Pressed)
    async def _pressed(self, event: Button.Pressed) -> None:
        await self.run_action(str(event.button.id))

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss(None)

    def _show_settings(self) -> None:
        """List the settings of the preset anew."""
        self._values = dict(self.form.values())
        options = self.query_one("#settings", OptionList)
        options.clear_options()
        options.add_options([Option(self._line(key), id=key) for key in self._values])
        options.highlighted = list(self._values).index(self._key)
        self._show_value()

    def _show_value(self) -> None:
        with self.prevent(Input.Changed):
            field = self.query_one("#value", Input)
            field.value = self.form.changes.get(self._key, written(self._values[self._key]))
        self.query_one("#value-label", Label).update(self._key)

    def _show_option(self, key: str) -> None:
        self.query_one("#settings", OptionList).replace_option_prompt(key, self._line(key))

    def _line(self, key: str) -> Content:
        change = self.form.changes.get(key)
        value = (written(self._values[key]) or "–", "") if change is None else (change, "bold $warning")
        return Content.assemble((f"{key:<{KEY_WIDTH}}", "$quiet"), value)

    def _show_form(self) -> None:
        """Show what the setting means, what is wrong, and the command."""
        self.query_one("#about", Static).update(
            Content.assemble((f"{self._infos[self.form.preset]}\n", "$foreground"), (describe(self._key), "$quiet"))
        )
        problems = self._problems()
        own = self.form.problem(self._key)
        text = "\n".join([*([own] if own else []), *(one for one in problems if one != own)])
        doubts = "\n".join(self.form.doubts())
        told = [Content.styled(*piece) for piece in ((text, "$error"), (doubts, "$warning")) if piece[0]]
        self.query_one("#problem", Static).update(Content("\n").join(told))
        command = self._order().command()
        self.query_one("#command", Static).update(Content.assemble(("$ ", "$primary"), command))

    def _problems(self) -> list[str]:
        devices = self.form.devices.strip() or "auto"
        if devices not in self._devices:  # looking at the GPUs takes a moment
            self._devices[devices] = problems_of(partial(queue.choose_devices, devices))
        return [*self.form.problems(), *self._devices[devices]]

    def _order(self) -> Order:
        return self.form.order(told_folder(self._runs_dir))
