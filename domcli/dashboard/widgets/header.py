"""The line at the top: which runs these are, what they are doing, and what the GPUs are doing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from domcli.dashboard import words
from domcli.dashboard.model import Snapshot, System
from domcli.devices import Gpu

STATE_STYLES = {
    "running": "$primary",
    "starting": "$primary",
    "queued": "",
    "failed": "$error",
    "lost": "$error",
    "stopped": "$warning",
    "finished": "$success",
}
GAP = 3


class HeaderLine(Widget):
    """Runs directory, counts by state, GPUs."""

    def __init__(self, runs_dir: Path, note: str = "") -> None:
        super().__init__()
        self._folder = _shown(runs_dir)
        self._note = note
        self._snapshot = Snapshot()
        self._gpus: tuple[Gpu, ...] = ()
        self._text: tuple[Content, ...] = ()

    def show(self, snapshot: Snapshot) -> None:
        """Show what the runs are doing."""
        self._snapshot = snapshot
        self._refresh_if_changed()

    def show_system(self, system: System) -> None:
        """Show what the GPUs are doing."""
        self._gpus = system.gpus
        self._refresh_if_changed()

    def on_click(self) -> None:
        """Open the command palette."""
        self.app.action_command_palette()

    def render(self) -> Content:
        """Return the line: name on the left, counts in the middle, GPUs on the right, what fits of them."""
        left, width = self._left(), self.size.width
        middle = self._middle(long=True)
        if left.cell_length + middle.cell_length + GAP > width:
            middle = self._middle(long=False)
        right = self._right(width - left.cell_length - middle.cell_length - 2 * GAP)
        blank = width - left.cell_length - middle.cell_length - right.cell_length
        if blank < GAP:
            return Content.assemble(left, " " * GAP, middle).truncate(width, ellipsis=True)
        before = max(GAP, min(blank // 2, blank - GAP))
        return Content.assemble(left, " " * before, middle, " " * (blank - before), right)

    def _refresh_if_changed(self) -> None:
        text = (self._left(), self._middle(long=True), self._right(10_000))
        if text != self._text:
            self._text = text
            self.refresh()

    def _left(self) -> Content:
        note = f"  {self._note}" if self._note else ""
        return Content.assemble((" domcli ", "bold $primary"), (f" {self._folder}", "$quiet"), (note, "$warning"))

    def _middle(self, *, long: bool) -> Content:
        snapshot = self._snapshot
        if snapshot.problem is not None:
            return Content.styled(snapshot.problem, "$error")
        parts: list[Content] = []
        for state, number in words.counts(snapshot.runs):
            sign = Content.styled(f"{words.SIGNS[state]} ", STATE_STYLES[state])
            parts.append(Content.assemble(sign, (str(number), "bold"), f" {state}" if long else ""))
        if snapshot.unread:
            parts.append(Content.styled(f"reading {snapshot.unread} more", "$quiet"))
        return Content("   ").join(parts)

    def _right(self, room: int) -> Content:
        for text in (gpu_texts(self._gpus, long=True), gpu_texts(self._gpus, long=False)):
            line = "   ".join(text)
            if cell_len(line) <= room:
                return Content.styled(f"{line} ", "$quiet") if line else Content("")
        busy = sum(bool(gpu.utilization) for gpu in self._gpus)
        line = f"{busy}/{len(self._gpus)} GPUs busy "
        return Content.styled(line, "$quiet") if len(line) <= room else Content("")


def gpu_texts(gpus: Sequence[Gpu], *, long: bool) -> list[str]:
    """Return `GPU0 71 % 9.8 GB` for each GPU, `GPU0 idle` where nothing runs, without the memory if not `long`."""
    found = []
    for gpu in gpus:
        idle = not gpu.processes and not gpu.utilization
        use = "idle" if idle else f"{gpu.utilization if gpu.utilization is not None else '?'} %"
        memory = f" {gpu.memory_used / 1e9:.1f}/{gpu.memory_total / 1e9:.0f} GB" if long and not idle else ""
        found.append(f"GPU{gpu.index} {use}{memory}")
    return found


def _shown(path: Path) -> str:
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.absolute().is_relative_to(base):
            return f"{sign}{path.absolute().relative_to(base)}/"
    return f"{path.absolute()}/"
