import builtins
import importlib
import signal
import threading

import pytest

from stsm_cli import __main__, sigterm
from stsm_cli.cli import app
from stsm_cli.errors import TerminatedExit
from stsm_cli.sigterm import ctrl_c_raises, sigterm_raises


def test_it_raises_once_though_it_comes_twice():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_raises(TerminatedExit):
        with pytest.raises(TerminatedExit) as stop:
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # of the group; what tidies up goes on
    assert stop.value.code == 75
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_raises_again_later(monkeypatch):
    monkeypatch.setattr(sigterm, "TWICE_SECONDS", 0.0)
    with sigterm_raises(ZeroDivisionError):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                signal.raise_signal(signal.SIGTERM)


def test_in_a_thread_no_handler_is_set():
    found = []

    def look():
        with sigterm_raises(TerminatedExit):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


IMPORTED = """
import signal
try:
    signal.raise_signal(signal.{name})
    while not told:
        pass
except BaseException:  # as C code clears it
    lost.append(True)
"""


@pytest.mark.parametrize(
    ("name", "raises", "error"),
    [
        ("SIGTERM", lambda: sigterm_raises(TerminatedExit), TerminatedExit),
        ("SIGINT", ctrl_c_raises, KeyboardInterrupt),
    ],
)
def test_what_comes_during_an_import_is_raised_behind_it(
    tmp_path, monkeypatch, name, raises, error
):
    told, lost = [], []
    tell = sigterm._tell_main_thread

    def tell_and_end_import(number):
        tell(number)
        told.append(number)

    (tmp_path / f"during_{name}.py").write_text(IMPORTED.format(name=name))
    monkeypatch.setattr(builtins, "told", told, raising=False)
    monkeypatch.setattr(builtins, "lost", lost, raising=False)
    monkeypatch.setattr(sigterm, "_tell_main_thread", tell_and_end_import)
    monkeypatch.syspath_prepend(tmp_path)
    with raises(), pytest.raises(error):  # noqa: PT012
        importlib.import_module(f"during_{name}")
        threading.Event().wait(60)  # ended by the signal
    assert lost == []


def test_an_import_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(sigterm, "IMPORT_SECONDS", 0.0)
    (tmp_path / "endless.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)")
    monkeypatch.syspath_prepend(tmp_path)
    with ctrl_c_raises(), pytest.raises(KeyboardInterrupt):
        importlib.import_module("endless")


def test_who_does_not_hear_ctrl_c_does_not_hear_it_now():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c_raises():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("rank", "said"), [("0", "stopped by SIGTERM\n"), ("1", "")])
def test_every_command_ends_in_75(monkeypatch, capsys, rank, said):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(app, "run", lambda arguments: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert (stop.value.code, capsys.readouterr().err) == (75, said)
