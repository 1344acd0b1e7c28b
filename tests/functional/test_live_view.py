"""What a terminal shows while a run is followed: read from a pseudo-terminal."""

from __future__ import annotations

from terminal import Terminal

from domcli.rundir import RunDirectory
from domcli.runs import read_run


def test_bars_losses_and_patterns_are_shown_while_training(cli):
    cli.play("wait")
    terminal = Terminal(cli.command("run", "pgd-dom-re", "--set", "train.epochs=4"))
    terminal.wait_for(r"epochs .* 1/4 +ETA 0:00:08")
    terminal.wait_for(r"train .* 8/8 +1,234 images/s")
    terminal.wait_for(r"natural loss 1\.500  robust loss 2\.250  best PGD-20 31\.00 % \(epoch 1\)")
    terminal.wait_for(r"high-confidence 200 of 1,000 patterns \(20\.00 %\)  removed 160")
    terminal.wait_for(r"epoch +loss +acc %", r"\n +1 +1\.500 +43\.21 +2\.250 +31\.23 +51\.00 +31\.00\*")
    terminal.press(b"\x03")
    terminal.wait_for("stopping: the trainer writes a checkpoint; press Ctrl-C again to kill it")
    assert terminal.end() == 130
    assert "domcli resume pgd-dom-re-seed0" in terminal.text
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is shown again"


def test_the_last_line_of_the_log_is_shown_while_the_trainer_loads(cli):
    cli.play("load")
    terminal = Terminal(cli.command("run", "pgd-dom-re"))
    terminal.wait_for(r"starting \(\d+ s; loading PyTorch and the data\)  downloading: 40 %")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert "stopped after 0 of 200 epochs" in terminal.text


def test_ctrl_c_in_a_terminal_reaches_the_trainer_only_through_domcli(tmp_path, cli):
    cli.play("stubborn")
    terminal = Terminal(cli.command("run", "pgd-dom-re", "--set", "train.epochs=4"))
    terminal.wait_for(r"epochs .* 1/4")
    terminal.press(b"\x03")
    terminal.wait_for("stopping")
    run = RunDirectory(tmp_path / "runs" / "pgd-dom-re-seed0")
    assert read_run(run).status == "running"
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert read_run(run).status == "lost"


def test_a_terminal_without_abilities_gets_plain_lines(cli):
    cli.play("finish")
    terminal = Terminal(cli.command("run", "pgd-dom-re", "--set", "train.epochs=4"), term="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert "finished after 4 of 4 epochs" in terminal.text


def test_the_error_is_marked_red_in_a_terminal(cli):
    cli.play("finish")
    terminal = Terminal(cli.command("run", "nonsense"))
    assert terminal.end() == 2
    assert "\x1b[1;31merror:\x1b[0m unknown preset" in terminal.raw
