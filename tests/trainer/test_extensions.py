"""Files that extend the catalogue: the examples of docs/extending.md train, and copies that were changed do not run."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny

from domcli import extensions, presets, rundir
from domcli.catalogue import KINDS
from domcli.errors import DomcliError, NonFiniteLossError, RunDirectoryError, SettingsError
from domcli.events import EpochEnd, Started
from domcli.rundir import RunDirectory
from domcli.settings import Settings
from domcli.trainer.failure import explain
from domcli.trainer.report import ProgressReporter
from domcli.trainer.stop import StopFlag, StopRequested

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = {name: code for code, name in re.findall(r"```python\n(# (\w+\.py):.*?)```", PAGE, re.DOTALL)}
CHOSEN = {
    "npz.py": ("data.dataset=npz",),
    "small_cnn.py": ("model.name=small-cnn",),
    "trades.py": ("train.objective=trades", "options.trades-beta=3"),
    "cutout.py": ("dom.operate=cutout", "dom.iterations=2", "dom.strength=0.5", "data.augment=cutout"),
    "share_of_mean.py": ("dom.rule=share-of-mean", "dom.threshold=0.9"),
}


@pytest.fixture(autouse=True)
def _catalogue_as_it_was() -> Iterator[None]:
    before = [set(kind.names) for kind in KINDS]
    yield
    for kind, names in zip(KINDS, before, strict=True):
        for added in set(kind.names) - names:
            kind.remove(added)
    for module in [name for name in sys.modules if name.startswith(extensions.LOADED)]:
        del sys.modules[module]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the examples, and images for one of them."""
    for name, code in EXAMPLES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    draws = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        train_images=draws.integers(256, size=(70, 12, 12, 3), dtype=np.uint8),
        train_labels=np.arange(70) % 5,
        test_images=draws.integers(256, size=(20, 12, 12, 3), dtype=np.uint8),
        test_labels=np.arange(20) % 5,
    )
    return tmp_path


def settings_with(folder: Path, *names: str, also: tuple[str, ...] = ()) -> Settings:
    paths = ", ".join(f'"{folder / name}"' for name in names)
    chosen = [override for name in names for override in CHOSEN.get(name, ())]
    return presets.resolve(
        "pgd-dom-re",
        [*tiny.TINY, f"data.root={folder}", f"extensions=[{paths}]", *chosen, *also],
        quick=True,
    )


def make_run(folder: Path, settings: Settings, name: str = "run") -> RunDirectory:
    copies = extensions.contents(settings.extensions)
    return rundir.create(folder / "runs", name, settings.to_dict(), {}, extensions=copies)


def train(folder: Path, *names: str) -> RunDirectory:
    """Train a run within this process, as the trainer does."""
    run = make_run(folder, settings_with(folder, *names))
    extensions.load(run)
    tiny.train_here(run)
    return run


def test_the_page_has_an_example_of_each_kind() -> None:
    assert EXAMPLES.keys() == CHOSEN.keys()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_trains(folder: Path, name: str) -> None:
    run = train(folder, name)
    epochs = tiny.of_kind(tiny.events(run), EpochEnd)
    (started,) = tiny.of_kind(tiny.events(run), Started)
    assert len(epochs) == 4
    after = epochs[-1].memorization
    if name == "npz.py":
        assert (started.classes, started.image_shape) == (5, (3, 12, 12))
    elif name == "small_cnn.py":
        assert started.parameters == 9 * (1 * 4 + 4 * 8 + 8 * 16) + 2 * (4 + 8 + 16) + 17 * 10
    elif name == "trades.py":
        assert epochs[0].train.robust_loss > epochs[0].train.natural_loss  # natural cross-entropy is a part of it
    elif name == "cutout.py":
        assert after.augmented > 0
    else:
        assert len({epoch.memorization.threshold for epoch in epochs}) == 4  # another T in each epoch
        assert after.removed > 0


def test_a_run_with_all_of_them_is_looked_at_without_them_and_goes_on_in_another_process(folder: Path) -> None:
    settings, stop = settings_with(folder, *CHOSEN, also=("train.epochs=3",)), StopFlag()
    whole, again = make_run(folder, settings, "whole"), make_run(folder, settings, "again")
    shown = presets.from_run(whole)
    assert not any(module.startswith(extensions.LOADED) for module in sys.modules)
    extensions.load(whole)
    tiny.train_here(whole)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ProgressReporter, "after_batch", lambda *_: setattr(stop, "reason", "asked to by a test"))
        with pytest.raises(StopRequested):
            tiny.train_here(again, stop)
    for name in CHOSEN:  # the run has its own
        (folder / name).write_text("raise SystemExit('not this file')", encoding="utf-8")
    tiny.finish(again)
    assert tiny.lasting(again) == tiny.lasting(whole)
    assert (shown.model.name, shown.data.dataset, shown.dom.rule) == ("small-cnn", "npz", "share-of-mean")
    assert shown.digest() == settings.digest()


def test_the_threshold_of_the_last_step_outlives_a_stop_during_the_evaluation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, stop = settings_with(folder, "share_of_mean.py"), StopFlag()
    reference, run = make_run(folder, settings, "reference"), make_run(folder, settings, "run")
    extensions.load(reference)
    tiny.train_here(reference)
    with monkeypatch.context() as patched:
        patched.setattr(ProgressReporter, "after_batch", lambda *_: setattr(stop, "reason", "asked to by a test"))
        with pytest.raises(StopRequested):
            tiny.train_here(run, stop)
    tiny.train_here(run)
    assert tiny.lasting(run) == tiny.lasting(reference)


def test_settings_that_name_the_same_files_elsewhere_are_equal_and_other_files_are_not(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "cutout.py").write_text(EXAMPLES["cutout.py"], encoding="utf-8")
    root = f"data.root={folder}"
    first, second = (settings_with(place, "cutout.py", also=(root,)) for place in (folder, other))
    assert first.digest() == second.digest()
    (other / "cutout.py").write_text(EXAMPLES["cutout.py"] + "\n", encoding="utf-8")
    assert settings_with(other, "cutout.py", also=(root,)).digest() != first.digest()


def test_the_settings_of_a_run_with_extensions_make_the_same_run_again(folder: Path) -> None:
    settings = settings_with(folder, "cutout.py")
    run = make_run(folder, settings)
    assert presets.resolve(str(run.settings)).digest() == settings.digest()
    run.extension("cutout.py").write_text("CHANGED = True", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"settings\.toml, line 1: the extension .* is no longer what it was"):
        presets.resolve(str(run.settings))


def test_a_copy_that_was_changed_is_not_run(folder: Path) -> None:
    run = make_run(folder, settings_with(folder, "cutout.py"))
    witness = folder / "was-run"
    run.extension("cutout.py").write_text(f"open({str(witness)!r}, 'w')", encoding="utf-8")
    process = tiny.start(run)
    assert process.wait(timeout=240) == 2
    assert "cutout.py is not what the run was made with: its SHA-256 differs, so it is not run" in run.log.read_text()
    assert not witness.exists()


def test_a_copy_that_others_may_write_to_is_not_run(folder: Path) -> None:
    run = make_run(folder, settings_with(folder, "cutout.py"))
    run.extension("cutout.py").chmod(0o666)
    with pytest.raises(SettingsError, match=r"others may write to it: no extension is run"):
        extensions.load(run)


@pytest.mark.parametrize("what", ["folder", "settings"])
def test_where_others_may_write_nothing_is_run(folder: Path, what: str) -> None:
    run = make_run(folder, settings_with(folder, "cutout.py"))
    (run.extensions if what == "folder" else run.settings).chmod(0o777)
    with pytest.raises(SettingsError, match=r"others may write to it: no extension is run"):
        extensions.load(run)


def test_under_an_umask_for_groups_nobody_else_may_change_what_is_run(folder: Path) -> None:
    before = os.umask(0o002)
    try:
        run = make_run(folder, settings_with(folder, "cutout.py"))
    finally:
        os.umask(before)
    for path in (run.settings, run.extensions, run.extension("cutout.py")):
        assert not path.stat().st_mode & 0o022
    extensions.load(run)


def test_a_link_in_place_of_the_folder_of_copies_is_not_followed(folder: Path) -> None:
    run = make_run(folder, settings_with(folder, "cutout.py"))
    run.extensions.rename(folder / "elsewhere")
    run.extensions.symlink_to(folder / "elsewhere")
    with pytest.raises(RunDirectoryError, match=r"extensions is a link, and the run to"):
        extensions.load(run)
    with pytest.raises(SettingsError, match=r"cannot read .*cutout\.py: Not a directory"):
        extensions._copied(run, "cutout.py")


def test_a_link_in_place_of_a_copy_is_not_followed(folder: Path) -> None:
    run = make_run(folder, settings_with(folder, "cutout.py"))
    run.extension("cutout.py").unlink()
    run.extension("cutout.py").symlink_to(folder / "cutout.py")
    with pytest.raises(SettingsError, match=r"cannot read .*cutout\.py"):
        extensions.load(run)


def test_settings_that_name_a_file_outside_of_the_run_run_nothing(folder: Path) -> None:
    digest = hashlib.sha256((folder / "cutout.py").read_bytes()).hexdigest()
    for path in (str(folder / "cutout.py"), "../cutout.py", "extensions/../../cutout.py"):
        tables = {"extensions": [f"{path}#sha256={digest}"]}
        run = rundir.create(folder / "runs", f"run{len(path)}", tables, {})
        with pytest.raises(SettingsError, match=r"is no copy of the run's own"):
            extensions.load(run)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_of_that_name", r"fails: ModuleNotFoundError: No module .*\(mine\.py, line 1\)"),
        ("\n\ndef f(:", r"fails: SyntaxError: .*\(mine\.py, line 3\)"),
        ("X = 1", r"the extension mine\.py adds nothing: it has no entry"),
        (
            "from domcli.catalogue import ThresholdRule\nA = ThresholdRule(name='fixed', about='x', work=len)",
            r"the threshold rule 'fixed' is there already; give the new one another name",
        ),
        (
            "from domcli.catalogue import ThresholdRule\nA = ThresholdRule(name='x', about='x')",
            r"x has no work: give the",
        ),
        (
            "from domcli.catalogue import Entry\nA = Entry(name='x', about='x', work=len)",
            r"has an entry of no kind, x: use",
        ),
        (
            "from domcli.catalogue import Entry\nA = Entry(name=5, about='x', work=len)",
            r"an entry is named 5; use lower-case",
        ),
        ("raise SystemExit(0)", r"fails: SystemExit: 0 \(mine\.py, line 1\)"),
    ],
)
def test_what_is_wrong_with_an_extension_is_said_in_a_sentence(folder: Path, code: str, said: str) -> None:
    (folder / "mine.py").write_text(code, encoding="utf-8")
    run = make_run(folder, settings_with(folder, "mine.py"))
    with pytest.raises(SettingsError, match=said):
        extensions.load(run)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"mine.py"', r'line 1: extensions must be a list of paths, as in \["mine\.py"\]'),
        ('["absent.py"]', r"line 1: there is no extension .*absent\.py"),
        ('["no-module.py"]', r"line 1: the extension 'no-module\.py' needs the name of a Python module"),
        ('["cutout.py", "./cutout.py"]', r"line 1: two extensions are called cutout\.py; rename one"),
        ('["cutout.py#sha256=00"]', r"line 1: the extension 'cutout\.py' is no longer what it was"),
    ],
)
def test_a_preset_that_names_extensions_wrongly_is_told_where(folder: Path, written: str, said: str) -> None:
    preset = folder / "mine.toml"
    preset.write_text(f"extensions = {written}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=rf"mine\.toml, {said}"):
        presets.resolve(str(preset))


def test_a_name_that_no_extension_adds_is_refused_by_the_trainer(folder: Path) -> None:
    run = make_run(folder, settings_with(folder, "small_cnn.py", also=("model.name=small-cn",)))
    extensions.load(run)
    with pytest.raises(
        SettingsError, match=r'"small-cn"; it must be one of preactresnet18, wideresnet34-10, small-cnn'
    ):
        presets.from_run(run, to_train=True)


def test_an_installed_package_adds_an_entry_without_being_imported_by_others(folder: Path) -> None:
    site = folder / "site"
    (site / "theirs-1.0.dist-info").mkdir(parents=True)
    (site / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text("[domcli]\nnetwork.small-cnn = theirs:SMALL_CNN\n")
    (site / "theirs.py").write_text(EXAMPLES["small_cnn.py"], encoding="utf-8")
    script = f"""
import sys
sys.path[:0] = [{str(site)!r}, {str(Path(tiny.__file__).parent)!r}]
import tiny
from pathlib import Path
from domcli import extensions, presets
run = tiny.make_run(Path({str(folder)!r}), "natural-dom-re", "model.name=small-cnn")
assert presets.from_run(run).model.name == "small-cnn"
assert "theirs" not in sys.modules
extensions.load(run)
assert presets.from_run(run, to_train=True).model.name == "small-cnn"
tiny.train_here(run)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


WRONG = {
    "network without parameters": (
        "small_cnn.py",
        ("return nn.Sequential(", "nn.Sequential("),
        r"the network small-cnn must be a torch module with parameters, and is None",
    ),
    "network of other classes": (
        "small_cnn.py",
        ("nn.Linear(channels, classes)", "nn.Linear(channels, classes + 1)"),
        r"for small-cnn must be a tensor of shape \[2, 10\], and is one of shape \[2, 11\] of float32",
    ),
    "mean loss": (
        "trades.py",
        ("return Judgement(losses,", "return Judgement(losses.mean(),"),
        r"for trades must be a tensor of shape \[32\] of float32, and is one of shape \[\] of float32",
    ),
    "logits for hits": (
        "trades.py",
        ("robust.detach().argmax(1) == labels", "robust.detach()"),
        r"for trades must be a tensor of shape \[32\] of bool, and is one of shape \[32, 10\]",
    ),
    "no image": ("cutout.py", ("return covered", "pass"), r"for cutout must be a tensor of shape .*, and is None"),
    "a threshold for each": (
        "share_of_mean.py",
        ("losses.mean()", "losses"),
        r"for share-of-mean must be a tensor of shape \[\] of float32, and is one of shape \[32\]",
    ),
    "unknown kind": ("cutout.py", ('does="augment"', 'does="augmnet"'), r"does of cutout is 'augmnet'; it must be one"),
    "float images": (
        "npz.py",
        ("RawDataset(train, labels,", "RawDataset(train / 255, labels,"),
        r"must be a uint8 array of N x height x width x channels, and are float64 of \[70, 12, 12, 3\]",
    ),
    "fewer labels": ("npz.py", ("RawDataset(train, labels,", "RawDataset(train, labels[1:],"), r"an int64 array of 70"),
    "labels from 1": (
        "npz.py",
        ("RawDataset(train, labels,", "RawDataset(train, labels + 1,"),
        r"from 1 to 5, and there",
    ),
}


@pytest.mark.parametrize("mistake", sorted(WRONG))
def test_work_that_breaks_its_contract_is_told_and_does_not_train(folder: Path, mistake: str) -> None:
    name, (right, wrong), said = WRONG[mistake]
    assert right in EXAMPLES[name]
    (folder / name).write_text(EXAMPLES[name].replace(right, wrong), encoding="utf-8")
    with pytest.raises(DomcliError, match=said):
        train(folder, name)


def test_an_error_in_the_step_is_told_with_its_line_and_what_to_do(folder: Path) -> None:
    (folder / "share_of_mean.py").write_text(EXAMPLES["share_of_mean.py"].replace("losses.mean()", "losses.meen()"))
    with pytest.raises(AttributeError) as caught:
        train(folder, "share_of_mean.py")
    line = 1 + EXAMPLES["share_of_mean.py"].split("\n").index("    return threshold * losses.mean()")
    reason = explain(caught.value, training=True).reason
    assert f"(share_of_mean.py, line {line}; mend it, then start a new run: this one keeps the copy" in reason


def test_an_entry_under_two_names_is_one(folder: Path) -> None:
    (folder / "cutout.py").write_text(EXAMPLES["cutout.py"] + "\nAGAIN = CUTOUT\n", encoding="utf-8")
    train(folder, "cutout.py")


def test_a_rule_that_gives_no_threshold_ends_the_run(folder: Path) -> None:
    code = EXAMPLES["share_of_mean.py"].replace("threshold * losses.mean()", "losses.mean() / 0")
    (folder / "share_of_mean.py").write_text(code, encoding="utf-8")
    with pytest.raises(NonFiniteLossError, match=r"the threshold rule share-of-mean gives T = inf in epoch 1"):
        train(folder, "share_of_mean.py")


def test_an_option_at_its_default_says_the_same_to_all(folder: Path) -> None:
    settings = settings_with(folder, "cutout.py", also=("options.cutout-share=0.5",))
    run = make_run(folder, settings)
    outside = presets.from_run(run).fingerprint()
    extensions.load(run)
    assert presets.from_run(run, to_train=True).fingerprint() == outside


def test_a_folder_of_nobody_is_a_sentence(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no extension .*~nosuch/x\.py"):
        presets.resolve("pgd-dom-re", ["extensions=~nosuch/x.py"])


def test_what_has_no_effect_is_doubted(folder: Path) -> None:
    chosen = settings_with(folder, "trades.py")
    assert chosen.doubts() == []
    extension = f'extensions=["{folder / "trades.py"}"]'
    idle = presets.resolve("pgd-baseline", [extension, "options.trades-beta=3"])
    assert idle.doubts() == [
        "options.trades-beta has no effect: what it belongs to is not chosen by any setting",
        "extensions are named, and no setting chooses anything that they add",
    ]


def test_extensions_in_a_section_are_told_where_they_belong(folder: Path) -> None:
    (folder / "mine.toml").write_text('[model]\nextensions = ["cutout.py"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"line 2: unknown key: extensions = \[\.\.\.\] stands before the first"):
        presets.resolve(str(folder / "mine.toml"))
