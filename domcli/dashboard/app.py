"""The dashboard as an app: its themes, its screens, and the threads that feed it."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from domcli.dashboard import themes
from domcli.dashboard.feeder import Feeder
from domcli.dashboard.model import Wanted
from domcli.dashboard.screens.main import MainScreen
from domcli.dashboard.source import RunSource
from domcli.dashboard.ways_out import PrintableFilter, write_new

SETTLED_SECONDS = 3.0
"""After so long everything is loaded that the app needs all the time."""
PRINTABLE = PrintableFilter()


class DomcliApp(App[None]):
    """Shows the runs of a source. Opening, closing or suspending it touches no run."""

    TITLE = "domcli"
    CSS_PATH = "app.tcss"
    NOTIFICATION_TIMEOUT = 4
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
        Binding("ctrl+t", "next_theme", "Next theme", show=False),
    ]

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self.source = source
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.usual()
        self._main = MainScreen(source.runs_dir, steerable=source.steerable, note=source.note)
        self._feeder = Feeder(source, self._main.post_message)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return what every line goes through before it is shown."""
        return [*super().get_line_filters(), PRINTABLE]

    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> str | None:
        """Write a picture of the screen to the current folder, as charts are; a browser is handed it."""
        if self.is_web:
            return super().deliver_screenshot(filename, path, time_format)
        name = filename or f"domcli-{datetime.now():%Y-%m-%d-%H%M%S}.svg"
        try:
            written = write_new(Path(path or Path.cwd()) / name, self.export_screenshot().encode())
        except OSError as error:
            self.notify(f"cannot write {name}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(str(written), title="Screenshot written", markup=False)
        return None

    def get_default_screen(self) -> Screen[None]:
        """Return the screen with the runs."""
        return self._main

    def on_mount(self) -> None:
        # After ctrl+z and fg the terminal is empty, which nobody else notices.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        self._feeder.start()
        # A full collection stops everything for a tenth of a second: none while things are loaded, and what is loaded
        # then is not looked through again.
        gc.disable()
        self.set_timer(SETTLED_SECONDS, self._settle)

    def _settle(self) -> None:
        gc.collect()
        gc.freeze()
        # With the usual thresholds everything that is alive is looked through every few seconds, for 20 ms.
        gc.set_threshold(20_000, 20, 100)
        gc.enable()

    def on_unmount(self) -> None:
        self._feeder.stop()

    def on_key(self, event: events.Key) -> None:
        """Say why a key that steers runs does nothing."""
        why = self._main.why_not(event.key) if self.screen is self._main else None
        if why is not None:
            self.notify(why, severity="warning", markup=False)

    def want(self, wanted: Wanted) -> None:
        """Say what is shown, so that it is read."""
        self._feeder.want(wanted)

    def hurry(self) -> None:
        """Have the runs looked at now."""
        self._feeder.hurry()

    def action_next_theme(self) -> None:
        """Go on to the next of the dashboard's own themes."""
        names = [theme.name for theme in themes.THEMES]
        place = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(place + 1) % len(names)]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield everything that can be done now, then what every app can."""
        for binding in unique_actions(screen):
            title, key = binding.tooltip or binding.description, self.get_key_display(binding)
            yield SystemCommand(title, f"key {key}", partial(self.call_later, self.simulate_key, binding.key))
        yield from super().get_system_commands(screen)


def unique_actions(screen: Screen[object]) -> list[Binding]:
    """Return the bindings that work now and have a description, each action once."""
    found: dict[str, Binding] = {}
    for _, binding, enabled, _ in screen.active_bindings.values():
        if enabled and binding.description and not binding.system:
            found.setdefault(binding.action, binding)
    return list(found.values())
