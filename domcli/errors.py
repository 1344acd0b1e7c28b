"""Everything that can go wrong in a way a person can mend; tracebacks are for bugs."""

from __future__ import annotations

from domcli.printable import printable_line


class DomcliError(Exception):
    """Base of all expected failures: one clear sentence, or one for each problem. The shell sees `exit_code`.

    Names of files and runs may hold anything. Each sentence is made printable, and stays one line: nobody's name can
    look like another sentence.
    """

    exit_code = 2

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(map(printable_line, sentences)))

    @property
    def sentences(self) -> list[str]:
        return str(self).split("\n")


class SettingsError(DomcliError):
    """A preset, settings file or override is not usable: names the file, the key and what would be right."""


class DataError(DomcliError):
    """A data set is missing, incomplete or damaged: names what was looked for, where, and how to get it."""


class DeviceError(DomcliError):
    """The device asked for is not on this machine."""


class RunDirectoryError(DomcliError):
    """A run directory cannot be created, found or read."""


class EventStreamError(DomcliError):
    """An event stream is damaged or was written by a newer domcli."""


class ProcessError(DomcliError):
    """A trainer cannot be started, or is not in a state in which it can be stopped or resumed."""


class CheckpointError(DomcliError):
    """A checkpoint is missing, damaged or belongs to other settings."""


class StorageError(DomcliError):
    """Files cannot be written: the disk is full or the folder is read-only."""


class NoRoomError(StorageError):
    """A disk has not enough room for what is to be written."""


class NonFiniteLossError(DomcliError):
    """Training diverged: a loss became infinite or not a number."""

    exit_code = 1
