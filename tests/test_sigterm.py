import signal
import threading

import pytest

from stsm_cli import __main__, sigterm
from stsm_cli.cli import app
from stsm_cli.errors import TerminatedExit
from stsm_cli.sigterm import sigterm_raises


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


@pytest.mark.parametrize(("rank", "said"), [("0", "stopped by SIGTERM\n"), ("1", "")])
def test_every_command_ends_in_75(monkeypatch, capsys, rank, said):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(app, "run", lambda arguments: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert (stop.value.code, capsys.readouterr().err) == (75, said)
