"""CIFAR and SVHN: downloaded from a server of the test's own, checked, read; and everything that can go wrong."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from domcli.catalogue import DATASETS
from domcli.errors import DataError
from domcli.files import read_bytes
from domcli.settings import DataSettings
from domcli.trainer.data import Dataset, load
from domcli.trainer.datasets import download

ARCHIVE = "cifar-10-python.tar.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Server:
    """Serves `files`; `cut` closes the connection after so many bytes."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut: int | None = None
    delay: float = 0.0

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path[1:]
            state.requests.append(name)
            time.sleep(state.delay)
            if name not in state.files:
                self.send_error(404)
                return
            content = state.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: state.cut])

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def pixels(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, 3, 32, 32), dtype=np.uint8)


def publish(monkeypatch: pytest.MonkeyPatch, dataset: str, number: int = 0, **fields: object) -> None:
    """Have one of the published files of a data set be another."""
    entry = DATASETS[dataset]
    downloads = list(entry.downloads)
    downloads[number] = replace(downloads[number], **fields)
    monkeypatch.setitem(DATASETS._entries, dataset, replace(entry, downloads=tuple(downloads)))


def publish_cifar(monkeypatch: pytest.MonkeyPatch, server: Server, dataset: str) -> dict[str, np.ndarray]:
    """Publish three images a file; return the images of each file, N x C x H x W."""
    (real,) = DATASETS[dataset].downloads
    fine = "fine_" if dataset == "cifar100" else ""
    images, files = {}, {}
    for seed, member in enumerate(real.members):
        name = member.path.rpartition("/")[2]
        if name.endswith("meta"):
            content: dict[str, object] = {f"{fine}label_names": [f"class {number}" for number in range(10)]}
        else:
            images[name] = pixels(3, seed)
            content = {"data": images[name].reshape(3, -1), f"{fine}labels": [seed, 1, 2]}
        files[member.path] = pickle.dumps(content)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    server.files[real.name] = archive.getvalue()
    publish(
        monkeypatch,
        dataset,
        url=server.url(real.name),
        md5=md5(archive.getvalue()),
        members=tuple(replace(member, md5=md5(files[member.path])) for member in real.members),
    )
    return images


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, np.ndarray]:
    return publish_cifar(monkeypatch, server, "cifar10")


@pytest.fixture
def svhn(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, np.ndarray]:
    images = {}
    for seed, split in enumerate(("train", "test")):
        images[split] = pixels(4, seed)
        content = io.BytesIO()
        scipy.io.savemat(content, {"X": images[split].transpose(2, 3, 1, 0), "y": np.array([[10], [1], [9], [2]])})
        name = f"{split}_32x32.mat"
        server.files[name] = content.getvalue()
        publish(monkeypatch, "svhn", seed, url=server.url(name), md5=md5(content.getvalue()))
    return images


def read(root: Path, dataset: str = "cifar10", **keys: object) -> Dataset:
    return load(DataSettings.model_validate({"dataset": dataset, "root": str(root), **keys}), torch.device("cpu"))


def refusal(root: Path, dataset: str = "cifar10") -> str:
    with pytest.raises(DataError) as caught:
        read(root, dataset)
    return str(caught.value)


@pytest.mark.parametrize(("name", "known"), [("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)])
def test_addresses_and_checksums_of_cifar_are_those_that_torchvision_knows(name: str, known: type) -> None:
    (archive,) = DATASETS[name].downloads
    assert (archive.url, archive.name, archive.md5) == (known.url, known.filename, known.tgz_md5)
    files = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    assert [(member.path, member.md5) for member in archive.members] == [
        (f"{known.base_folder}/{file}", checksum) for file, checksum in files
    ]


def test_addresses_and_checksums_of_svhn_are_those_that_torchvision_knows() -> None:
    known = datasets.SVHN.split_list
    files = [[one.url, one.name, one.md5] for one in DATASETS["svhn"].downloads]
    assert files == [known["train"], known["test"]]


def test_cifar10_is_downloaded_once_and_read_as_it_is(
    tmp_path: Path, server: Server, cifar: dict[str, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "data"
    data = read(root)
    assert np.array_equal(data.train.images.numpy(), np.concatenate([cifar[f"data_batch_{n}"] for n in range(1, 6)]))
    assert np.array_equal(data.test.images.numpy(), cifar["test_batch"])
    assert data.train.labels.tolist() == [0, 1, 2, 1, 1, 2, 2, 1, 2, 3, 1, 2, 4, 1, 2]
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)
    assert data.class_names[3] == "class 3"
    assert data.classes == 10
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2471, 0.2435, 0.2616)
    output = capfd.readouterr()
    assert output.out == ""
    assert "\r" not in output.err
    assert f"cifar10: downloading {server.url(ARCHIVE)} to {root}\n" in output.err
    assert "cifar10: cifar-10-python.tar.gz is complete" in output.err
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", ARCHIVE]
    read(root)
    assert server.requests == [ARCHIVE]


def test_cifar100(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    images = publish_cifar(monkeypatch, server, "cifar100")
    data = read(tmp_path, "cifar100")
    assert np.array_equal(data.train.images.numpy(), images["train"])
    assert data.test.labels.tolist() == [1, 1, 2]
    assert data.mean == (0.5071, 0.4865, 0.4409)


def test_svhn(tmp_path: Path, server: Server, svhn: dict[str, np.ndarray]) -> None:
    data = read(tmp_path, "svhn")
    assert np.array_equal(data.train.images.numpy(), svhn["train"])
    assert np.array_equal(data.test.images.numpy(), svhn["test"])
    assert data.train.labels.tolist() == [0, 1, 9, 2]
    assert data.train.labels.dtype == torch.int64
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)
    assert data.std == (0.1980, 0.2010, 0.1970)
    read(tmp_path, "svhn")
    assert server.requests == ["train_32x32.mat", "test_32x32.mat"]


@pytest.mark.usefixtures("svhn")
def test_a_part_can_be_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "svhn", train_images=3).train.labels.tolist() == [0, 1, 2]


@pytest.mark.usefixtures("cifar")
def test_an_archive_that_lies_there_is_unpacked_without_the_network(tmp_path: Path, server: Server) -> None:
    (tmp_path / ARCHIVE).write_bytes(server.files[ARCHIVE])
    assert len(read(tmp_path).test.labels) == 3
    assert server.requests == []


@pytest.mark.usefixtures("cifar")
def test_trainers_that_start_together_download_once(tmp_path: Path, server: Server) -> None:
    server.delay = 0.2
    with ThreadPoolExecutor(3) as threads:
        loaded = list(threads.map(read, [tmp_path] * 3))
    assert [len(data.train.labels) for data in loaded] == [15, 15, 15]
    assert server.requests == [ARCHIVE]


@pytest.mark.usefixtures("cifar")
def test_a_refused_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{ARCHIVE}"
        publish(monkeypatch, "cifar10", url=url)
        root = tmp_path / "data"
        assert refusal(root) == (
            f"cifar10: in {root} cifar-10-batches-py/data_batch_1 is missing (and 6 more), and {url} cannot be"
            f" downloaded: Connection refused; get that file elsewhere and put it there as {ARCHIVE}, or set data.root"
            f" to a folder that has it"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("svhn")
def test_a_file_the_server_does_not_have(tmp_path: Path, server: Server) -> None:
    del server.files["test_32x32.mat"]
    message = refusal(tmp_path, "svhn")
    assert f"svhn: in {tmp_path} test_32x32.mat is missing, and {server.url('test_32x32.mat')}" in message
    assert "the server answers 404 Not Found" in message


@pytest.mark.usefixtures("cifar")
def test_a_server_that_hangs_up(tmp_path: Path, server: Server) -> None:
    server.cut = 1000
    size = len(server.files[ARCHIVE])
    assert f"the connection broke off after 1000 of {size} bytes" in refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.cut = None
    assert len(read(tmp_path).train.labels) == 15


@pytest.mark.usefixtures("cifar")
def test_a_server_that_falls_silent(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.05)
    server.delay = 0.3
    assert "cannot be downloaded: timed out" in refusal(tmp_path)


@pytest.mark.usefixtures("cifar")
def test_a_wrong_checksum(tmp_path: Path, server: Server) -> None:
    server.files[ARCHIVE] = b"something else"
    assert "what came, 14 bytes, has the wrong MD5 checksum" in refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("cifar")
def test_an_archive_that_is_none(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "cifar10", md5=md5(b"no archive"))
    server.files[ARCHIVE] = b"no archive"
    assert f"cifar10: {tmp_path / ARCHIVE} cannot be unpacked: " in refusal(tmp_path)


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
@pytest.mark.usefixtures("cifar")
def test_a_damaged_file_is_named_and_never_unpickled(tmp_path: Path, server: Server, name: str) -> None:
    root = tmp_path / "data"
    read(root)
    (root / ARCHIVE).unlink()
    server.files.clear()
    (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    assert f"in {root} cifar-10-batches-py/{name} is damaged (its MD5 checksum is wrong), and http" in refusal(root)
    assert not (tmp_path / "mark").exists()


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "Is a named pipe, not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "Is a device, not a regular file"),
    "folder": (Path.mkdir, "Is a folder, not a regular file"),
    "huge": (lambda path: (path.touch(), os.truncate(path, download.LARGEST_BYTES + 1)), "Has more than 256 MB"),
    "unreadable": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [ARCHIVE, "cifar-10-batches-py/data_batch_2", "cifar-10-batches-py/batches.meta"])
@pytest.mark.usefixtures("cifar")
def test_what_is_no_regular_file_is_refused_by_name_and_left_alone(tmp_path: Path, name: str, kind: str) -> None:
    read(tmp_path)
    make, why = KINDS[kind]
    (tmp_path / name).unlink()
    if name == ARCHIVE:
        (tmp_path / "cifar-10-batches-py/test_batch").unlink()
    make(tmp_path / name)
    before = (tmp_path / name).lstat()
    assert refusal(tmp_path) == f"cannot read {tmp_path / name}: {why}"
    assert os.path.samestat(before, (tmp_path / name).lstat())


@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat"])
@pytest.mark.usefixtures("svhn")
def test_a_pipe_in_place_of_svhn_is_refused_by_name(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert refusal(tmp_path, "svhn") == f"cannot read {tmp_path / name}: Is a named pipe, not a regular file"


@pytest.mark.usefixtures("cifar")
def test_what_is_unpickled_are_the_bytes_whose_checksum_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    expected = read(root)
    taken = []

    def read_then_exchanged(path: Path, most: int) -> bytes:
        content = read_bytes(path, most)
        path.write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
        taken.append(path.name)
        return content

    monkeypatch.setattr(download, "read_bytes", read_then_exchanged)
    data = read(root)
    assert torch.equal(data.train.images, expected.train.images)
    assert taken == [Path(member.path).name for member in DATASETS["cifar10"].downloads[0].members]
    # The archive is exchanged, too, as soon as it has been read: what is unpacked are the bytes that were checked.
    shutil.rmtree(root / "cifar-10-batches-py")
    data = read(root)
    assert torch.equal(data.test.images, expected.test.images)
    assert taken[-1] == ARCHIVE
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("lacking", ["data_batch_3", "batches.meta"])
@pytest.mark.usefixtures("cifar")
def test_an_archive_without_a_file_that_it_must_have(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(server.files[ARCHIVE])) as old, tarfile.open(fileobj=content, mode="w") as new:
        for member in old:
            if not member.name.endswith(lacking):
                new.addfile(member, old.extractfile(member))
    server.files[ARCHIVE] = content.getvalue()
    publish(monkeypatch, "cifar10", md5=md5(content.getvalue()))
    assert refusal(tmp_path) == f"cifar10: in {tmp_path / ARCHIVE} cifar-10-batches-py/{lacking} is missing"
    assert not list(tmp_path.glob(".domcli-part-*"))


@pytest.mark.parametrize("name", [ARCHIVE, "cifar-10-batches-py/data_batch_2", "cifar-10-batches-py/batches.meta"])
@pytest.mark.usefixtures("cifar")
def test_a_damaged_file_is_replaced_when_the_server_has_it(tmp_path: Path, name: str) -> None:
    first = read(tmp_path)
    (tmp_path / name).write_bytes(b"damaged")
    if name == ARCHIVE:
        (tmp_path / "cifar-10-batches-py/test_batch").unlink()
    second = read(tmp_path)
    assert torch.equal(first.train.images, second.train.images)
    assert second.class_names == first.class_names


@pytest.mark.usefixtures("cifar")
def test_a_folder_that_cannot_be_written(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refusal(tmp_path / "file" / "data")
    assert re.search(r"data_batch_1 is missing .* it cannot be stored there: Not a directory", message)
    assert server.requests == []
