"""Published files: checked by MD5, downloaded when missing or damaged, unpacked, and only then used."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import sys
import tarfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from domcli.errors import DataError
from domcli.trainer.datasets.files import aside, locked, reason

TIMEOUT_SECONDS = 30
"""Longest silence of the server."""
REPORT_SECONDS = 5.0
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Source:
    """One published file: a data file, or an archive with the data files `unpacked` (path under the root, MD5)."""

    dataset: str
    url: str
    filename: str
    md5: str
    unpacked: tuple[tuple[str, str], ...] = ()

    def unusable(self, root: Path) -> list[str]:
        """Return a description of every data file under `root` that is missing or not as published."""
        files = self.unpacked or ((self.filename, self.md5),)
        return [
            f"{name} is {'damaged (its MD5 checksum is wrong)' if (root / name).exists() else 'missing'}"
            for name, md5 in files
            if not is_published(root / name, md5)
        ]


def is_published(path: Path, md5: str) -> bool:
    """Tell whether the file is there and has this checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == md5


def obtain(source: Source, root: Path) -> None:
    """Leave the data files of `source` under `root`, exactly as published; no network is touched if they are there.

    Raises DataError with what was looked for, where, and how to get it. A failure leaves nothing new behind.
    """
    if not source.unusable(root):
        return
    created = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root) as alone:
            # Another trainer may have brought the files while this one waited for the lock.
            if source.unusable(root):
                with aside(root, alone=alone) as part:
                    _bring(source, root, part)
    except OSError as error:
        raise _failure(source, root, f"it cannot be stored there: {reason(error)}") from error
    finally:
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _bring(source: Source, root: Path, part: Path) -> None:
    from torchvision.datasets.utils import extract_archive

    archive = root / source.filename
    if not is_published(archive, source.md5):
        _download(source, root, part / source.filename)
        (part / source.filename).replace(archive)
    if not source.unpacked:
        return
    try:
        extract_archive(str(archive), str(part))
        for name, _ in source.unpacked:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).replace(root / name)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f"{source.dataset}: {archive} cannot be unpacked: {reason(error)}") from error
    if wrong := source.unusable(root):
        raise DataError(f"{source.dataset}: {archive} was unpacked, but in {root} {wrong[0]}")


def _download(source: Source, root: Path, target: Path) -> None:
    """Fetch the file; raises DataError if it does not come, or not as published."""
    request = urllib.request.Request(source.url, headers={"User-Agent": "domcli"})
    _report(f"{source.dataset}: downloading {source.url} to {root}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            expected = response.length
            received = _receive(source, response, target)
    except urllib.error.HTTPError as error:
        raise _failure(source, root, f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _failure(source, root, reason(error)) from error
    if expected is not None and received < expected:
        raise _failure(source, root, f"the connection broke off after {received} of {expected} bytes")
    if not is_published(target, source.md5):
        raise _failure(source, root, f"what came, {received} bytes, has the wrong MD5 checksum")
    _report(f"{source.dataset}: {source.filename} is complete, {_megabytes(received)} MB")


def _receive(source: Source, response: http.client.HTTPResponse, target: Path) -> int:
    """Copy the response into the file, with a line of progress every few seconds; return the number of bytes."""
    total = f" of {_megabytes(response.length)}" if response.length is not None else ""
    received, reported = 0, time.monotonic()
    with target.open("wb") as file:
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
            if time.monotonic() - reported >= REPORT_SECONDS:
                _report(f"{source.dataset}: {source.filename}, {_megabytes(received)}{total} MB")
                reported = time.monotonic()
    return received


def _failure(source: Source, root: Path, why: str) -> DataError:
    wrong = source.unusable(root)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return DataError(
        f"{source.dataset}: in {root} {wrong[0]}{more}, and {source.url} cannot be downloaded: {why}; get that file"
        f" elsewhere and put it there as {source.filename}, or set data.root to a folder that has it"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
