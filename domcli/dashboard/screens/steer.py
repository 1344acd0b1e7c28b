"""What can be done to runs, as actions of the screen; the work itself is done in a thread.

What only some of the actions need is imported by them: the list of runs is there the sooner.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Input

from domcli.dashboard.messages import Steered
from domcli.dashboard.model import Listed, Snapshot
from domcli.errors import DomcliError
from domcli.launch.rules import FAILED, can
from domcli.runs import Run

if TYPE_CHECKING:
    from domcli.launch.order import Order

QUICK = "pgd-dom-re"
"""The preset that a first, quick run is of."""
STEERING = ("new_run", "quick_run", "stop", "kill", "resume", "retry", "delete")
"""Actions that change something."""
Deed = Literal["stop", "kill", "resume", "delete"]
PAST: dict[Deed, str] = {"stop": "asked to stop", "kill": "killed", "resume": "queued", "delete": "deleted"}


class SteerActions(Screen[None]):
    """Actions about the runs that are meant (`targets`)."""

    KEYS: ClassVar[list[Binding]] = [
        Binding("n", "new_run", "new", tooltip="Set up and start a new run"),
        Binding("Q", "quick_run", "quick run", show=False, tooltip="Start a quick run, about a minute, after asking"),
        Binding("c", "compare", "compare", tooltip="Compare the marked runs"),
        Binding("p", "stop", "stop", tooltip="Stop the run after a checkpoint, or take it out of the queue"),
        Binding("K", "kill", "kill", show=False, tooltip="End the run at once"),
        Binding("r", "resume", "resume", tooltip="Go on from the last checkpoint"),
        Binding("R", "retry", "retry all failed", show=False, tooltip="Resume all failed and lost runs"),
        Binding("D,delete", "delete", "delete", tooltip="Delete the run with everything in it"),
        Binding("C", "copy_command", "copy command", show=False, tooltip="Copy the command that started the run"),
        Binding("P", "copy_path", "copy path", show=False, tooltip="Copy the path of the run directory"),
        Binding("L", "full_log", "whole log", show=False, tooltip="Show the log on the whole screen, with search"),
    ]

    runs_dir: Path
    steerable: bool
    snapshot: Snapshot
    marks: dict[str, int]

    @property
    def targets(self) -> tuple[Listed, ...]:
        """The runs that a command is about."""
        raise NotImplementedError

    @property
    def marked(self) -> list[Listed]:
        """The marked runs."""
        raise NotImplementedError

    @property
    def under_cursor(self) -> Listed | None:
        """The run under the cursor."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Tell whether an action makes sense now: only such keys work and are shown."""
        if action in STEERING and not self.steerable:
            return False
        if not self.is_mounted:
            return True
        runs = [one.run for one in self.targets]
        if action in ("stop", "kill"):
            return any(can("stop", run) for run in runs)
        if action == "resume":
            return any(can("resume", run) for run in runs)
        if action == "delete":
            return bool(runs) and all(can("delete", run) for run in runs)
        if action == "retry":
            return any(can("retry", one.run) for one in self.snapshot.runs)
        if action == "compare":
            return len(self.marks or runs) > 1
        if action in ("copy_command", "copy_path", "full_log"):
            return self.under_cursor is not None
        return True

    def why_not(self, key: str) -> str | None:
        """Return why a key that steers runs does nothing now, None if it does or is no such key."""
        bindings = [one for one in Binding.make_bindings(self.KEYS) if one.key == key]
        if not bindings or isinstance(self.focused, Input) or self.check_action(bindings[0].action, ()):
            return None
        action, runs = bindings[0].action, self.targets
        if action in STEERING and not self.steerable:
            return "Runs can only be looked at here, not steered."
        if action == "compare":
            return "A comparison needs two runs or more: mark them with space."
        if action == "retry":
            failed = any(one.run.status in FAILED for one in self.snapshot.runs)
            return "What failed would fail again." if failed else "No run has failed or was lost."
        if not runs:
            return "There is no run under the cursor."
        which = runs[0].name if len(runs) == 1 else f"Of {len(runs)} runs, some"
        if action == "delete":
            return f"{which} {'is' if len(runs) == 1 else 'are'} at work: stop first, with p."
        which = f"{runs[0].name} is {runs[0].run.status}" if len(runs) == 1 else f"None of {len(runs)} runs can"
        if len(runs) > 1:
            return f"{which} be {'resumed' if action == 'resume' else 'stopped'} now."
        return f"{which}: there is nothing to {action}."

    def abilities(self) -> tuple[bool, ...]:
        """Return what can be done now."""
        return tuple(bool(self.check_action(binding.action, ())) for binding in self.KEYS)

    def action_new_run(self) -> None:
        """Set up a new run, beginning with the preset of the one under the cursor."""
        from domcli.dashboard.screens.new_run import NewRun

        one = self.under_cursor
        preset = one.run.preset if one is not None else None
        self.app.push_screen(NewRun(self.runs_dir, preset or QUICK), self._start)

    def action_quick_run(self) -> None:
        """Start a quick run, after asking: the key is that of leaving, with shift."""
        from domcli.dashboard.screens.confirm import Confirm
        from domcli.launch.order import Order, told_folder

        order = Order(presets=(QUICK,), quick=True, runs_dir=told_folder(self.runs_dir))
        what = "It trains for about a minute, on the digits, and joins the queue."
        question = Confirm("start", [f"{QUICK} --quick"], what)
        self.app.push_screen(question, lambda agreed: self._start(order if agreed else None))

    def action_stop(self) -> None:
        """Stop the runs that are at work, after asking."""
        found = [one for one in self.targets if can("stop", one.run)]
        self._act("stop", found, ask=True, what="A checkpoint is written first; r goes on from there.")

    def action_kill(self) -> None:
        """Kill the runs that are at work, after asking."""
        found = [one for one in self.targets if can("stop", one.run)]
        self._act("kill", found, ask=True, what="What was done since the last checkpoint is lost.")

    def action_resume(self) -> None:
        """Go on with runs, after asking if there are several."""
        found = [one for one in self.targets if can("resume", one.run)]
        self._act("resume", found, ask=len(found) > 1)

    def action_retry(self) -> None:
        """Resume all failed and lost runs, after asking."""
        found = [one for one in self.snapshot.runs if can("retry", one.run)]
        self._act("resume", found, ask=True)

    def action_delete(self) -> None:
        """Delete runs, after asking."""
        what = "Checkpoints, logs and results are gone then."
        self._act("delete", self.targets, ask=True, what=what)

    def action_compare(self) -> None:
        """Compare the marked runs."""
        from domcli.dashboard.screens.compare import CompareScreen

        runs = self.marked or list(self.targets)
        self.app.push_screen(CompareScreen([one.run.directory for one in runs]))

    def action_copy_command(self) -> None:
        """Copy the command that started the run."""
        one = self.under_cursor
        if one is not None:
            written = one.run.directory.read_environment().get("command_line")
            self._copy(written if isinstance(written, str) else f"domcli show {shlex.quote(one.name)}")

    def action_copy_path(self) -> None:
        """Copy the path of the run directory."""
        one = self.under_cursor
        if one is not None:
            self._copy(str(one.run.directory.path.absolute()))

    def action_full_log(self) -> None:
        """Show the log on the whole screen."""
        one = self.under_cursor
        if one is not None:
            from domcli.dashboard.screens.log import LogScreen

            self.app.push_screen(LogScreen(one.run.directory))

    def action_help(self) -> None:
        """Explain the screen."""
        from domcli.dashboard.screens.help import Help

        self.app.push_screen(Help())

    def _copy(self, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(text, title="Copied", markup=False)

    def _act(self, verb: Deed, runs: Sequence[Listed], *, ask: bool, what: str = "") -> None:
        if not runs:
            return
        names = [one.name for one in runs]

        def go_on(agreed: bool | None) -> None:
            if agreed:
                self._in_thread(partial(_acted, verb, [one.run for one in runs]))

        if ask:
            from domcli.dashboard.screens.confirm import Confirm

            self.app.push_screen(Confirm(verb, names, what), go_on)
        else:
            go_on(True)

    def _start(self, order: Order | None) -> None:
        if order is not None:
            self._in_thread(partial(_started, order, self.runs_dir))

    def _in_thread(self, work: Callable[[], Steered]) -> None:
        self.run_worker(lambda: self.post_message(work()), thread=True, exclusive=False)


def _acted(verb: Deed, runs: Sequence[Run]) -> Steered:
    """Do to runs what the command of that name does, and say what came of it. It blocks."""
    from domcli.launch import actions
    from domcli.launch.terms import Terms

    acts = {"stop": actions.stop, "kill": actions.kill, "delete": actions.delete}
    try:
        results = actions.resume(runs, Terms()) if verb == "resume" else acts[verb](runs)
    except (DomcliError, OSError) as error:
        return Steered("", (str(error),))
    done = [result for result in results if result.happened is not None]
    which = done[0].directory.name if len(results) == len(done) == 1 else f"{len(done)} runs"
    problems = tuple(str(result.error) for result in results if result.error is not None)
    return Steered(f"{which} {PAST[verb]}" if done else "", problems)


def _started(order: Order, runs_dir: Path) -> Steered:
    """Queue the runs that are ordered, and say so. It blocks."""
    from domcli.launch.order import create
    from domcli.launch.queue import wake

    try:
        runs = create(order.plan(runs_dir), runs_dir)
        wake(runs_dir)
    except (DomcliError, OSError) as error:
        return Steered("", (str(error),))
    which = runs[0].name if len(runs) == 1 else f"{len(runs)} runs of {order.presets[0]}"
    return Steered(f"{which} queued", show=runs[0].name)
