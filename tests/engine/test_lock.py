import errno
import fcntl
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from stsm_cli.engine import distributed
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.lock import LOCK, OWNER, alone_in
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import InterruptedRunError, UsageError


def test_a_second_one_is_refused_and_told_what_to_do(tmp_path):
    run = tmp_path / "run"
    with alone_in(run), pytest.raises(UsageError, match="another") as error, alone_in(run):
        pass
    assert str(error.value) == f"{tmp_path}/run: another process is training in it"
    assert error.value.hint == "wait for its end, then run the same command again"


def test_one_after_the_other(tmp_path):
    for _ in range(2):
        with alone_in(tmp_path / "run"):
            assert (tmp_path / "run" / LOCK).exists()
            (tmp_path / "run" / "result.json").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result.json"]


def test_two_folders_at_once(tmp_path):
    with alone_in(tmp_path / "a"), alone_in(tmp_path / "b"):
        pass


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(ZeroDivisionError), alone_in(tmp_path / name):
            1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def hold(folder, is_held):
    with alone_in(folder):
        is_held.set()
        signal.pause()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("fork")
    is_held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, is_held))
    process.start()
    assert is_held.wait(30)
    with pytest.raises(UsageError, match="another process is training in it"), alone_in(tmp_path):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (tmp_path / LOCK).exists()
    with alone_in(tmp_path):
        pass


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_all_processes_of_a_job_are_refused(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run, in_two_processes
):
    monkeypatch.setattr(distributed, "TELLING_SECONDS", 0.0)
    with alone_in(tmp_path / "run"):
        first, second = in_two_processes(
            lambda rank: run(recipe, train_videos, val_videos, tmp_path / "run")
        )
    assert str(first) == f"{tmp_path}/run: another process is training in it"
    assert (type(first), type(second), second.code) == (UsageError, SystemExit, 2)


def test_a_lock_that_its_holder_deletes_before_it_is_taken_is_taken_anew(tmp_path, monkeypatch):
    real, calls = fcntl.flock, []

    def flock(descriptor, how):
        real(descriptor, how)
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone_in(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / LOCK).exists()


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS])
def without_locks(request, monkeypatch):
    """A file system that knows no locks."""

    def flock(descriptor, how):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_in_the_file_system_it_goes_on(tmp_path):
    with alone_in(tmp_path), alone_in(tmp_path):
        pass


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_run_whose_process_was_killed_on_another_machine_goes_on(tmp_path):
    (tmp_path / LOCK).write_text("12\nnode7\n")
    (tmp_path / OWNER).write_text('{"host": "node7", "pid": 12, "token": "x"}')
    with alone_in(tmp_path) as hold:
        hold.check()
        assert not (tmp_path / LOCK).exists()


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_last_one_goes_on_and_the_others_find_out(tmp_path):
    with alone_in(tmp_path) as first:
        assert first.warning == (
            f"{tmp_path}: this file system knows no locks; whoever trains in it next, ends this run"
        )
        first.check()
        with alone_in(tmp_path) as second:
            second.check()
            message = rf"{tmp_path}: process {os.getpid()} on .* trains in it now, and this"
            with pytest.raises(UsageError, match=message):
                first.check()
        with pytest.raises(UsageError, match="another process has trained in it since, and this"):
            first.check()  # what it would write is older
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_locks")
def test_without_locks_nothing_is_written_once_another_has_begun(
    recipe, train_videos, val_videos, tmp_path, run, said
):
    def begin_elsewhere(metrics):
        (tmp_path / "run" / OWNER).write_text('{"host": "node7", "pid": 12, "token": "x"}')

    with pytest.raises(UsageError, match="run: process 12 on node7 trains in it now"):
        run(
            recipe,
            train_videos,
            val_videos,
            tmp_path / "run",
            on_epoch=begin_elsewhere,
            progress=said,
        )
    assert said.lines[0].startswith(f"warning: {tmp_path}/run: this file system knows no locks")
    assert len(RunFolder(tmp_path / "run").metrics()) == 1
    assert load_checkpoint(RunFolder(tmp_path / "run").checkpoint)["position"]["epoch"] == 0


def test_what_is_read_only_is_refused_unless_it_has_finished(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run, stop_after
):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, cut, progress=stop_after("epoch 2", 1))
    result = run(recipe, train_videos, val_videos, whole)

    def read_only(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    assert run(recipe, train_videos, val_videos, whole, resume=True) == result
    message = rf"--out {cut}: cannot be written \(Read-only file system\)$"
    with pytest.raises(UsageError, match=message):
        run(recipe, train_videos, val_videos, cut, resume=True)


def test_a_lock_that_may_not_be_opened_stays(tmp_path, monkeypatch):
    real = os.open

    def denied(path, *arguments, **options):
        if str(path).endswith(LOCK):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    with alone_in(tmp_path):
        with monkeypatch.context() as another_user:
            another_user.setattr(os, "open", denied)
            with alone_in(tmp_path) as hold:
                assert isinstance(hold.problem, PermissionError)
                assert hold.hint.startswith(f"{tmp_path}/.lock is another user's: it may be")
        with pytest.raises(UsageError, match="another process is training in it"):
            alone_in(tmp_path).__enter__()


def test_in_a_folder_that_cannot_be_written_it_goes_on(tmp_path, monkeypatch):
    def read_only(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    message = r"--out .*/file/run: cannot be written \(Not a directory\)"
    with pytest.raises(UsageError, match=message), alone_in(tmp_path / "file" / "run"):
        pass


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_disk_that_does_not_answer_ends_nobody(tmp_path, monkeypatch):
    def stale(self, **options):
        raise OSError(errno.ESTALE, "Stale file handle")

    with alone_in(tmp_path) as hold, monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", stale)
        patch.setattr(Path, "stat", stale)
        hold.check()
