from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import any_settings

from domcli import presets
from domcli.errors import SettingsError
from domcli.rundir import RunDirectory, create
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
    with pytest.raises(SettingsError, match=rf"^cannot read {tmp_path}: Is a directory$"):
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


# Problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\n\nbatch_size = 0 # none", "line 3: train.batch_size is 0; it must be at least 1"),
        ('[train]\nepochs = "200"', 'line 2: train.epochs is "200" (text); it must be a whole number'),
        ("[train]\nepochs = 1.5", "line 2: train.epochs is 1.5; it must be a whole number"),
        ("[train]\nepochs = 100_001", "line 2: train.epochs is 100001; it must be at most 100000"),
        ("[train]\nseed = 4294967296", "line 2: train.seed is 4294967296; it must be less than 4294967296"),
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
            "data, model, train, attack, dom, evaluation, checkpoint, memorization",
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


def test_what_a_terminal_would_obey_is_shown_escaped(file: Path) -> None:
    text = '[train]\n"\\u001b[2J" = 1\n[model]\nname = "\\u009b2J"\n'
    allowed = "it must be one of preactresnet18, wideresnet34-10"
    assert problems(file, text) == [
        f'mine.toml, line 4: model.name is "\\u009b2J"; {allowed}',
        'mine.toml, line 1: unknown key train."\\u001b[2J"; the keys of [train] are '
        "epochs, batch_size, max_lr, schedule, momentum, weight_decay, seed, precision",
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
            assert [sentence for sentence in found if not sentence.isprintable()] == []


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
