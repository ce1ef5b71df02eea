import os
import signal
import sys

import pytest

from stsm_cli.engine import launch as engine
from stsm_cli.engine.distributed import LOST
from stsm_cli.engine.launch import launch
from stsm_cli.errors import InterruptedRunError, PreemptedError, StsmError

HEAD = "import os, signal, sys; rank = int(os.environ['RANK'])\n"


def run(script):
    return launch([sys.executable, "-S", "-c", HEAD + script], 2, hint="go on")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(engine, "OTHERS_SECONDS", 0.2)
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.01)


def test_processes_are_what_torchrun_starts(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"]
    script = f"open(sys.path[0] + str(rank), 'w').write(' '.join(map(os.environ.get, {names})))"
    script = (
        f"sys.path[0] = {str(tmp_path)!r} + '/'; assert int(os.environ['MASTER_PORT'])\n{script}"
    )
    assert run(script + "; assert int(os.environ['OMP_NUM_THREADS'])") == 0
    told = [(tmp_path / str(rank)).read_text() for rank in range(2)]
    assert told == ["0 0 2 2 127.0.0.1", "1 1 2 2 127.0.0.1"]


def test_at_a_second_ctrl_c_what_hangs_is_killed():
    script = """
def heed(*_):  # asks a second time, and goes on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.kill(os.getppid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.SIG_IGN if rank else heed)
rank or os.kill(os.getppid(), signal.SIGINT)
while True: signal.pause()
"""
    with pytest.raises(InterruptedRunError, match="processes that did not end were killed") as told:
        run(script)
    assert told.value.hint == "go on"


@pytest.mark.parametrize("code", [1, 2, 75, 130])
def test_what_the_first_process_tells_is_not_told_again(code):
    assert run(f"sys.exit({code})") == code


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            f"os.kill(os.getpid(), signal.SIGKILL) if rank else sys.exit({LOST})",
            "process 1 of 2 was killed by SIGKILL; the others were stopped",
        ),
        (
            f"sys.exit({LOST}) if rank else os.kill(os.getpid(), signal.SIGSEGV)",
            "process 0 of 2 was killed by SIGSEGV; the others were stopped",
        ),
        (
            f"sys.exit(7 if rank else {LOST})",
            "process 1 of 2 ended with exit code 7; the others were stopped",
        ),
        ("sys.exit(7 if rank else 0)", "process 1 of 2 ended with exit code 7"),
        (
            f"os.kill(os.getpid(), 36) if rank else sys.exit({LOST})",
            "process 1 of 2 was killed by signal 36",
        ),
        (f"sys.exit({LOST})", "the processes of the run lost each other"),
    ],
)
def test_a_process_that_dies_is_named(script, message):
    with pytest.raises(StsmError, match=message) as error:
        run(script)
    assert error.value.exit_code == 1
    assert error.value.hint == "go on"


def test_processes_that_hang_when_another_has_died_are_ended():
    hang = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    with pytest.raises(StsmError, match="process 1 of 2 ended with exit code 9"):
        run(f"if rank: sys.exit(9)\n{hang}")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 75)])
def test_a_signal_reaches_every_process_once(name, code, tmp_path):
    os.mkfifo(tmp_path / "ready")
    script = f"""
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.{name}}})
with open({str(tmp_path / "ready")!r}, 'w' if rank else 'r') as ready:  # opens when both do
    rank or os.kill(os.getppid(), signal.{name})
signal.sigwait([signal.{name}])
sys.exit(1 if signal.{name} in signal.sigpending() else {code})
"""
    before = signal.getsignal(getattr(signal, name))
    assert run(script) == code
    assert signal.getsignal(getattr(signal, name)) is before


def test_a_signal_that_comes_while_they_are_started_reaches_all(monkeypatch):
    start = engine.subprocess.Popen

    def signalled(*words, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.setattr(engine.subprocess, "Popen", start)
        return start(*words, **options)

    monkeypatch.setattr(engine.subprocess, "Popen", signalled)
    with pytest.raises(PreemptedError, match="stopped by SIGTERM"):
        run("signal.pause()")


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", InterruptedRunError), ("SIGTERM", PreemptedError)]
)
def test_a_signal_that_comes_before_it_is_heeded(name, error):
    with pytest.raises(error, match=f"stopped by {name}"):
        run(f"signal.signal(signal.{name}, signal.SIG_DFL); os.kill(os.getpid(), signal.{name})")
    with pytest.raises(error, match=f"stopped by {name}"):  # told by a process that may not talk
        run(f"sys.exit({error.exit_code} if rank else {LOST})")
