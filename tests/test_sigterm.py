import signal
import threading
from contextlib import suppress

import pytest

from stsm_cli import __main__, sigterm
from stsm_cli.cli import app
from stsm_cli.errors import TerminatedExit
from stsm_cli.sigterm import ctrl_c_raises, sigterm_raises


class Stop(Exception):
    """What a test raises."""


def test_it_raises_once_though_it_comes_twice():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_raises(TerminatedExit):
        with pytest.raises(TerminatedExit) as stop:
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # of the group; what tidies up goes on
    assert stop.value.code == 75
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_lost_terminal_is_told_as_sigterm_unless_it_does_not_matter():
    with sigterm_raises(TerminatedExit):
        with pytest.raises(TerminatedExit):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)  # who ends a session sends both
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with sigterm_raises(TerminatedExit):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_raises_again_later(monkeypatch):
    monkeypatch.setattr(sigterm, "TWICE_SECONDS", 0.0)
    with sigterm_raises(Stop):
        for _ in range(2):
            with pytest.raises(Stop):
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


signals = pytest.mark.parametrize(
    ("number", "raises", "error"),
    [
        (signal.SIGTERM, lambda: sigterm_raises(TerminatedExit), TerminatedExit),
        (signal.SIGINT, ctrl_c_raises, KeyboardInterrupt),
    ],
)


@signals
def test_an_error_that_is_lost_is_raised_again(monkeypatch, number, raises, error):
    monkeypatch.setattr(sigterm, "LOST_SECONDS", 0.01)
    with raises(), pytest.raises(error):  # noqa: PT012
        with suppress(BaseException):  # as C code clears it
            signal.raise_signal(number)
        threading.Event().wait(60)


@signals
def test_an_error_is_not_raised_again_while_it_is_dealt_with(monkeypatch, number, raises, error):
    monkeypatch.setattr(sigterm, "LOST_SECONDS", 0.0)
    told = []
    monkeypatch.setattr(sigterm, "_tell_main_thread", told.append)
    with pytest.raises(ValueError, match="tidied up"), raises():  # noqa: PT012
        try:
            signal.raise_signal(number)
        except error:
            assert not threading.Event().wait(0.02)
            raise ValueError("tidied up") from None
    assert told == []


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
