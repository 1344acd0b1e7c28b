"""All that the dashboard reads and draws of the runs of a folder, without a terminal."""

from __future__ import annotations

from pathlib import Path

from domcli.charts import draw, to_svg
from domcli.dashboard import facts, list_columns, selection, words
from domcli.dashboard.curves import KINDS, View
from domcli.dashboard.details import tail
from domcli.dashboard.model import Snapshot, Wanted
from domcli.dashboard.replay import ReplaySource
from domcli.dashboard.rows import SORT_KEYS, arrange
from domcli.dashboard.rows import View as ListView
from domcli.dashboard.source import DirectorySource, RunSource
from domcli.dashboard.viewer import Viewer
from domcli.dashboard.widgets import run_lines
from domcli.errors import DomcliError
from domcli.finding import list_runs


def look(folder: Path, view: View, name: str) -> list[str]:
    """Draw all that the dashboard draws of the runs of a folder, with the details of one; return the runs listed."""
    source = DirectorySource(folder)
    wanted = Wanted(frozenset(run.name for run in list_runs(folder)), name)
    return see(source, wanted, view)


def see(source: RunSource, wanted: Wanted, view: View) -> list[str]:
    """Draw all that the dashboard draws of a source, twice looked at; return the runs listed."""
    source.read(wanted)
    snapshot = source.read(wanted)
    marks = {name: number for number, name in enumerate(sorted(wanted.whole))}
    _lists(snapshot, marks, grouped=view.grouped)
    for one in snapshot.runs:
        assert facts.state(one, 40)
        facts.overview(one, one.run, snapshot.detail, 40)
        facts.settings(one.run, snapshot.detail, [(one, "red")] * 2, 40)
        assert words.sentence(one)
        tail(one.run.directory.log)
    _charts(snapshot, marks, view)
    return [one.name for one in snapshot.runs]


def replay(folder: Path, name: str) -> list[str]:
    """Play a run from its beginning to its end; return the runs listed, none if it cannot be played."""
    time = [0.0]
    try:
        source = ReplaySource(folder, [run for run in list_runs(folder) if run.name == name], 50.0, lambda: time[0])
    except DomcliError:
        return []
    found: list[str] = []
    for moment in (0.0, 0.1, 1e9):
        time[0] = moment
        found = see(source, Wanted(frozenset([name]), name), View())
    return found


def _lists(snapshot: Snapshot, marks: dict[str, int], *, grouped: bool) -> None:
    for sort in SORT_KEYS:
        rows = arrange(snapshot.runs, ListView(sort=sort, grouped=grouped))
        columns = list_columns.plan(120, rows)
        assert all(run_lines.line(row, columns, marks) for row in rows)


def _charts(snapshot: Snapshot, marks: dict[str, int], view: View) -> None:
    viewer = Viewer()
    viewer.show(selection.shown(marks, snapshot))
    viewer.view = view
    for kind in KINDS:
        chart = viewer.chart(kind.key)
        assert draw(chart, 60, 12).text
        assert to_svg(chart)
        viewer.notes(kind.key)
        viewer.entries(kind.key)
    viewer.sentence(80)
    viewer.zoom(1.5)
    viewer.pan(0.2)
    viewer.step(1)
    viewer.next_axis()
    assert to_svg(viewer.chart("accuracy"))
