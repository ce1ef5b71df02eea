import signal
import subprocess
import sys
import threading

import pytest

from stsm_cli.data.interrupts import children_ignore_ctrl_c


def test_ctrl_c_comes_behind_the_block():
    inside = []
    with pytest.raises(KeyboardInterrupt), children_ignore_ctrl_c():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        inside.append("to its end")
    assert inside == ["to its end"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


CHILD = """
import multiprocessing, signal, sys
from stsm_cli.data.interrupts import children_ignore_ctrl_c

def exit_after_ctrl_c():
    signal.raise_signal(signal.SIGINT)
    sys.exit(7)

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=exit_after_ctrl_c)
    with children_ignore_ctrl_c():
        process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_is_started_inside_ignores_it(tmp_path, method):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    assert subprocess.run([sys.executable, script, method], check=False).returncode == 7


def test_outside_the_main_thread_there_is_nothing_to_ignore():
    entered = []

    def enter():
        with children_ignore_ctrl_c():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGINT)]
