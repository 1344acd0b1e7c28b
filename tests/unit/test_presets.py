from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from preset_problems import attempt, problems, set_problems

from domcli import presets
from domcli.errors import SettingsError
from domcli.settings import Settings

PAPER = {
    # name: attack, DOM, max lr, epochs, T, gamma, beta
    "natural-dom-re": ("none", "remove", 0.1, 300, 0.2, 0, 0.0),
    "natural-dom-augmix": ("none", "augmix", 0.1, 300, 0.2, 3, 0.5),
    "natural-dom-randaugment": ("none", "randaugment", 0.1, 300, 0.2, 3, 0.1),
    "pgd-dom-re": ("pgd", "remove", 0.1, 200, 1.5, 0, 0.0),
    "pgd-dom-augmix": ("pgd", "augmix", 0.1, 200, 1.5, 2, 0.5),
    "pgd-dom-randaugment": ("pgd", "randaugment", 0.1, 200, 1.5, 2, 0.0),
    "fgsm-dom-re": ("fgsm", "remove", 0.2, 100, 2.0, 0, 0.0),
    "fgsm-dom-augmix": ("fgsm", "augmix", 0.2, 100, 2.0, 5, 0.5),
    "fgsm-dom-randaugment": ("fgsm", "randaugment", 0.2, 100, 2.0, 3, 0.1),
}
PARADIGMS = {
    # attack, step size, evaluation, schedule, title, table
    "natural": ("none", 2.0, "none", "piecewise", "Natural training", "Table 2"),
    "pgd": ("pgd", 2.0, "pgd", "piecewise", "PGD-10 adversarial training", "Table 3"),
    "fgsm": ("fgsm", 10.0, "pgd", "cyclical", "RS-FGSM adversarial training", "Table 4"),
}
BASELINES = {"baseline": "none", "augmix": "augmix", "randaugment": "randaugment"}
ALL = [info.name for info in presets.available()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


# What comes with domcli


def test_the_presets_are_listed_by_paradigm_in_the_order_of_the_paper() -> None:
    methods = ("dom-re", "dom-augmix", "dom-randaugment", "baseline", "augmix", "randaugment")
    assert [f"{paradigm}-{method}" for paradigm in PARADIGMS for method in methods] == ALL


@pytest.mark.parametrize("name", PAPER)
def test_a_dom_preset_holds_the_papers_settings(name: str) -> None:
    found = presets.resolve(name)
    attack, operate, max_lr, epochs, threshold, iterations, strength = PAPER[name]
    assert (found.attack.name, found.dom.operate, found.train.max_lr, found.train.epochs) == (
        attack,
        operate,
        max_lr,
        epochs,
    )
    assert (found.dom.threshold, found.dom.iterations, found.dom.strength) == (threshold, iterations, strength)
    assert (found.dom.warmup, found.data.augment) == (0.5, "none")


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_is_the_paradigm_without_dom(paradigm: str, baseline: str) -> None:
    with_dom = presets.resolve(f"{paradigm}-dom-re").to_dict()
    with_dom["dom"]["operate"] = "none"
    with_dom["data"]["augment"] = BASELINES[baseline]
    assert presets.resolve(f"{paradigm}-{baseline}").to_dict() == with_dom


@pytest.mark.parametrize("name", ALL)
def test_every_preset_trains_as_its_paradigm_does(name: str) -> None:
    found = presets.resolve(name)
    attack, alpha, evaluation, schedule, title, table = PARADIGMS[name.partition("-")[0]]
    assert (found.attack.name, found.attack.alpha, found.attack.steps) == (attack, alpha, 10)
    assert (found.attack.norm, found.attack.epsilon, found.attack.restarts) == ("linf", 8.0, 1)
    assert (found.evaluation.attack, found.evaluation.steps, found.train.schedule) == (evaluation, 20, schedule)
    assert (found.data.dataset, found.model.name, found.model.width) == ("cifar10", "preactresnet18", 64)
    assert (found.train.batch_size, found.train.momentum, found.train.weight_decay) == (128, 0.9, 5e-4)
    (description,) = (info.description for info in presets.available() if info.name == name)
    assert description.startswith(f"{title} with")
    assert description.endswith(f"(paper, {table}: CIFAR-10, PreActResNet-18)")


@pytest.mark.parametrize("name", ALL)
def test_a_preset_states_what_differs_from_the_defaults_and_nothing_else(name: str) -> None:
    defaults = Settings().to_dict()
    stated = [(section, key, value) for section, table in presets.load(name).items() for key, value in table.items()]
    assert [(section, key) for section, key, value in stated if defaults[section].get(key) == value] == []
    assert all(presets.load(name).values())


@pytest.mark.parametrize("name", ALL)
def test_a_preset_begins_with_its_description(name: str) -> None:
    (info,) = (info for info in presets.available() if info.name == name)
    assert info.path.name == f"{name}.toml"
    assert info.path.read_text().startswith(f"# {info.description}\n")


def test_listing_and_loading_presets_does_without_pydantic() -> None:
    code = (
        "import sys; from domcli import presets; presets.available(); presets.load('pgd-dom-re');"
        "print([name for name in ('pydantic', 'domcli.settings', 'torch', 'rich') if name in sys.modules])"
    )
    root = Path(presets.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_installed_package_carries_the_presets_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "__file__", str(tmp_path / "domcli" / "presets.py"))
    with pytest.raises(SettingsError, match=r"presets are missing from the installation in .*domcli; install"):
        presets.available()
    for folder, name in (("presets", "beside"), ("domcli/_presets", "inside")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{name}.toml").write_text(f"# The preset {name}\n")
        assert [(info.name, info.description) for info in presets.available()] == [(name, f"The preset {name}")]


def test_presets_of_ones_own_come_last_in_their_paradigm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "__file__", str(tmp_path / "domcli" / "presets.py"))
    (tmp_path / "presets").mkdir()
    for name in ("zeta", "pgd-b", "pgd-a", "pgd-baseline", "natural-x"):
        (tmp_path / "presets" / f"{name}.toml").write_text("")
    assert [info.name for info in presets.available()] == ["natural-x", "pgd-baseline", "pgd-a", "pgd-b", "zeta"]
    assert {info.description for info in presets.available()} == {""}


# Finding and reading


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pgd-dom-er", "did you mean pgd-dom-re"),
        ("natural-baselin", "did you mean natural-baseline"),
        ("PGD_DOM_RE", "did you mean pgd-dom-re?"),
        ("zzz", "`domcli presets` lists them, and a file ends in .toml"),
        ("", "`domcli presets` lists them, and a file ends in .toml"),
    ],
)
def test_an_unknown_preset_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        presets.load(name)
    assert str(refused.value).startswith(f"unknown preset {name!r}; {hint}")


def test_a_file_without_ending_is_suggested_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("[train]\nepochs = 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"did you mean the file ./mine\?"):
        presets.load("mine")
    assert presets.load("./mine") == {"train": {"epochs": 3}}


def test_a_file_of_ones_own_works_like_a_preset(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("# Mine\n[train]\nepochs = 3\n")
    assert presets.load(str(file)) == {"train": {"epochs": 3}}
    monkeypatch.chdir(file.parent)
    assert presets.resolve("mine.toml") == Settings.model_validate({"train": {"epochs": 3}})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^there is no file some/where.toml; give"):
        presets.load("some/where.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^cannot read {tmp_path}: Is a folder, not a regular file$"):
        presets.load(str(tmp_path))


def test_text_in_another_encoding_is_refused(file: Path) -> None:
    file.write_bytes("[data]\nroot = 'Übung'\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"mine.toml is not UTF-8 text"):
        presets.load(str(file))


def test_a_byte_order_mark_is_no_problem(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[train]\r\nepochs = 3\r\n")
    assert presets.load(str(file)) == {"train": {"epochs": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nepochs = \n", "mine.toml, line 2, column 10: not valid TOML: invalid value"),
        ("[train\n", "mine.toml, line 1, column 7: not valid TOML: "),
        ("[data]\nmean = [0.5\n", "mine.toml, line 2: not valid TOML: unclosed array"),
        ("[train]\nepochs = 3\nepochs = 4\n", "mine.toml, line 3, column 11: not valid TOML: a key or section stands"),
        ("[train]\n[train]\n", "mine.toml, line 2, column 7: not valid TOML: a key or section stands"),
        ("[train]\nepochs = " + "[" * 100_000, "mine.toml: not valid TOML: "),
        ("[train]\nepochs = " + "1" * 10_000, "mine.toml: not valid TOML: "),
    ],
)
def test_bad_toml_is_named_with_its_line(file: Path, text: str, said: str) -> None:
    (problem,) = problems(file, text)
    assert problem.startswith(said)


# Overrides and quick


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        ("attack.name=fgsm", "attack", "name", "fgsm"),
        ('attack.name="fgsm"', "attack", "name", "fgsm"),
        ("attack.epsilon=4", "attack", "epsilon", 4.0),
        ("train.weight_decay=1e-4", "train", "weight_decay", 1e-4),
        ("data.root=/some/dir", "data", "root", "/some/dir"),
        ("data.root=~/a=b #1", "data", "root", "~/a=b #1"),
        ("data.root='1'\nepochs = 2", "data", "root", "'1'\nepochs = 2"),
        ("data.mean=[0.5, 1]", "data", "mean", (0.5, 1.0)),
        ("evaluation.train_attack=true", "evaluation", "train_attack", True),
        (" train . epochs = 3", "train", "epochs", 3),
        ("model.name=wideresnet34-10", "model", "name", "wideresnet34-10"),
    ],
)
def test_an_override_is_a_toml_value_or_text(override: str, section: str, key: str, value: Any) -> None:
    assert getattr(getattr(presets.resolve("pgd-dom-re", [override]), section), key) == value


def test_the_last_override_wins() -> None:
    assert presets.resolve("natural-dom-re", ["train.epochs=3", "train.epochs=4"]).train.epochs == 4
    assert set_problems("train.epochs=3", "train.epochs=0") == [
        "--set train.epochs=0: train.epochs is 0; it must be at least 1"
    ]


def test_an_override_mends_what_is_wrong_in_the_file(file: Path) -> None:
    file.write_text("[train]\nepochs = 0\n")
    assert presets.resolve(str(file), ["train.epochs=1"]).train.epochs == 1


@pytest.mark.parametrize(
    "override", ["", "epochs", "epochs=3", "train=3", "train.=3", ".epochs=3", "a.b.c=3", "train.epochs"]
)
def test_an_override_that_is_none_is_refused(override: str) -> None:
    assert set_problems(override) == [f"--set {override}: write section.key=value, for example --set train.epochs=100"]


@given(st.text(max_size=40))
def test_whatever_text_is_set_arrives_or_is_refused(value: str) -> None:
    found = attempt("pgd-dom-re", f"data.root={value}")
    if isinstance(found, Settings):
        assert found.data.root == value.strip() or tomli.loads(f"value = {value}") == {"value": found.data.root}
    else:
        assert found[0].startswith("--set data.root=")


@pytest.mark.parametrize("name", ALL)
def test_quick_shrinks_a_preset_and_keeps_its_method(name: str) -> None:
    whole, quick = presets.resolve(name).to_dict(), presets.resolve(name, quick=True).to_dict()
    for section, table in presets.QUICK.items():
        assert {key: quick[section][key] for key in table} == table
        whole[section].update(table)
    assert quick == whole
    assert quick["data"]["dataset"] == "digits"
    assert quick["train"]["epochs"] * quick["dom"]["warmup"] >= 1


def test_quick_forgets_what_belongs_to_another_data_set(file: Path) -> None:
    text = "[data]\nmean = [0.5]\nstd = [0.5]\ntrain_images = 9\ntest_images = 9\nroot = 'here'\naugment = 'augmix'\n"
    file.write_text(f"{text}[model]\nname = 'wideresnet34-10'\n")
    assert presets.resolve(str(file), quick=True).to_dict()["data"] == {
        "dataset": "digits",
        "root": "here",
        "train_images": 1000,
        "test_images": 200,
        "augment": "augmix",
    }
    assert presets.resolve(str(file), quick=True).model.name == "preactresnet18"


def test_overrides_win_over_quick() -> None:
    found = presets.resolve("pgd-dom-re", ["train.epochs=3", "data.mean=[0.5]"], quick=True)
    assert (found.train.epochs, found.data.mean, found.data.dataset) == (3, (0.5,), "digits")


def test_tables_that_were_read_before_are_left_as_they_are() -> None:
    tables = {"train": {"epochs": 3}, "data": {"mean": [0.5]}}
    assert presets.resolve_tables(tables, "here", ["train.seed=1"], quick=True).train.seed == 1
    assert tables == {"train": {"epochs": 3}, "data": {"mean": [0.5]}}
    with pytest.raises(SettingsError, match=r"^here: train.epochs is 0; it must be at least 1$"):
        presets.resolve_tables({"train": {"epochs": 0}}, "here")
