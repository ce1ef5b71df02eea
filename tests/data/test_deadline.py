import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import SimpleQueue

import pytest

from stsm_cli.data import deadline
from stsm_cli.data.deadline import alive, also_tell, pool_of, within


class Result:
    """Something that can be watched."""


def test_work_gives_what_it_gives_and_raises_what_it_raises():
    assert within(60, lambda: 7) == 7
    with pytest.raises(KeyError, match="name"):
        within(60, lambda: {}["name"])


def test_a_thread_is_used_again_after_success_and_failure():
    first = within(60, threading.get_ident)
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)
    assert within(60, threading.get_ident) == first != threading.get_ident()


def test_work_that_hangs_is_left_behind_in_a_thread_that_does_not_keep_the_process_alive():
    release, hanging = threading.Event(), []

    def hang():
        hanging.append(threading.current_thread())
        release.wait()

    with pytest.raises(FutureTimeoutError):
        within(0.01, hang)
    assert within(60, threading.get_ident) != hanging[0].ident
    assert hanging[0].daemon
    release.set()


class Clock:
    """Time that passes only when somebody waits, or is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(deadline, "time", self)

    def monotonic(self):
        return self.now


def test_work_that_shows_signs_of_life_may_take_for_ever(monkeypatch):
    clock, steps, waited = Clock(monkeypatch), SimpleQueue(), SimpleQueue()

    def wait(outcomes, patience):  # in the caller's thread: 9 of 10 seconds pass each time
        waited.put(patience)
        clock.now += 9
        steps.get(timeout=60)

    def work():
        for _ in range(5):
            waited.get(timeout=60)
            alive()
            steps.put(None)
        return clock.now

    monkeypatch.setattr(deadline, "wait", wait)
    assert within(10, work) >= 45


def test_time_in_which_the_waiting_itself_was_held_up_does_not_count(monkeypatch):
    clock, release = Clock(monkeypatch), threading.Event()

    def wait(outcomes, patience):  # Ctrl-Z, for an hour
        clock.now += 3600
        if clock.now > 3600:
            release.set()
            outcomes[0].result(60)

    monkeypatch.setattr(deadline, "wait", wait)
    assert within(10, lambda: release.wait(60))


def test_work_that_is_given_up_ends_at_its_next_sign_of_life():
    release, ended = threading.Event(), threading.Event()

    def hang():
        release.wait()
        try:
            alive()
        finally:
            ended.set()

    with pytest.raises(FutureTimeoutError):
        within(0.01, hang)
    release.set()
    assert ended.wait(60)


def test_a_sign_of_life_from_elsewhere_means_nothing():
    alive()


def test_a_process_that_is_watched_hears_every_sign_of_life(monkeypatch):
    monkeypatch.setattr(deadline, "_listeners", [])
    heard = []
    also_tell(lambda: heard.append(threading.current_thread()))
    alive()
    within(60, alive)
    assert [thread is threading.main_thread() for thread in heard] == [True, False]


def test_callers_do_not_wait_for_each_other():
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:  # passes only if all four are there at once
        assert sorted(pool.map(lambda _: within(60, barrier.wait), range(4))) == [0, 1, 2, 3]


def test_nothing_is_kept_of_finished_work():
    result = within(60, Result)
    gone = weakref.ref(result)
    within(60, lambda: None)
    del result
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    within(60, lambda: None)
    child = os.fork()
    if child == 0:
        os._exit(within(10, lambda: 7))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_error_ends_what_a_pool_does_and_drops_what_waits():
    begun, ended = SimpleQueue(), SimpleQueue()

    def work():
        begun.put(threading.get_ident())
        try:
            while True:
                alive()
        finally:
            ended.put(threading.get_ident())

    with pytest.raises(KeyboardInterrupt), pool_of(2) as pool:  # noqa: PT012
        for _ in range(9):
            pool.submit(within, 600, work)
        first = {begun.get(), begun.get()}
        raise KeyboardInterrupt
    assert {ended.get_nowait(), ended.get_nowait()} == first
    assert begun.empty()
    assert within(60, lambda: alive() or 7) == 7  # the threads are good for other work
