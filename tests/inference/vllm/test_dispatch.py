"""Jobs run so many at a time, and what finished comes back whatever the source of jobs does."""

import asyncio
import threading
import time
from functools import partial

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.vllm.dispatch import Dispatch


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop

    async def end():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run_coroutine_threadsafe(end(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def returned(value, after=0.0):
    await asyncio.sleep(after)
    return value


def test_everything_comes_back(loop):
    jobs = [partial(returned, i, 0.001 * (i % 5)) for i in range(100)]
    assert sorted(Dispatch(loop, jobs, 7)) == list(range(100))
    assert list(Dispatch(loop, [], 7)) == []


def test_no_job_is_taken_before_it_has_a_place(loop):
    taken, running, most = 0, 0, 0
    full, gate = threading.Event(), threading.Event()

    async def job():
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        while not gate.is_set():
            await asyncio.sleep(0.001)
        running -= 1

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield job

    seen = []

    def open_gate():
        full.wait(60)
        time.sleep(0.2)  # in which a fourth could be taken
        seen.append(taken)
        gate.set()

    results = iter(Dispatch(loop, endless(), 3))
    threading.Thread(target=open_gate).start()
    for _ in range(51):
        next(results)
    # While none had finished no fourth was taken, and at no time did more than three run.
    assert seen[0] <= 3
    assert most == 3
    results.close()


def test_what_finished_comes_while_the_source_blocks(loop):
    more = threading.Event()

    def source():
        yield partial(returned, "first")
        assert more.wait(60)
        yield partial(returned, "second")

    results = iter(Dispatch(loop, source(), 8))
    assert next(results) == "first"
    more.set()
    assert list(results) == ["second"]


class Long:
    """A job that ends only when it is stopped, and another that waits until it has begun."""

    def __init__(self):
        self.begun, self.stopped = threading.Event(), threading.Event()

    async def run(self):
        try:
            self.begun.set()
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.stopped.set()
            raise

    async def beside(self):
        while not self.begun.is_set():
            await asyncio.sleep(0.001)


def test_the_failure_of_a_job_ends_it_and_stops_the_others(loop):
    long = Long()

    async def failing():
        await long.beside()
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        list(Dispatch(loop, [long.run, failing], 2))
    assert long.stopped.wait(60)


def test_the_failure_of_the_source_is_the_consumers(loop):
    def source():
        yield partial(returned, 1)
        raise ValueError("line 7")

    with pytest.raises(ValueError, match="line 7"):
        list(Dispatch(loop, source(), 2))


def test_a_consumer_that_goes_away_stops_what_runs(loop):
    long = Long()
    results = iter(Dispatch(loop, iter([long.beside, long.run]), 2))
    assert next(results) is None
    results.close()
    assert long.stopped.wait(60)
