"""Locks and slots: who holds them, and that they go with their holder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys

import msgspec
import pytest

from domcli import files, locks, owners
from domcli.devices import CPU, Device
from domcli.errors import StorageError
from domcli.launch import queue, slots

TWO = (Device("cuda:0", "GPU-a"), Device("cuda:1", "GPU-b"))
HOLDER = (sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()")


@pytest.fixture
def folder(tmp_path):
    return slots.host_folder(tmp_path)


def test_no_folder_is_made_where_a_link_is_put_in_place_of_one(tmp_path, monkeypatch):
    runs, precious = tmp_path / "runs", tmp_path / "precious"
    precious.mkdir()
    make = files.make_folder

    def make_and_swap(path, **options):
        make(path, **options)
        path.rename(tmp_path / "away")
        path.symlink_to(precious)

    monkeypatch.setattr(files, "make_folder", make_and_swap)
    with pytest.raises(StorageError, match="cannot write in"):
        slots.host_folder(runs)
    assert list(precious.iterdir()) == []


def hand_over(slot: slots.Slot) -> subprocess.Popen[str]:
    """Start a process that keeps a slot, and let go of it here, as the launcher does."""
    holder = subprocess.Popen(HOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[slot.handle])
    assert holder.stdout.readline() == "ready\n"
    slot.close()
    return holder


def test_a_lock_is_held_once_and_free_when_closed(tmp_path):
    path = tmp_path / "lock"
    first = locks.acquire(path)
    assert first is not None
    assert locks.is_held(path)
    assert locks.acquire(path) is None
    os.close(first)
    assert not locks.is_held(path)


def test_a_lock_is_not_for_children(tmp_path):
    handle = locks.acquire(tmp_path / "lock")
    assert not os.get_inheritable(handle)
    os.close(handle)


def test_a_lock_that_somebody_keeps_is_waited_for_and_then_told(tmp_path, monkeypatch):
    """Held for moments by those who count slots; held for long, by who wants all the others to wait."""
    path = tmp_path / "lock"
    lock = locks.acquire(path)
    pauses = []

    def let_go(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            os.close(lock)

    monkeypatch.setattr(locks.time, "sleep", let_go)
    with locks.held(path):
        assert locks.is_held(path)
        monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
        whom = f"process {os.getpid()} of {owners.user_name(os.geteuid())}"
        with pytest.raises(StorageError, match=f"cannot lock {path}: {whom} keeps it locked"), locks.held(path):
            pytest.fail("two hold it")
    assert not locks.is_held(path)
    assert len(pauses) == 3


def test_where_the_kernel_does_not_tell_who_holds_a_lock_it_is_somebody(tmp_path):
    (tmp_path / "lock").touch()
    assert locks.holder(tmp_path / "lock") == "somebody"
    assert locks.holder(tmp_path / "absent") == "somebody"


def test_what_keeps_launchers_from_looking_for_the_last_run_is_left(tmp_path, monkeypatch):
    folder = slots.host_folder(tmp_path)
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    lock = locks.acquire(folder.choice, shared=True)
    slots.forget(tmp_path)
    os.close(lock)
    assert folder.path.is_dir()
    assert not locks.is_held(folder.supervisor)


def test_a_private_lock_is_opened_by_nobody_else(tmp_path):
    (tmp_path / "lock").touch(0o664)
    for name in ("lock", "new"):
        os.close(locks.acquire(tmp_path / name, private=True))
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_lock_that_cannot_be_opened_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*: No such file"):
        locks.acquire(tmp_path / "missing" / "lock")
    assert not locks.is_held(tmp_path / "missing" / "lock")


def test_a_file_system_without_locks_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=r"files cannot be locked in .*: No locks available; choose"):
        locks.acquire(tmp_path / "lock")


def test_devices_are_filled_evenly_and_never_over(folder):
    taken = [slots.take(folder, TWO, 2) for _ in range(5)]
    assert [slot and slot.device.name for slot in taken] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", None]
    assert [slots.in_use(folder, device) for device in TWO] == [2, 2]
    for slot in taken[:4]:
        slot.close()
    assert [slots.in_use(folder, device) for device in TWO] == [0, 0]


def test_who_wants_a_device_alone_waits_until_it_is_empty(folder):
    first, second = slots.take(folder, [CPU], 2), slots.take(folder, [CPU], 2)
    first.close()
    assert slots.take(folder, [CPU], 1) is None
    second.close()
    assert slots.take(folder, [CPU], 1).device == CPU


def test_a_slot_lives_and_dies_with_the_process_it_was_handed_to(folder):
    holder = hand_over(slots.take(folder, [CPU], 1))
    assert slots.take(folder, [CPU], 1) is None
    holder.kill()
    holder.wait()
    slot = slots.take(folder, [CPU], 1)
    assert slot is not None
    slot.close()


def test_a_device_that_is_kept_has_no_slot_however_many_may_share_it(folder):
    first, second = TWO
    at_work = slots.take(folder, [first], 4)
    kept = slots.keep(folder, first)
    assert (kept.device, slots.is_kept(folder, first), slots.is_kept(folder, second)) == (first, True, False)
    assert slots.keep(folder, first) is None
    assert slots.take(folder, [first], 64) is None
    assert slots.take(folder, TWO, 4).device == second
    assert slots.in_use(folder, first) == 1
    at_work.close()
    assert slots.in_use(folder, first) == 0
    assert slots.take(folder, [first], 64) is None
    kept.close()
    assert slots.take(folder, [first], 1).device == first


def test_a_device_is_kept_by_the_process_it_was_handed_to(folder):
    holder = hand_over(slots.keep(folder, CPU))
    assert slots.take(folder, [CPU], 8) is None
    holder.kill()
    holder.wait()
    assert slots.take(folder, [CPU], 8) is not None


def test_a_run_is_kept_from_the_devices_of_its_own_machine(tmp_path):
    ticket = queue.new_ticket(TWO)
    assert slots.kept_from(tmp_path, ticket) == []
    assert list(tmp_path.iterdir()) == []
    kept = slots.keep(slots.host_folder(tmp_path), TWO[1])
    assert slots.kept_from(tmp_path, ticket) == ["cuda:1"]
    assert slots.kept_from(tmp_path, msgspec.structs.replace(ticket, host="another-machine")) == []
    kept.close()
    assert slots.kept_from(tmp_path, ticket) == []


def test_numbers_of_devices_are_not_mixed_up(folder):
    slot = slots.take(folder, [Device("cuda:1")], 1)
    assert slots.in_use(folder, Device("cuda:1")) == 1
    assert slots.in_use(folder, Device("cuda:10")) == 0
    slot.close()


def test_what_launchers_keep_goes_with_the_last_run(tmp_path):
    folder = slots.host_folder(tmp_path)
    slots.take(folder, [CPU], 1).close()
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "settings.toml").touch()
    slots.forget(tmp_path)
    assert folder.path.is_dir()
    (tmp_path / "a-run" / "settings.toml").unlink()
    slots.forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a-run"]


@pytest.mark.parametrize("hold", [slots.keep, lambda folder, device: slots.take(folder, [device], 1)])
def test_what_somebody_holds_stays_when_the_last_run_goes(tmp_path, hold):
    folder = slots.host_folder(tmp_path)
    held = hold(folder, CPU)
    slots.forget(tmp_path)
    assert folder.path.is_dir()
    held.close()
    slots.forget(tmp_path)
    assert not folder.path.exists()


def test_what_a_supervisor_at_work_needs_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "FORGET_SECONDS", 0)
    folder = slots.host_folder(tmp_path)
    lock = locks.acquire(folder.supervisor, private=True)
    slots.forget(tmp_path)
    assert folder.supervisor.exists()
    os.close(lock)


PLANTED = {
    "folder": (slots.FOLDER, "is a link, not a folder; remove it"),
    "host": (f"{slots.FOLDER}/{socket.gethostname()}", "is a link, not a folder; remove it"),
    "lock": (f"{slots.FOLDER}/{socket.gethostname()}/supervisor-{os.getuid()}.lock", "Too many levels of symbolic"),
    "choice": (f"{slots.FOLDER}/{socket.gethostname()}/slots.lock", "Too many levels of symbolic"),
    "log": (f"{slots.FOLDER}/{socket.gethostname()}/supervisor-{os.getuid()}.log", "Too many levels of symbolic"),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("target", [".", "nowhere"])
def test_a_planted_link_is_told_of_before_a_run_is_made(tmp_path, planted, target):
    name, said = PLANTED[planted]
    slots.require_writable(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    slots.require_writable(tmp_path)
    path.symlink_to(target)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=said) as caught:
        slots.require_writable(tmp_path)
    assert str(path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_launchers_have_made_is_no_hindrance(tmp_path, folder):
    for path in (folder.supervisor, folder.log, folder.choice):
        path.touch()
    slots.require_writable(tmp_path)
    folder.path.rename(tmp_path / "elsewhere")
    folder.path.touch()
    with pytest.raises(StorageError, match="is a file, not a folder; remove it"):
        slots.require_writable(tmp_path)
