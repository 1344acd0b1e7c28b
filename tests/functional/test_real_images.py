"""Folders of somebody's own images, from the command line through the real trainer."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domcli.rundir import RunDirectory

TINY = (
    *("natural-dom-re", "--device", "cpu", "--set", "data.dataset=imagefolder", "--set", "data.root=images"),
    *("--set", "model.width=2", "--set", "train.epochs=2", "--set", "train.batch_size=4"),
    *("--set", "train.precision=float32"),
)
CLASS = os.fsdecode(b"caf\xe9 \x1b[31m")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, one of an odd name, with images of odd names and some in an inner folder."""
    names = ("0.png", os.fsdecode(b"\xff\n.png"), "inner/1.PNG", "inner/\x1b]0;title\x07.png")
    for seed, name in enumerate(names):
        for split in ("train", "test"):
            for label in ("dog", CLASS):
                path = tmp_path / "images" / split / label / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path, "PNG")
    return tmp_path / "images"


def test_images_and_classes_of_any_name_train(cli, tmp_path, images):
    done = cli("run", *TINY, "--name", "mine", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["state"], found["epoch"]) == ("finished", 2)
    run = RunDirectory(tmp_path / "runs" / "mine")
    started = json.loads(run.events.read_bytes().splitlines()[0])
    assert (started["kind"], started["train_size"], started["test_size"], started["classes"]) == ("started", 8, 8, 2)
    log = run.log.read_text("utf-8")
    assert rf"imagefolder: warning: {images}/train/caf\xe9 \x1b[31m/inner/" in log
    assert f"imagefolder: reading 16 images of {images}" in log
    assert "\x1b" not in log
    assert cli("export", "mine", "--csv", "mine.csv").returncode == 0


def test_a_bad_image_of_any_name_is_named(cli, tmp_path, images):
    (images / "train" / CLASS / os.fsdecode(b"\xe9.png")).write_text("no image")
    done = cli("run", *TINY)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        rf"error: {images}/train/caf\xe9 \x1b[31m/\xe9.png is not an image: its content is none of JPEG"
    )
    assert "\x1b" not in done.stderr


def test_a_bad_image_in_a_run_of_the_queue_is_its_reason(cli, tmp_path, images, until):
    (images / "train" / CLASS / os.fsdecode(b"\xe9.png")).write_text("no image")
    assert cli("run", *TINY, "--name", "mine", "--detach").returncode == 0
    until(lambda: [run["state"] for run in cli.json("runs", "--json")] == ["failed"])
    assert r"\x1b[31m/\xe9.png is not an image" in json.dumps(cli.json("show", "mine", "--json")).replace(r"\\", "\\")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_before_anything_is_trained(cli, tmp_path, images, kind):
    file = images / "train" / "dog" / "z.png"
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    done = cli("run", *TINY)
    assert done.returncode == 2
    what = "a named pipe" if kind == "pipe" else "a device"
    assert done.stderr.splitlines()[-1] == f"error: cannot read {file}: Is {what}, not a regular file"


def test_classes_that_a_part_leaves_out_are_told(cli, tmp_path):
    few = ("--quick", "--set", "data.train_images=5", "--set", "data.test_images=20", "--set", "model.width=2")
    done = cli("run", "natural-dom-re", *few, "--set", "train.epochs=2", "--name", "mine", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    warning = "warning: 5 of 10 classes have none of the 5 training images that are used: 5, 6, 7, 8, 9"
    assert re.search(f"^{warning}$", RunDirectory(tmp_path / "runs" / "mine").log.read_text(), re.MULTILINE)
