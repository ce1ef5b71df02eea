import os
import signal
import threading
from pathlib import Path

import pytest

from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.stop import listening, stopped_by
from stsm_cli.errors import InterruptedRunError, PreemptedError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_handlers_are_put_back(number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with listening() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_terminal_that_is_lost_stops_as_sigterm_does_unless_it_does_not_matter():
    with listening() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.signal == signal.SIGTERM
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `nohup stsm train`
    try:
        with listening() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # `stsm train &` in a script
    try:
        with listening() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signal is None
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            assert stop.signal == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_second_ctrl_c_stops_at_once():
    with listening() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT


def test_the_first_ctrl_c_is_answered_by_the_first_process(monkeypatch):
    told = []
    with listening(lambda: told.append("stopping")):
        signal.raise_signal(signal.SIGTERM)
        assert told == []
    with listening(lambda: told.append("stopping")) as stop:
        signal.raise_signal(signal.SIGINT)
        assert (stop.signal, told) == (signal.SIGINT, ["stopping"])
    monkeypatch.setenv("RANK", "1")
    with listening(lambda: told.append("again")):
        signal.raise_signal(signal.SIGINT)
    assert told == ["stopping"]


def test_in_a_thread_nothing_is_heard():
    noted = []

    def work():
        with listening() as stop:
            noted.append(stop.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [None]


def test_several_processes_stop_when_who_started_them_is_gone(monkeypatch):
    with listening() as stop:
        monkeypatch.setattr(os, "getppid", lambda: -1)
        assert stop.signal is None  # one process may outlive its shell
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert stop.signal == signal.SIGTERM


def test_the_signal_decides_the_exit_code(monkeypatch):
    folder = RunFolder(Path("runs/a"))
    error = stopped_by(signal.SIGINT, "at batch 3", folder)
    assert type(error) is InterruptedRunError
    assert str(error) == "interrupted at batch 3; saved runs/a/checkpoints/last.pt"
    assert error.hint == "continue with `stsm train --resume --out runs/a`"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    error = stopped_by(signal.SIGTERM, "at batch 3", folder)
    assert (type(error), error.exit_code) == (PreemptedError, 75)
    assert str(error).startswith("stopped by SIGTERM at batch 3; saved")
    assert error.hint == "continue with `stsm train --resume --out runs/a --nproc 2`"
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert stopped_by(signal.SIGTERM, "at batch 3", folder).hint == (
        "continue with `stsm train --resume --out runs/a` on every machine, started by torchrun as "
        "before"
    )
