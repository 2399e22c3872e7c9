from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

from livervol.kernels.beside import Beside


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_run_once_and_in_the_order_they_were_begun(threads):
    ran = []
    with Beside(threads) as beside:
        results = [beside.begin(lambda n=n: ran.append(n) or n * n) for n in range(5)]
        assert [result() for result in results] == [0, 1, 4, 9, 16]
        assert [result() for result in results] == [0, 1, 4, 9, 16]
    assert ran == [0, 1, 2, 3, 4]


def test_one_thread_runs_a_step_in_the_caller_when_it_is_asked_for():
    ran = []
    with Beside(1) as beside:
        result = beside.begin(lambda: ran.append(threading.current_thread()))
        assert ran == []
        result()
    assert ran == [threading.current_thread()]


def test_two_threads_begin_at_once_and_beside_the_caller():
    begun = threading.Event()
    with Beside(2) as beside:
        result = beside.begin(lambda: begun.set() or threading.current_thread())
        assert begun.wait(30)
        assert result() is not threading.current_thread()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_step_raises_is_raised_where_it_is_asked_for(threads):
    def fail():
        raise ValueError("no")

    with Beside(threads) as beside:
        result, after = beside.begin(fail), beside.begin(lambda: 3)
        with pytest.raises(ValueError, match="no"):
            result()
        assert after() == 3


def test_leaving_waits_for_what_runs_and_drops_what_does_not():
    begun, go_on, ran = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        go_on.wait(30)
        ran.append("slow")

    with pytest.raises(RuntimeError, match="caller"), Beside(2) as beside:
        beside.begin(slow)
        beside.begin(lambda: ran.append("dropped"))
        assert begun.wait(30)
        threading.Timer(0.05, go_on.set).start()
        raise RuntimeError("caller")
    assert ran == ["slow"]


@pytest.mark.parametrize("threads", [1, 2])
def test_settings_of_the_caller_hold(threads):
    with np.errstate(divide="raise"), Beside(threads) as beside:
        result = beside.begin(lambda: np.float64(1) / np.float64(0))
        with pytest.raises(FloatingPointError):
            result()


@pytest.mark.parametrize("threads", [1, 2])
def test_every_second_step_is_shared(threads):
    here, places = threading.get_ident(), []

    def step(n):
        places.append((n, threading.get_ident() == here))
        return n * n

    with Beside(threads) as beside:
        results = [result() for result in beside.share([partial(step, n) for n in range(4)])]
    assert results == [0, 1, 4, 9]
    assert dict(places) == {n: threads == 1 or n % 2 == 0 for n in range(4)}
