import getpass
import platform
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from stsm_cli.engine.doctor import Checkup, Seen, bug_report, examine
from stsm_cli.errors import DataError
from stsm_cli.sigterm import ctrl_c_raises


def broken(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(("needed", "state"), [(True, "failed"), (False, "warning")])
def test_what_a_check_raises_is_its_finding(needed, state):
    checks = [
        Checkup("one", broken(OSError("no\nway")), "cure it", needed),
        Checkup("two", lambda: Seen("fine"), "", needed),
        Checkup("three", broken(KeyError()), "ask", needed),
        Checkup("four", broken(DataError("a.csv: is empty")), "prepare", needed),
    ]
    found = [(f.name, f.state, f.text, f.remedy) for f in examine(checks)]
    assert found == [
        ("one", state, "OSError: no", "cure it"),
        ("two", "ok", "fine", ""),
        ("three", state, "KeyError", "ask"),
        ("four", state, "a.csv: is empty", "prepare"),
    ]


def test_ctrl_c_that_an_import_swallows_is_no_finding():
    def swallow():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("cannot load module more than once per process")

    found = []
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises():
        found += examine([Checkup("PyTorch", swallow, "install anew")])
    assert found == []


def test_the_report_names_nobody(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "somebody")
    monkeypatch.setattr(platform, "node", lambda: "kiosk-7")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    texts = [f"{Path.cwd()}/runs", "/home/somebody/x", "/mnt/somebody/y", "on kiosk-7", "somebody"]
    checks = [Checkup("paths", broken(OSError(" ".join(texts))), "")]
    lines = bug_report(list(examine(checks))).splitlines()
    assert lines[0].startswith("torch ")
    assert "OMP_NUM_THREADS=3" in lines[1]
    assert lines[2] == "paths: ok, OSError: ./runs ~/x /mnt/USER/y on HOST somebody"


def test_a_user_whom_nobody_knows_is_no_fault(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", broken(KeyError("uid 7")))
    assert bug_report([*examine([Checkup("a", lambda: Seen("b"), "")])]).endswith("a: ok, b")


def test_neither_a_home_nor_a_working_folder_is_needed(monkeypatch):
    monkeypatch.setattr(Path, "home", broken(RuntimeError("Could not determine home directory.")))
    monkeypatch.setattr(Path, "cwd", broken(FileNotFoundError(2, "No such file or directory")))
    assert bug_report([*examine([Checkup("a", lambda: Seen("b"), "")])]).endswith("a: ok, b")
