import importlib
import re
import signal
import time
from types import SimpleNamespace

import pytest

from stsm_cli.errors import StsmError
from stsm_cli.prepare import workers
from stsm_cli.prepare.workers import Lost, work_apart
from stsm_cli.sigterm import signal_name

FAULTS = """
import os, signal, sys, time
from stsm_cli.data import deadline
from stsm_cli.data.deadline import within
from stsm_cli.errors import StsmError

class Odd(Exception):
    def __init__(self, text, number):
        super().__init__(text)
        self.handle = open(os.devnull)

def work(file, alive):
    if file == "hang":
        time.sleep(600)
    if file == "slow":
        for _ in range(8):
            time.sleep(0.3)
            alive()
    if file == "index":  # reads on in a thread, without a frame
        within(60, lambda: [(time.sleep(0.3), deadline.alive()) for _ in range(8)])
    if file == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if file == "memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if file == "logout":
        os.kill(os.getpid(), signal.SIGHUP)
    if file == "exit":
        os._exit(1)
    if file == "full":
        raise OSError(28, "No space left on device", "disk")
    if file == "long":
        raise OSError(36, "File name too long", "x.mp4.1.tmp")
    if file == "bug":
        {}["key"]
    if file == "odd":
        raise Odd("no\\npickle", 2)
    if file == "known":
        raise StsmError("known: too small")
    return file.upper()
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Work that fails by the file's name, in a module that worker processes can import."""
    (tmp_path / "faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("faults").work


def outcomes(work, files, *, workers=2, deadline_seconds=30.0):
    return dict(work_apart(work, files, workers=workers, deadline_seconds=deadline_seconds))


def test_every_file_is_worked_on_once(work):
    files = [f"file {i}" for i in range(50)]
    assert outcomes(work, files) == {file: file.upper() for file in files}
    assert outcomes(work, []) == {}


def test_what_hangs_or_dies_costs_its_file_alone(work):
    files = ["a", "hang", "b", "crash", "c", "memory", "logout", "d", "slow", "index"]
    started = time.monotonic()
    assert outcomes(work, files, deadline_seconds=1.5) == {
        **{file: file.upper() for file in "abcd"},
        "hang": Lost("no frame came within 1.5 s", lasting=False),
        "crash": Lost("the decoder crashed (SIGSEGV)"),
        "memory": Lost("its process was killed (SIGKILL)", lasting=False),
        "logout": Lost("its process was killed (SIGHUP)", lasting=False),
        "slow": "SLOW",  # longer than the deadline, but alive
        "index": "INDEX",
    }
    assert time.monotonic() - started < 60  # and not the ten minutes that the one sleeps


def test_what_nobody_foresaw_is_the_verdict_on_its_file_and_names_the_bug(work):
    found = outcomes(work, ["a", "bug", "odd", "known", "long", "b"], workers=1)
    bug, odd = found.pop("bug"), found.pop("odd")
    assert re.fullmatch(r"internal error: KeyError: 'key' \(faults\.py:\d+\)", bug.reason)
    assert re.fullmatch(r"internal error: Odd: no\npickle \(faults\.py:\d+\)", odd.reason)
    assert not bug.lasting
    assert found == {
        "a": "A",
        "b": "B",
        "known": Lost("known: too small", lasting=False),
        "long": Lost("cannot be read or written (File name too long)", lasting=False),
    }


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGRTMIN + 3, "signal ")]
)
def test_every_signal_has_a_name(number, name):
    assert signal_name(number).startswith(name)


@pytest.mark.parametrize(
    ("file", "error", "text"),
    [
        ("full", OSError, "No space left on device: 'disk'"),
        ("exit", StsmError, "exit: the process that worked on it ended with code 1"),
    ],
)
def test_what_is_not_the_files_fault_ends_it_all(work, file, error, text):
    with pytest.raises(error, match=text):
        outcomes(work, ["a", file, "hang"])


def test_whoever_stops_listening_ends_the_workers(work):
    results = work_apart(work, ["a", "hang"], workers=1, deadline_seconds=600)
    assert next(results) == ("a", "A")
    results.close()  # would not end if it waited for the one that hangs


def test_while_all_stood_still_nobody_was_late(work, monkeypatch):
    """Ctrl-Z or a suspended machine: hours pass during one wait."""
    hours, wait = [], workers.wait

    def stand_still_once(connections, patience):
        if hours:
            return wait(connections, patience)
        hours.append(3600.0)
        return []

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(hours))
    monkeypatch.setattr(workers, "wait", stand_still_once)
    monkeypatch.setattr(workers, "time", clock)
    assert outcomes(work, ["a"]) == {"a": "A"}
