"""Threads that work a few items ahead, and results in order."""

import threading
import time

import pytest

from hf_vitret.data.in_order import map_in_order


@pytest.mark.parametrize("num_threads", [None, 1, 3])
def test_results_come_in_order(num_threads):
    def slow_at_first(number):
        time.sleep(0.01 if number % 5 == 0 else 0)
        return number * number

    assert list(map_in_order(slow_at_first, range(50), num_threads)) == [number * number for number in range(50)]


def test_few_items_are_taken_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    for position, _ in enumerate(map_in_order(lambda number: number, items(), 2)):
        assert len(taken) <= position + 10  # 4 for each thread, the one yielded and the next one


def test_several_threads_work_at_once():
    barrier = threading.Barrier(3, timeout=10)  # broken, and an error, unless three wait at it together
    assert len(list(map_in_order(lambda _: barrier.wait(), range(3), 3))) == 3


def test_an_error_comes_at_its_item_and_ends_the_work():
    def fail_at_three(number):
        if number == 3:
            raise RuntimeError("three")
        return number

    results = map_in_order(fail_at_three, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="three"):
        next(results)
