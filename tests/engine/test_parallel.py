import multiprocessing
import os
import signal
import sys
from types import SimpleNamespace

import pytest
import torch

from stsm_cli.engine import parallel
from stsm_cli.engine.parallel import _receive, run_side_by_side
from stsm_cli.errors import DataError, InterruptedRunError, PreemptedError, StsmError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def ignore(task, news):
    pass


def square(task, tell):
    tell(f"begin {task}")
    return task * task


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_task_gives_its_result_and_its_news(jobs):
    news = []
    done = dict(
        run_side_by_side(4, square, jobs=jobs, on_news=lambda task, text: news.append((task, text)))
    )
    assert done == {0: 0, 1: 1, 2: 4, 3: 9}
    assert sorted(news) == [(task, f"begin {task}") for task in range(4)]


def test_each_process_has_one_thread_and_its_own_process():
    def who(task, tell):
        return os.getpid(), torch.get_num_threads()

    done = [result for _, result in run_side_by_side(2, who, jobs=2, on_news=ignore)]
    assert {threads for _, threads in done} == {1}
    assert len({pid for pid, _ in done} | {os.getpid()}) == 3


def test_processes_share_what_the_parent_has_read():
    large = {"frames": 7}
    done = dict(run_side_by_side(2, lambda task, tell: large["frames"], jobs=2, on_news=ignore))
    assert done == {0: 7, 1: 7}


def test_an_error_comes_back_with_its_hint():
    def fail(task, tell):
        raise DataError("videos.csv: is broken", hint="mend it")

    with pytest.raises(DataError, match="is broken") as error:
        list(run_side_by_side(2, fail, jobs=2, on_news=ignore))
    assert error.value.hint == "mend it"


def test_an_error_comes_back_though_the_process_is_stopped_while_it_tells_it(capfd):
    class Late(StsmError):
        def __reduce__(self):
            signal.raise_signal(signal.SIGINT)
            return StsmError, (str(self),)

    def fail(task, tell):
        raise Late("videos.csv: is broken")

    with pytest.raises(StsmError, match="is broken"):
        list(run_side_by_side(1, fail, jobs=2, on_news=ignore))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("error", [EOFError(), OSError("got end of file during message")])
def test_a_process_that_dies_is_told_even_if_it_was_sending(error):
    def recv():
        raise error

    with pytest.raises(StsmError, match=r"^the process of run 1 was killed$") as caught:
        _receive(SimpleNamespace(recv=recv), "run 1")
    assert "fewer --jobs" in caught.value.hint


def test_a_process_that_is_told_as_it_is_forked_does_not_go_on_as_its_parent(monkeypatch):
    real = os.fork

    def fork():
        pid = real()
        if pid == 0:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                os._exit(3)  # from here it would unwind into the test itself
        return pid

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(InterruptedRunError, match="interrupted"):
        list(run_side_by_side(2, lambda task, tell: task, jobs=2, on_news=ignore))


def test_any_other_error_is_one_line():
    def fill_the_disk(task, tell):
        raise OSError(28, "No space left on device")

    with pytest.raises(StsmError, match=r"run 1 failed: OSError: \[Errno 28\] No space left"):
        list(run_side_by_side(1, fill_the_disk, jobs=2, on_news=ignore))


@pytest.mark.parametrize("saves", [True, False])
def test_runs_end_together_when_their_parent_is_gone(monkeypatch, tmp_path, saves):
    monkeypatch.setattr(parallel, "GRACE_SECONDS", 600.0 if saves else 0.0)
    alive, held = os.pipe()

    def go_on(task, tell):
        signal.signal(signal.SIGTERM, lambda *_: (tmp_path / f"saved{task}").touch() or sys.exit())
        tell(os.getpid())
        signal.pause()

    def be_parent():
        os.close(alive)
        pids = []

        def die(task, pid):
            pids.append(pid)
            if len(pids) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        list(run_side_by_side(2, go_on, jobs=2, on_news=die))

    parent = multiprocessing.get_context("fork").Process(target=be_parent)
    parent.start()
    os.close(held)  # now the parent and its runs alone hold it
    with os.fdopen(alive) as pipe:
        assert pipe.read() == ""  # they have all ended
    parent.join()
    assert parent.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob("saved*"))) == (2 if saves else 0)


def test_a_second_ctrl_c_ends_the_runs_at_once():
    def deaf(task, tell):
        signal.signal(signal.SIGINT, lambda *_: os.kill(os.getppid(), signal.SIGINT))
        tell("ready")
        while True:
            signal.pause()

    told = []

    def press(task, news):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        list(
            run_side_by_side(
                1, deaf, jobs=2, on_news=press, on_ctrl_c=lambda: told.append("stopping")
            )
        )
    assert told == ["stopping"]
    assert not multiprocessing.active_children()


def test_what_is_told_too_late_is_not_waited_for(tmp_path):
    """More than a pipe holds, while nobody reads."""

    def talk(task, tell):
        stopped = []
        signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
        tell("ready")
        while not stopped:
            tell(bytes(1_000_000))
        (tmp_path / f"saved{task}").touch()
        return bytes(1_000_000)

    ready = set()

    def press(task, news):
        ready.add(task)
        if len(ready) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="the runs that had begun are saved"):
        list(run_side_by_side(2, talk, jobs=2, on_news=press))
    assert len(list(tmp_path.glob("saved*"))) == 2


def test_a_killed_process_is_an_error():
    def die(task, tell):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(StsmError, match="the process of run 1 was killed") as caught:
        list(run_side_by_side(1, die, jobs=2, on_news=ignore))
    assert caught.value.hint == "where memory ran out, fewer --jobs or --workers take less"
    with pytest.raises(StsmError, match="the process of row 0 was killed"):
        list(run_side_by_side(1, die, jobs=2, on_news=ignore, called="row {}".format))


@pytest.mark.parametrize(
    ("number", "error", "what"),
    [
        (signal.SIGINT, InterruptedRunError, "interrupted"),
        (signal.SIGTERM, PreemptedError, "stopped by SIGTERM"),
    ],
)
def test_ctrl_c_tells_every_process_once_and_waits(tmp_path, number, error, what):
    def patient(task, tell):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        tell("ready")
        signal.sigwait({signal.SIGINT})
        (tmp_path / f"saved{task}").touch()

    ready = []

    def press(task, news):
        ready.append(task)
        if len(ready) == 2:
            signal.raise_signal(number)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(error, match=f"{what}; the runs that had begun are saved"):
        list(run_side_by_side(5, patient, jobs=2, on_news=press))
    assert signal.getsignal(signal.SIGTERM) == before
    assert sorted(path.name for path in tmp_path.glob("saved*")) == ["saved0", "saved1"]
