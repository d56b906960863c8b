"""Jobs run so many at a time, and what finished comes back whatever the source of jobs does."""

import asyncio
import threading
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
    gate = threading.Event()

    async def job():
        nonlocal running, most
        running += 1
        most = max(most, running)
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
        seen.append(taken)
        gate.set()

    results = iter(Dispatch(loop, endless(), 3))
    threading.Timer(0.2, open_gate).start()
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
        assert more.wait(10)
        yield partial(returned, "second")

    results = iter(Dispatch(loop, source(), 8))
    assert next(results) == "first"
    more.set()
    assert list(results) == ["second"]


def test_the_failure_of_a_job_ends_it_and_stops_the_others(loop):
    stopped = threading.Event()

    async def long():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise

    async def failing():
        await asyncio.sleep(0.05)
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        list(Dispatch(loop, [long, failing], 2))
    assert stopped.wait(5)


def test_the_failure_of_the_source_is_the_consumers(loop):
    def source():
        yield partial(returned, 1)
        raise ValueError("line 7")

    with pytest.raises(ValueError, match="line 7"):
        list(Dispatch(loop, source(), 2))


def test_a_consumer_that_goes_away_stops_what_runs(loop):
    stopped = threading.Event()

    async def long():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise

    results = iter(Dispatch(loop, iter([partial(returned, 1), long]), 2))
    assert next(results) == 1
    results.close()
    assert stopped.wait(5)
