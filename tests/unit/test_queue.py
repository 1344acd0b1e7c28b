"""The queue and what advances it, with trainers that do little: tickets, order, slots, retries, cancelling."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest
from run_directories import created

from domcli import devices, locks, owners, process
from domcli.devices import CPU, Device
from domcli.errors import ProcessError, StorageError
from domcli.events import Failed, Finished
from domcli.launch import local, queue, slots, supervisor
from domcli.launch.supervisor import Supervisor
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.settings import Settings
from domcli.stream import EventWriter

LET_IN = "import signal; signal.pthread_sigmask(signal.SIG_UNBLOCK, [15, 2]);"
SLEEPER = (sys.executable, "-c", LET_IN + "import time; time.sleep(600)")
ENDS = (sys.executable, "-c", "import sys; sys.exit(1)")
TWO = (Device("cuda:0", "x"), Device("cuda:1", "y"))


@pytest.fixture(autouse=True)
def _no_trainer_is_left(tmp_path):
    yield
    for path in tmp_path.rglob("process.json"):
        identity = RunDirectory(path.parent).read_process()
        if identity is not None and identity.pid != os.getpid():
            process.signal(identity, signal.SIGKILL)


@pytest.fixture
def queued(tmp_path):
    """Make a run that waits, in the folder of the test."""
    made = 0

    def make(chosen=(CPU,), **changes) -> RunDirectory:
        nonlocal made
        made += 1
        ticket = queue.new_ticket(chosen, "auto", place=made)
        ticket = msgspec.structs.replace(ticket, queued=1000.0, folder=str(tmp_path), **changes)
        return created(tmp_path, Settings(), f"run{made}", name=f"run{made}", ticket=ticket)

    return make


def status_of(*runs: RunDirectory) -> list[str]:
    return [read_run(run).status for run in runs]


def wait_gone(run: RunDirectory) -> None:
    identity = run.read_process()
    deadline = time.monotonic() + 30
    while process.liveness(identity) == "alive":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def advance_until(boss: Supervisor, condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        boss.advance()
        time.sleep(0.02)


def close(run: RunDirectory, event) -> None:
    writer = EventWriter(run.events)
    writer.write(event)
    writer.close()


def test_a_run_with_a_ticket_is_queued_until_a_trainer_is_launched_for_it(queued, tmp_path):
    run = queued()
    assert status_of(run) == ["queued"]
    assert [entry for entry, _ in queue.tickets(tmp_path)] == [run]
    boss = Supervisor(tmp_path, SLEEPER)
    assert boss.advance()
    assert status_of(run) == ["starting"]
    assert run.waiting_ticket() is None
    assert run.read_process().ticket == run.read_ticket().id


def test_tickets_of_copies_other_machines_and_other_users_are_not_touched(queued, tmp_path):
    run = queued()
    elsewhere, claimed = queued(host="elsewhere"), queued(owner=os.geteuid() + 1)
    subprocess.run(["cp", "-r", run.path, tmp_path / "copy"], check=True)
    assert [entry for entry, _ in queue.tickets(tmp_path)] == [run]
    assert RunDirectory(tmp_path / "copy").read_ticket() is None
    Supervisor(tmp_path, SLEEPER).advance()
    assert claimed.read_ticket() is None
    assert status_of(run, elsewhere, claimed) == ["starting", "queued", "lost"]


def test_runs_start_in_order_as_slots_become_free(queued, tmp_path):
    runs = [queued(jobs=2) for _ in range(4)]
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    assert status_of(*runs) == ["starting", "starting", "queued", "queued"]
    local.kill(runs[1])
    advance_until(boss, lambda: status_of(runs[2]) == ["starting"])
    assert status_of(*runs) == ["starting", "lost", "starting", "queued"]


def test_nothing_is_launched_on_a_device_that_is_kept(queued, tmp_path):
    kept = slots.keep(slots.host_folder(tmp_path), TWO[0])
    there, elsewhere = queued(TWO[:1], jobs=4), queued(TWO, jobs=4)
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    boss.advance()
    assert status_of(there, elsewhere) == ["queued", "starting"]
    assert elsewhere.read_process().device == "cuda:1"
    kept.close()
    boss.advance()
    assert status_of(there) == ["starting"]


def test_who_waits_for_a_device_is_not_overtaken_on_it(queued, tmp_path):
    first, alone, shared, other = queued(TWO[:1]), queued(TWO[:1]), queued(TWO[:1], jobs=2), queued(TWO[1:])
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    boss.advance()
    assert status_of(first, alone, shared, other) == ["starting", "queued", "queued", "starting"]


def test_trainers_go_on_without_the_supervisor_and_keep_their_slots(queued, tmp_path):
    first, second = queued(), queued()
    Supervisor(tmp_path, SLEEPER).advance()
    following = Supervisor(tmp_path, SLEEPER)
    following.advance()
    assert status_of(first, second) == ["starting", "queued"]
    os.kill(first.read_process().pid, signal.SIGKILL)
    os.waitpid(first.read_process().pid, 0)
    advance_until(following, lambda: status_of(second) == ["starting"])
    assert first.read_ticket() is None
    assert status_of(first) == ["lost"]


def test_a_run_whose_trainer_has_not_said_who_it_is_is_not_started_again(queued, tmp_path):
    """The supervisor was killed after it had started a trainer and before it could write that down."""
    run = queued()
    lock = locks.acquire(run.lock)
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    assert run.read_process() is None
    os.close(lock)
    boss.advance()
    assert status_of(run) == ["starting"]


def test_finished_runs_lose_their_tickets_and_the_queue_ends(queued, tmp_path):
    run = queued()
    boss = Supervisor(tmp_path, ENDS)
    boss.advance()
    wait_gone(run)
    close(run, Finished(seconds=1.0))
    advance_until(boss, lambda: run.read_ticket() is None)
    assert not boss.advance()
    assert status_of(run) == ["finished"]


def test_how_a_trainer_ended_is_written_down(queued, tmp_path):
    run = queued()
    boss = Supervisor(tmp_path, ENDS)
    advance_until(boss, lambda: run.read_process() is not None and run.read_process().exit_code is not None)
    assert run.read_process().exit_code == 1


@pytest.mark.parametrize(
    ("closing", "again"),
    [
        (None, True),
        (Failed(cause="out-of-memory", reason="x"), True),
        (Failed(cause="device", reason="x"), True),
        (Failed(cause="error", reason="x"), True),
        (Failed(cause="non-finite-loss", reason="x"), False),
        (Failed(cause="refused", reason="x"), False),
        (Failed(cause="storage", reason="x"), False),
    ],
)
def test_what_may_go_well_the_next_time_is_tried_again(queued, tmp_path, monkeypatch, closing, again):
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 0)
    run = queued(max_retries=1)
    ticket = run.read_ticket()
    boss = Supervisor(tmp_path, ENDS)
    boss.advance()
    wait_gone(run)
    if closing is not None:
        close(run, closing)
    advance_until(boss, lambda: run.read_ticket() is None or run.read_ticket().id != ticket.id)
    found = run.read_ticket()
    assert (found is not None and found.retries == 1 and found.order[:2] == ticket.order[:2]) is again
    if again:
        advance_until(boss, lambda: run.read_ticket() is None)
        assert read_run(run).process.launched > found.queued


def test_a_retry_waits_a_while_and_lets_others_pass(queued, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 1000)
    first, second = queued(max_retries=1), queued()
    boss = Supervisor(tmp_path, ENDS)
    advance_until(boss, lambda: first.read_ticket().retries == 1 and second.read_process() is not None)
    assert status_of(first) == ["queued"]
    assert first.read_ticket().not_before > time.time()


def test_a_vanished_gpu_fails_the_run_with_that_reason(queued, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "gpus", list)
    gone, fine = queued((Device("cuda:2", "GPU-gone"),)), queued()
    Supervisor(tmp_path, SLEEPER).advance()
    assert status_of(gone, fine) == ["failed", "starting"]
    closing = read_run(gone).state.closing
    assert (closing.cause, "cuda:2 vanished" in closing.reason) == ("device", True)
    assert gone.read_ticket() is None


def test_a_gpu_that_is_still_there_is_used(queued, tmp_path, monkeypatch):
    there = devices.Gpu(3, "GPU-there", "Test", 1, 0, None, ())
    monkeypatch.setattr(devices, "gpus", lambda: [there])
    run = queued((Device("cuda:2", "GPU-gone"), there.device))
    Supervisor(tmp_path, SLEEPER).advance()
    assert run.read_process().device == "cuda:3"


def test_a_folder_that_is_gone_fails_the_run(queued, tmp_path):
    run = queued()
    run.write_ticket(msgspec.structs.replace(run.read_ticket(), folder=str(tmp_path / "gone")))
    Supervisor(tmp_path, SLEEPER).advance()
    assert "the folder in which it was queued is gone" in read_run(run).state.closing.reason
    assert run.read_ticket() is None


def test_a_trainer_that_cannot_be_started_fails_the_run(queued, tmp_path):
    run = queued()
    Supervisor(tmp_path, ("/nonexistent/python",)).advance()
    assert "cannot start the trainer" in read_run(run).state.closing.reason


def test_on_a_full_disk_runs_stay_queued(queued, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = queued()
    boss = Supervisor(tmp_path, SLEEPER)
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_process", full)
        boss.advance()
    assert status_of(run) == ["queued"]
    boss.advance()
    assert status_of(run) == ["queued"]
    monkeypatch.setattr(boss, "_launch_after", 0.0)
    boss.advance()
    assert status_of(run) == ["starting"]


@pytest.mark.parametrize(
    ("cores", "jobs", "runs", "expected"), [(16, 4, 4, 4), (16, 4, 2, 8), (16, 1, 3, 16), (2, 4, 4, 1)]
)
def test_cores_are_shared_by_those_who_may_run(queued, tmp_path, monkeypatch, cores, jobs, runs, expected):
    monkeypatch.setattr(devices, "cpu_count", lambda: cores)
    made = [queued(jobs=jobs, threads=None) for _ in range(runs)]
    print_threads = "import os, sys; print(os.environ['OMP_NUM_THREADS'], file=sys.stderr)"
    Supervisor(tmp_path, (sys.executable, "-c", print_threads)).advance()
    wait_gone(made[0])
    assert made[0].log.read_text() == f"{expected}\n"


def test_a_run_goes_on_with_the_threads_it_had(queued, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "cpu_count", lambda: 8)
    run = queued(threads=None)
    run.update_environment({"threads": 3})
    assert supervisor._threads(run, run.read_ticket(), CPU, 1) == 3
    assert supervisor._threads(run, run.read_ticket(), Device("cuda:0", "x"), 1) == 8
    assert supervisor._threads(run, msgspec.structs.replace(run.read_ticket(), threads=5), CPU, 1) == 5


def test_a_waiting_run_is_cancelled_and_can_be_queued_again(queued):
    run = queued()
    ticket = run.read_ticket()
    assert queue.cancel(run)
    assert status_of(run) == ["stopped"]
    assert "queue" in read_run(run).state.closing.reason
    assert not queue.cancel(run)
    queue.enqueue(run, queue.renewed(ticket))
    assert status_of(run) == ["queued"]
    with pytest.raises(ProcessError, match="queued already"):
        queue.enqueue(run, ticket)


def test_a_cancelled_resume_leaves_the_run_as_it_was(queued):
    run = queued()
    ticket = run.read_ticket()
    run.ticket.unlink()
    close(run, Failed(cause="out-of-memory", reason="no room"))
    queue.enqueue(run, ticket)
    assert status_of(run) == ["queued"]
    assert queue.cancel(run)
    assert read_run(run).state.closing.reason == "no room"


def test_finished_runs_are_not_queued(queued):
    run = queued()
    ticket = run.read_ticket()
    run.ticket.unlink()
    close(run, Finished(seconds=1.0))
    with pytest.raises(ProcessError, match="is finished"):
        queue.enqueue(run, ticket)


def test_a_resume_begins_in_the_folder_of_the_first_launch(queued, tmp_path):
    run = queued()
    first = tmp_path / "first"
    first.mkdir()
    ticket = run.read_ticket()
    run.ticket.unlink()
    run.write_process(msgspec.structs.replace(process.identify(), birth="another", cwd=str(first)))
    queue.enqueue(run, ticket)
    assert run.read_ticket().folder == str(first)
    queue.cancel(run)
    first.rmdir()
    queue.enqueue(run, ticket)
    assert run.read_ticket().folder == ticket.folder


def test_a_stop_cancels_what_waits_and_asks_who_works(queued, tmp_path):
    first, second = queued(), queued()
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    assert queue.request_end(second, local.stop) is None
    assert queue.request_end(first, local.stop).pid == first.read_process().pid
    wait_gone(first)
    assert status_of(first, second) == ["lost", "stopped"]


def test_a_killed_run_is_not_retried(queued, tmp_path):
    run = queued(max_retries=3)
    boss = Supervisor(tmp_path, SLEEPER)
    boss.advance()
    local.kill(run)
    advance_until(boss, lambda: not boss.advance())
    assert run.read_ticket() is None
    assert read_run(run).process.exit_code == -signal.SIGKILL


def test_one_supervisor_at_a_time(queued, tmp_path):
    queued()
    lock = locks.acquire(slots.host_folder(tmp_path).supervisor, private=True)
    assert supervisor.main([str(tmp_path)], ENDS) == 0
    assert queue.tickets(tmp_path)
    os.close(lock)
    assert supervisor.main([str(tmp_path)], ENDS) == 0
    assert queue.tickets(tmp_path) == []


def test_wake_starts_a_supervisor_only_where_there_is_something_to_do(queued, tmp_path, monkeypatch):
    started: list[list[str]] = []
    monkeypatch.setattr(
        queue, "subprocess", SimpleNamespace(DEVNULL=-3, Popen=lambda command, **_: started.append(command))
    )
    queue.wake(tmp_path, ("advance",))
    assert not (tmp_path / slots.FOLDER).exists()
    queued()
    lock = locks.acquire(slots.host_folder(tmp_path).supervisor, private=True)
    queue.wake(tmp_path, ("advance",))
    os.close(lock)
    assert started == []
    queue.wake(tmp_path, ("advance",))
    assert started == [["advance", str(tmp_path)]]


OWN_PROCESS = (sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()")


@pytest.fixture
def strangers_lock(tmp_path, queued):
    """A queue whose supervisor's lock is held by a process whose id is not in the file: here, by this one."""
    run, folder = queued(), slots.host_folder(tmp_path)
    handle = locks.acquire(folder.supervisor)
    yield run, folder, handle
    os.close(handle)


@pytest.mark.parametrize("written", [b"", b"4194305\n", b"nonsense", b"1" * 40, b"\xff"])
def test_who_only_holds_the_lock_of_a_supervisor_is_none(strangers_lock, tmp_path, monkeypatch, written):
    _, folder, handle = strangers_lock
    os.write(handle, written)
    folder.supervisor.chmod(0o664)
    monkeypatch.setattr(locks, "LOOKS", 2)
    assert queue.stalled(tmp_path) == folder.log
    said = f"the queue cannot be advanced: process {os.getpid()} of {owners.user_name(os.geteuid())} keeps "
    for refused in (queue.wake, slots.require_writable):
        with pytest.raises(StorageError, match=f"^{said}{folder.supervisor} locked; remove that file"):
            refused(tmp_path)
    assert supervisor.main([str(tmp_path)], ENDS) == 1
    folder.supervisor.unlink()
    slots.require_writable(tmp_path)
    assert supervisor.main([str(tmp_path)], ENDS) == 0
    assert folder.supervisor.stat().st_mode & 0o077 == 0


def test_a_process_that_lives_holds_the_lock_as_supervisor_and_one_that_has_ended_does_not(strangers_lock, tmp_path):
    _, folder, handle = strangers_lock
    child = subprocess.Popen(OWN_PROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[handle])
    child.stdout.readline()
    os.write(handle, f"{child.pid}\n".encode())
    assert queue.stalled(tmp_path) is None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody knows how yet
    assert queue.stalled(tmp_path) == folder.log
    child.wait()
    assert queue.stalled(tmp_path) == folder.log


@pytest.mark.parametrize(("mode", "counts"), [(0o600, True), (0o640, False), (0o604, False)])
def test_without_an_id_it_counts_whether_others_can_lock_the_file(strangers_lock, tmp_path, mode, counts):
    _, folder, _ = strangers_lock
    folder.supervisor.chmod(mode)
    assert (queue.stalled(tmp_path) is None) == counts


def test_a_supervisor_that_cannot_choose_slots_says_who_keeps_it_from_that(queued, tmp_path, monkeypatch, caplog):
    run, folder = queued(), slots.host_folder(tmp_path)
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "STORAGE_SECONDS", 0.0)
    boss = Supervisor(tmp_path, SLEEPER)
    lock = locks.acquire(folder.choice, shared=True)
    assert boss.advance()
    assert status_of(run) == ["queued"]
    assert f"cannot lock {folder.choice}: process {os.getpid()} of " in caplog.text
    os.close(lock)
    boss.advance()
    assert status_of(run) == ["starting"]
