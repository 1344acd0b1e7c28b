"""Whatever is wrong with settings is one sentence a problem: where, what, and what would be right."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st
from preset_problems import attempt, problems, set_problems
from samples import any_settings

from domcli import presets
from domcli.errors import SettingsError
from domcli.printable import printable_line
from domcli.rundir import RunDirectory, create
from domcli.settings import Settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\n\nbatch_size = 0 # none", "line 3: train.batch_size is 0; it must be at least 1"),
        ('[train]\nepochs = "200"', 'line 2: train.epochs is "200" (text); it must be a whole number'),
        ("[train]\nepochs = 1.5", "line 2: train.epochs is 1.5; it must be a whole number"),
        ("[train]\nepochs = 100_001", "line 2: train.epochs is 100001; it must be at most 100000"),
        ("[train]\nseed = 4294967296", "line 2: train.seed is 4294967296; it must be less than 4294967296"),
        ("[train]\n\nepochs = 0x" + "f" * 5000, "line 3: train.epochs is a whole number of more than 64 bits"),
        ("[data]\nmean = [0, 9223372036854775808]", "line 2: data.mean is a whole number of more than 64 bits"),
        ("[train]\nseed = -9223372036854775808", "line 2: train.seed is -9223372036854775808; it must be at least 0"),
        ("[train]\nmax_lr = 0", "line 2: train.max_lr is 0; it must be greater than 0"),
        ("[train]\nmax_lr = nan", "line 2: train.max_lr is nan; it must be a finite number"),
        ("[train]\nmax_lr = true", "line 2: train.max_lr is true; it must be a number"),
        (
            '[dom]\noperate = "drop"',
            'line 2: dom.operate is "drop"; it must be one of none, remove, augmix, randaugment',
        ),
        ("[data]\nroot = 3", "line 2: data.root is 3; it must be text in quotes"),
        ("[data]\nroot = 2024-05-01", 'line 2: data.root is "2024-05-01"; it must be text in quotes'),
        ('[data]\nroot = ""', 'line 2: data.root is ""; it must not be empty'),
        ("[data]\nmean = 0.5", "line 2: data.mean is 0.5; it must be a list of numbers"),
        ("[data]\nmean = []", "line 2: data.mean is []; it must have at least 1 value"),
        ("[data]\nmean = [1, 2, 3, 4, 5]", "line 2: data.mean is [1, 2, 3, 4, 5]; it must have at most 4 values"),
        ('[data]\nmean = [\n 0.1,\n "a"]', 'line 2: value 2 of data.mean is "a" (text); it must be a number'),
        ("[data]\nstd = [0.1, 0]", "line 2: std must be greater than 0 in every channel"),
        ("[evaluation]\ntrain_attack = 1", "line 2: evaluation.train_attack is 1; it must be true or false"),
        ("[train]\nepoch = 3", "line 2: unknown key train.epoch; did you mean train.epochs?"),
        ("[train]\nthreshold = 3", "line 2: unknown key train.threshold; did you mean dom.threshold?"),
        ("[train]\nalpha = 3", "line 2: unknown key train.alpha; did you mean attack.alpha or evaluation.alpha?"),
        ("[model]\nlayers = 3", "line 2: unknown key model.layers; the keys of [model] are name, width"),
        ("[trian]\nepochs = 3", "line 1: unknown section [trian]; did you mean [train]?"),
        (
            "[zzz]",
            "line 1: unknown section [zzz]; the sections are "
            "data, model, train, attack, dom, evaluation, checkpoint, memorization, options",
        ),
        ("epochs = 3", "line 1: unknown key epochs outside of a section; did you mean train.epochs?"),
        ("train = 3", "line 1: train is 3; it must be a section: a line [train] with its keys below"),
        (
            "[[train]]\nepochs = 3",
            "line 1: train is a list of tables; it must be a section: a line [train] with its keys below",
        ),
        ("[train.epochs]\na = 1", "line 1: train.epochs is a table; it must be a whole number"),
        ("\ntrain.epochs = 0", "line 2: train.epochs is 0; it must be at least 1"),
        ("\ntrain = {seed = 1, epochs = 0}", "line 2: train.epochs is 0; it must be at least 1"),
        ('[ "train" ]\n"epochs" = 0', "line 2: train.epochs is 0; it must be at least 1"),
        (
            '[dom]\noperate = "augmix"\nthreshold = 1.0',
            'line 2: operate = "augmix" needs iterations of at least 1, or it would change nothing',
        ),
        ('[data]\nroot = ["' + "a" * 100 + '"]', f'line 2: data.root is ["{"a" * 55}...; it must be text in quotes'),
    ],
)  # fmt: skip
def test_a_problem_is_one_sentence_with_file_line_and_key(file: Path, text: str, said: str) -> None:
    assert problems(file, text) == [f"mine.toml, {said}"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("attack.epsilon=-1", "attack.epsilon is -1; it must be at least 0"),
        ("attack.name=fgms", 'attack.name is "fgms"; it must be one of none, fgsm, pgd'),
        ("train.epochs=many", 'train.epochs is "many" (text); it must be a whole number'),
        ("train.epoch=3", "unknown key train.epoch; did you mean train.epochs?"),
        ("tarin.epochs=3", "unknown section [tarin]; did you mean [train]?"),
        ("dom.operate=augmix", 'operate = "augmix" needs iterations of at least 1, or it would change nothing'),
    ],
)
def test_a_problem_of_an_override_names_it(override: str, said: str) -> None:
    assert set_problems(override) == [f"--set {override}: {said}"]


def test_a_number_that_python_does_not_read_is_said_in_words(file: Path) -> None:
    text = f"[train]\n\nepochs = {'9' * 5000}\n"
    assert problems(file, text) == ["mine.toml: not valid TOML: it has a whole number of more than 64 bits"]


def test_what_a_terminal_would_obey_is_shown_escaped(file: Path) -> None:
    text = '[train]\n"\\u001b[2J" = 1\n[model]\nname = "\\u009b2J"\n'
    allowed = "it must be one of preactresnet18, wideresnet34-10"
    assert problems(file, text) == [
        f'mine.toml, line 4: model.name is "\\u009b2J"; {allowed}',
        'mine.toml, line 2: unknown key train."\\u001b[2J"; the keys of [train] are '
        "epochs, schedule_epochs, batch_size, max_lr, schedule, objective, momentum, weight_decay, seed, precision",
    ]


def test_a_problem_of_two_keys_names_what_was_set_last() -> None:
    (problem,) = set_problems("dom.operate=remove", "dom.iterations=0", "dom.operate=augmix")
    assert problem.startswith("--set dom.operate=augmix: ")
    (problem,) = set_problems("dom.operate=augmix", "dom.iterations=0", "dom.threshold=1")
    assert problem.startswith("--set dom.iterations=0: ")


def test_several_problems_are_several_sentences(file: Path) -> None:
    text = "[train]\nepochs = 0\nmomentum = 1\n\n[model]\nwitdh = 3\n"
    assert sorted(problems(file, text, "train.seed=-1", "model.name=vgg")) == [
        "--set model.name=vgg: model.name is \"vgg\"; it must be one of preactresnet18, wideresnet34-10",
        "--set train.seed=-1: train.seed is -1; it must be at least 0",
        "mine.toml, line 2: train.epochs is 0; it must be at least 1",
        "mine.toml, line 3: train.momentum is 1; it must be less than 1",
        "mine.toml, line 6: unknown key model.witdh; did you mean model.width?",
    ]  # fmt: skip


def test_a_section_that_is_none_is_reported_whatever_is_set(file: Path) -> None:
    said = ["mine.toml, line 1: train is 3; it must be a section: a line [train] with its keys below"]
    assert problems(file, "train = 3", "train.epochs=3") == said
    with pytest.raises(SettingsError, match="train is 3; it must be a section"):
        presets.resolve(str(file), quick=True)


def test_quick_reports_problems_at_their_lines(file: Path) -> None:
    file.write_text("data = 1\n")
    with pytest.raises(SettingsError, match=r"mine.toml, line 1: data is 1; it must be a section"):
        presets.resolve(str(file), quick=True)


NAMES = st.sampled_from(["train", "data", "epochs", "mean", "a.b", "", "ü", "-"]) | st.text(max_size=5)
TABLES = st.recursive(
    st.integers() | st.floats() | st.text(max_size=5) | st.booleans() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(NAMES, TABLES, max_size=4))
def test_any_tables_are_settings_or_problems_with_their_file(tables: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.toml"
        path.write_text(tomli_w.dumps(tables), encoding="utf-8")
        found = attempt(str(path))
        if isinstance(found, Settings):
            assert found == Settings.model_validate(tables)
        else:
            assert [sentence for sentence in found if not sentence.startswith(str(path))] == []
            assert [sentence for sentence in found if printable_line(sentence) != sentence] == []


@settings(max_examples=100)
@given(st.text(alphabet="[]{}=.#\"'\n a1tæ", max_size=40) | st.text(max_size=40))
@example("[train]\n=")
def test_any_text_is_settings_or_a_problem_with_its_file(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.toml"
        path.write_text(text, encoding="utf-8")
        found = attempt(str(path))
        if isinstance(found, list):
            assert [sentence for sentence in found if not sentence.startswith(str(path))] == []
        else:
            assert presets.load(str(path)) in ({}, *({name: {}} for name in Settings.model_fields))


# The settings of a run


@settings(max_examples=20)
@given(any_settings())
def test_the_settings_of_a_run_are_read_back(experiment: Settings) -> None:
    with TemporaryDirectory() as folder:
        run = create(Path(folder), "a", experiment.to_dict(), {})
        assert presets.from_run(run) == experiment


def test_damaged_settings_of_a_run_are_reported_like_a_preset(tmp_path: Path) -> None:
    run = create(tmp_path, "a", {"train": {"epochs": 0}}, {})
    with pytest.raises(SettingsError) as refused:
        presets.from_run(run)
    assert str(refused.value) == f"{run.settings}, line 2: train.epochs is 0; it must be at least 1"
    run.settings.write_text("[train")
    with pytest.raises(SettingsError, match=rf"^{run.settings}, line 1.*: not valid TOML"):
        presets.from_run(run)
    with pytest.raises(SettingsError, match="there is no file"):
        presets.from_run(RunDirectory(tmp_path / "b"))
