"""`domcli evaluate`: what is asked is done once, progress is told, and every ending has its words and exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import fake_trainer
import msgspec
import pytest
from measured import remember_that_two_are_best
from terminal import Terminal

from domcli import evaluations, rundir
from domcli.cli import evaluating
from domcli.devices import CPU
from domcli.events import Finished, encode
from domcli.launch import slots
from domcli.presets import resolve
from domcli.rundir import RunDirectory

HERE = Path(__file__).parent
REAL = (
    *("--quick", "--set", "model.width=2", "--set", "data.train_images=100", "--set", "data.test_images=20"),
    *("--set", "train.epochs=1", "--set", "train.precision=float32", "--device", "cpu"),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run with something that looks like a checkpoint, on a machine of which nothing is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = resolve("pgd-dom-re", [])
    made = rundir.create(tmp_path / "runs", "a-run", settings.to_dict(), {"preset": "pgd-dom-re"})
    header = json.dumps({"__metadata__": {"domcli": '{"epoch": 7, "step": 0}'}}).encode()
    made.checkpoint("best").write_bytes(len(header).to_bytes(8, "little") + header)
    return made


@pytest.fixture
def attack(cli, monkeypatch):
    """Run `domcli evaluate` on the CPU with a fake process that plays a scenario."""
    monkeypatch.setattr(evaluating, "PROCESS", (sys.executable, str(HERE / "fake_assess.py")))

    def evaluate(*arguments, scenario="finish"):
        monkeypatch.setenv("FAKE_ASSESS", scenario)
        device = () if "--device" in arguments else ("--device", "cpu")
        return cli("evaluate", "a-run", *device, *arguments)

    return evaluate


def test_a_result_is_shown_and_kept(attack, run):
    done = attack("--steps", "50", "--restarts", "10")
    assert done.returncode == 0, done.stderr
    assert "a-run: PGD-50-10 on best (epoch 7)" in done.stdout
    assert "accuracy  40.00 % of 10 test images" in done.stdout
    assert "natural   80.00 %" in done.stdout
    assert "L-infinity, epsilon 8/255, 50 steps of 2/255, 10 random starts" in done.stdout
    assert "0:01:05 on cpu" in done.stdout
    assert done.stderr.splitlines()[1:] == ["natural: 80.00 % still correct", "pgd: 40.00 % still correct"]
    (found,) = evaluations.read_all(run)
    assert (found.plan.steps, found.plan.restarts) == (50, 10)


def test_what_was_measured_is_not_measured_again(attack, run):
    first = attack("--json")
    again = attack("--json", scenario="refuse")
    assert (again.returncode, json.loads(again.stdout)) == (0, json.loads(first.stdout))
    assert "measured before" in again.stderr
    assert attack("--epsilon", "4", scenario="refuse").returncode == 2


def test_a_strength_on_another_scale_is_warned_of_and_measured(attack, run):
    done = attack("--epsilon", "0.03", "--alpha", ".01")
    assert done.returncode == 0
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in warned] == ["--epsilon", "--alpha"]
    assert "write 7.65" in warned[0]
    assert "warning" not in attack("--epsilon", "4").stderr


def test_the_run_shows_its_evaluations(attack, cli, run):
    attack("--steps", "50")
    attack("--attack", "autoattack", "--images", "5")
    lines = cli("show", "a-run").stdout.splitlines()
    at = lines.index("evaluations")
    assert lines[at + 1].startswith("  AutoAttack on best (epoch 7): 40.00 % of 5 of 10 test images (natural ")
    assert lines[at + 2].startswith("  PGD-50 on best (epoch 7): 40.00 % of 10 test images (natural 80.00 %), L-inf")
    found = cli.json("show", "a-run", "--json")["evaluations"]
    assert [(one["title"], one["accuracy"]) for one in found] == [("AutoAttack", 0.4), ("PGD-50", 0.4)]


def trained(run: RunDirectory, precision: str = "bfloat16") -> None:
    """Give the run seven epochs in this precision."""
    started = msgspec.structs.replace(fake_trainer.started(7, "cpu", 0), precision=precision)
    ends = [fake_trainer.epoch_end(number, 7) for number in range(1, 8)]
    run.events.write_bytes(b"".join(map(encode, [started, *ends, Finished(seconds=1.0)])))


def test_what_the_training_measured_stands_beside_it(attack, cli, run):
    trained(run)
    test = fake_trainer.epoch_end(7, 7).test
    words = f"natural {100 * test.natural_accuracy:.2f} %, PGD-20 {100 * test.pgd_accuracy:.2f} % (bfloat16)"
    done = attack("--steps", "50")
    assert f"during training  {words}" in done.stdout
    assert "10 random" not in done.stdout
    assert "1 random start, in float32" in done.stdout
    assert f"    during training: {words}" in cli("show", "a-run").stdout.splitlines()
    found = json.loads(attack("--steps", "50", "--json").stdout)["during_training"]
    assert found == {
        "natural_accuracy": test.natural_accuracy,
        "pgd_accuracy": test.pgd_accuracy,
        "precision": "bfloat16",
    }


def test_where_the_training_measured_nothing_nothing_is_said_of_it(attack, run):
    done = attack("--steps", "50")
    assert "during training" not in done.stdout
    assert json.loads(attack("--steps", "50", "--json").stdout)["during_training"] is None


def test_json_has_the_plan_and_the_numbers(attack, run):
    found = json.loads(attack("--attack", "autoattack", "--norm", "l2", "--images", "5", "--json").stdout)
    assert (found["run"], found["title"], found["checkpoint"]) == (
        "a-run",
        "AutoAttack",
        "checkpoints/best.safetensors",
    )
    assert (found["attack"], found["norm"], found["epoch"]) == ("autoattack", "l2", 7)
    assert (found["accuracy"], found["images"], found["test_images"]) == (0.4, 5, 10)
    assert list(found["stages"]) == ["natural", "apgd-ce", "square"]
    assert Path(found["path"], "result.json").is_file()


def test_square_attack_that_lowers_the_accuracy_is_pointed_out(attack, run):
    done = attack("--attack", "autoattack", "--images", "5")
    assert "left after  natural 80.00 %  apgd-ce 50.00 %  square 40.00 %" in done.stdout
    assert "40.00 % of 5 of 10 test images" in done.stdout
    assert "gradients may be masked" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--attack", "autoattack", "--steps", "5"), "AutoAttack has no --steps"),
        (("--checkpoint", "last"), "a-run has no checkpoint 'last', and there is no such file; it has best"),
        (("--alpha", "0"), "--alpha is 0"),
        (("--images", "0"), "--images is 0"),
        (("--attack", "fgsm"), "fgsm"),
        (("--device", "tpu"), "unknown device 'tpu'"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_made(attack, run, arguments, words):
    done = attack(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not run.evaluations.exists()


@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("refuse", 2, "error: the data set is gone"),
        ("fail", 1, "error: the evaluation of a-run failed: ValueError: what now (log: "),
        ("die", 1, "error: the evaluation of a-run was killed (SIGKILL); the same command goes on"),
    ],
)
def test_an_evaluation_that_does_not_end_well_says_why(attack, run, scenario, code, words):
    done = attack(scenario=scenario)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert evaluations.read_all(run) == []
    assert attack().returncode == 0


def begin(cli, monkeypatch, scenario: str) -> subprocess.Popen[str]:
    monkeypatch.setenv("FAKE_ASSESS", scenario)
    command = [sys.executable, str(HERE / "cli_with_fake_assess.py"), "evaluate", "a-run", "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("scenario", ["wait", "stubborn"])
def test_ctrl_c_stops_it_and_a_second_one_kills(cli, run, tmp_path, monkeypatch, until, scenario):
    process = begin(cli, monkeypatch, scenario)
    until(lambda: (tmp_path / "waiting").exists())
    process.send_signal(signal.SIGINT)
    if scenario == "stubborn":
        assert process.stderr is not None
        while "press Ctrl-C again to kill it" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "a-run: stopped; what was found is kept, and the same command goes on from there"


def test_a_terminal_shows_a_bar_and_what_ctrl_c_does(cli, run, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_ASSESS", "wait")
    command = [sys.executable, str(HERE / "cli_with_fake_assess.py"), "evaluate", "a-run", "--device", "cpu"]
    terminal = Terminal(command)
    terminal.wait_for(r"pgd +[^ ]+ +3/10 images +70\.00 % still correct +ETA 0:01:05")
    terminal.press(b"\x03")
    terminal.wait_for("stopping; press Ctrl-C again to kill it")
    assert terminal.end() == 130
    assert "the same command goes on from there" in terminal.text


def test_it_waits_for_a_device_that_is_taken(cli, run, tmp_path, monkeypatch, until):
    folder = slots.host_folder(tmp_path / "runs")
    slot = slots.take(folder, [CPU], 1)
    assert slot is not None
    process = begin(cli, monkeypatch, "finish")
    assert process.stderr is not None
    process.stderr.readline()
    assert "waits, cpu is taken; --jobs-per-gpu 2 would not wait" in process.stderr.readline()
    assert evaluations.read_all(run) == []
    slot.close()
    assert process.wait(timeout=60) == 0
    process.communicate()
    assert len(evaluations.read_all(run)) == 1
    assert slots.in_use(folder, CPU) == 0


def test_it_waits_for_a_benchmark_however_many_may_share_the_device(cli, run, tmp_path, monkeypatch):
    kept = slots.keep(slots.host_folder(tmp_path / "runs"), CPU)
    process = begin(cli, monkeypatch, "finish")
    assert process.stderr is not None
    process.stderr.readline()
    assert process.stderr.readline() == "a-run: waits, cpu is taken; a benchmark keeps it for itself\n"
    kept.close()
    assert process.wait(timeout=60) == 0
    process.communicate()


def test_it_shares_a_device_with_as_many_as_are_best(attack, run, tmp_path):
    assert "--jobs-per-gpu many: write auto, or a whole number" in attack("--jobs-per-gpu", "many").stderr
    remember_that_two_are_best("pgd")
    slot = slots.take(slots.host_folder(tmp_path / "runs"), [CPU], 1)
    assert slot is not None
    done = attack()
    slot.close()
    assert done.returncode == 0, done.stderr
    assert "waits" not in done.stderr


def test_while_it_runs_it_holds_its_slot_and_ctrl_c_ends_the_wait_of_another(cli, run, tmp_path, monkeypatch, until):
    first = begin(cli, monkeypatch, "wait")
    until(lambda: (tmp_path / "waiting").exists())
    assert slots.in_use(slots.host_folder(tmp_path / "runs"), CPU) == 1
    second = begin(cli, monkeypatch, "finish")
    assert second.stderr is not None
    second.stderr.readline()
    assert "waits" in second.stderr.readline()
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 130
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM


def test_a_real_checkpoint_is_attacked_and_the_result_lies_in_the_run(cli, tmp_path):
    trained = cli("run", "natural-dom-re", *REAL, "--name", "tiny", "--json")
    assert trained.returncode == 0, trained.stderr
    (summary,) = json.loads(trained.stdout)
    done = cli("evaluate", "tiny", "--checkpoint", "last", "--steps", "2", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["natural_accuracy"] == summary["last"]["natural_accuracy"]
    assert found["accuracy"] <= found["natural_accuracy"]
    assert (found["device"], found["images"], found["epoch"]) == ("cpu", 20, 1)
    assert list((tmp_path / "runs" / "tiny" / "evaluations").iterdir()) == [Path(found["path"])]
