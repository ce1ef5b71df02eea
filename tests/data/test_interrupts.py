import signal
import threading

from stsm_cli.data.interrupts import children_ignore_ctrl_c


def test_ctrl_c_is_ignored_inside_and_heard_again_behind():
    before = signal.getsignal(signal.SIGINT)
    with children_ignore_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_there_is_nothing_to_ignore():
    entered = []

    def enter():
        with children_ignore_ctrl_c():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGINT)]
