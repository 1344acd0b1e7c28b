"""benchmarks/gpu/images.py: archives of pictures, unpacked whole or not at all."""

from __future__ import annotations

import io
import lzma
import os
import re
import tarfile

import pytest
from images import make, unpack

from domcli.errors import DataError


def test_an_archive_is_unpacked_whole_or_not_at_all(tmp_path):
    made = make(tmp_path / "made", train=20, test=10)
    archive = tmp_path / "images.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for part in ("train", "test"):
            tar.add(made / part, part)
    folder = unpack(archive, tmp_path / "unpacked")
    names = sorted(path.relative_to(made) for path in made.rglob("*.png"))
    assert len(names) == 30
    assert sorted(path.relative_to(folder) for path in folder.rglob("*.png")) == names
    assert unpack(tmp_path / "no longer needed", folder) == folder


@pytest.mark.parametrize("broken", ["no test", "outside", "cut off", "no archive", "no end"])
def test_an_archive_that_is_amiss_leaves_nothing(tmp_path, broken):
    archive, place = tmp_path / "images.tar", tmp_path / "place"
    place.mkdir()
    with tarfile.open(archive, "w") as tar:
        name = tarfile.TarInfo("../outside" if broken == "outside" else "train/a/1.jpg")
        name.size = 3000
        tar.addfile(name, io.BytesIO(b"x" * 3000))
    if broken == "cut off":
        archive.write_bytes(archive.read_bytes()[:1000])
    if broken == "no archive":
        archive.write_text("no archive at all")
    if broken == "no end":
        archive.write_bytes(lzma.compress(os.urandom(30000) + archive.read_bytes())[:9000])
    with pytest.raises(DataError, match=r"images\.tar") as refused:
        unpack(archive, place / "unpacked")
    assert re.fullmatch(r"[^\n]*[^\n:]", str(refused.value))
    assert list(place.iterdir()) == []
    assert not (tmp_path / "outside").exists()
