"""Archives of images, unpacked once."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from domcli.errors import DataError


def unpack(archive: Path, folder: Path) -> Path:
    """Return the folder with train/CLASS/* and test/CLASS/* of an archive, unpacked there unless it is there already.

    It is unpacked aside and renamed, so it is whole or not there. Raises DataError for an archive that cannot be read.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(aside, filter="data")
        aside.chmod(0o755)
        aside.rename(folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder
