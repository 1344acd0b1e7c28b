"""Published files: checked by MD5, downloaded when missing or damaged, unpacked, and only then used."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from domcli.catalogue import Download
from domcli.errors import DataError
from domcli.files import read_bytes
from domcli.trainer.datasets.files import aside, locked, reason, say

TIMEOUT_SECONDS = 30
"""Longest silence of the server."""
REPORT_SECONDS = 5.0
CHUNK_BYTES = 1 << 18
MISSING, DAMAGED = "missing", "damaged (its MD5 checksum is wrong)"
LARGEST_BYTES = 256 << 20
"""More than any published file has, the 182 MB of SVHN's training images being the most."""


@dataclass(frozen=True)
class Source:
    """One published file of a data set: a data file, or an archive with the data files."""

    dataset: str
    file: Download

    def look(self, root: Path) -> tuple[dict[str, bytes], list[str]]:
        """Return the contents of the data files under `root`, and a description of each that is not as published."""
        contents: dict[str, bytes] = {}
        unusable: list[str] = []
        for member in self.file.read:
            contents[member.path], wrong = _content(root / member.path, member.md5)
            unusable += [f"{member.path} is {wrong}"] if wrong else []
        return contents, unusable


def _content(path: Path, md5: str) -> tuple[bytes, str]:
    """Return the very bytes that have this checksum, so that none can change any more; else what is wrong.

    Raises DataError for what is no file that can be read: that is not replaced.
    """
    try:
        content = read_bytes(path, LARGEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b"", MISSING
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason(error)}") from error
    return (content, "") if _has(content, md5) else (b"", DAMAGED)


def _has(content: bytes, md5: str) -> bool:
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == md5


def obtain(source: Source, root: Path) -> dict[str, bytes]:
    """Return the contents of the data files of `source`, exactly as published, and leave the files under `root`.

    No network is touched if they are there. Raises DataError with what was looked for, where, and how to get it. A
    failure leaves nothing new behind.
    """
    contents, unusable = source.look(root)
    if not unusable:
        return contents
    created = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root) as alone:
            # Another trainer may have brought the files while this one waited for the lock.
            contents, unusable = source.look(root)
            if unusable:
                with aside(root, alone=alone) as part:
                    contents = _bring(source, root, part, unusable)
    except OSError as error:
        raise _failure(source, root, unusable, f"it cannot be stored there: {reason(error)}") from error
    finally:
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return contents


def _bring(source: Source, root: Path, part: Path, unusable: list[str]) -> dict[str, bytes]:
    archive = root / source.file.name
    content, wrong = _content(archive, source.file.md5)
    if wrong:
        content = _download(source, root, part / source.file.name, unusable)
        (part / source.file.name).replace(archive)
    if not source.file.members:
        return {source.file.name: content}
    try:
        contents = _unpack(source, content, root, part)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{source.dataset}: {archive} cannot be unpacked: {reason(error)}") from error
    return contents


def _unpack(source: Source, archive: bytes, root: Path, part: Path) -> dict[str, bytes]:
    """Put the data files of an archive under `root`. Raises DataError, OSError or what tarfile raises."""
    contents = {}
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        for wanted in source.file.members:
            name = wanted.path
            try:
                member = tar.extractfile(name)
            except KeyError:
                member = None
            contents[name] = member.read() if member else b""
            if not _has(contents[name], wanted.md5):
                raise DataError(
                    f"{source.dataset}: in {root / source.file.name} {name} is {DAMAGED if member else MISSING}"
                )
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (part / "unpacked").write_bytes(contents[name])
            (part / "unpacked").replace(root / name)
    return contents


def _download(source: Source, root: Path, target: Path, unusable: list[str]) -> bytes:
    """Fetch the file and return its content; raises DataError if it does not come, or not as published."""
    request = urllib.request.Request(source.file.url, headers={"User-Agent": "domcli"})
    say(f"{source.dataset}: downloading {source.file.url} to {root}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            expected = response.length
            received = _receive(source, response, target)
    except urllib.error.HTTPError as error:
        raise _failure(source, root, unusable, f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _failure(source, root, unusable, reason(error)) from error
    if expected is not None and received < expected:
        raise _failure(source, root, unusable, f"the connection broke off after {received} of {expected} bytes")
    content, wrong = _content(target, source.file.md5)
    if wrong:
        raise _failure(source, root, unusable, f"what came, {received} bytes, has the wrong MD5 checksum")
    say(f"{source.dataset}: {source.file.name} is complete, {_megabytes(received)} MB")
    return content


def _receive(source: Source, response: http.client.HTTPResponse, target: Path) -> int:
    """Copy the response into the file, with a line of progress every few seconds; return the number of bytes."""
    total = f" of {_megabytes(response.length)}" if response.length is not None else ""
    received, reported = 0, time.monotonic()
    with target.open("wb") as file:
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
            if time.monotonic() - reported >= REPORT_SECONDS:
                say(f"{source.dataset}: {source.file.name}, {_megabytes(received)}{total} MB")
                reported = time.monotonic()
    return received


def _failure(source: Source, root: Path, unusable: list[str], why: str) -> DataError:
    more = f" (and {len(unusable) - 1} more)" if len(unusable) > 1 else ""
    return DataError(
        f"{source.dataset}: in {root} {unusable[0]}{more}, and {source.file.url} cannot be downloaded: {why}; get that"
        f" file elsewhere and put it there as {source.file.name}, or set data.root to a folder that has it"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
