"""Promises of the batcher: shared batches, bounded memory, failures that stay where they are."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from classifiers.batcher import MAX_PADDING, Batcher
from classifiers.errors import InferenceError, Overloaded
from classifiers.tokenise import Window


def rows(*lengths):
    return [Window(ids=list(range(n)), first=n) for n in lengths]


class Recorder:
    """A runner that returns each row's length; can be held closed, and fails on chosen lengths."""

    def __init__(self, *, fails_on=None, held=False):
        self.batches = []
        self.fails_on = fails_on
        self.gate = threading.Event()
        if not held:
            self.gate.set()

    def __call__(self, windows):
        self.gate.wait(5)
        lengths = [len(w.ids) for w in windows]
        self.batches.append(lengths)
        if self.fails_on in lengths:
            raise RuntimeError("no memory")
        return lengths


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def batcher_of(thread):
    return lambda runner, **limits: Batcher(runner=runner, thread=thread, **limits)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the counters announce nothing
            await asyncio.sleep(0.001)


async def test_results_come_back_in_the_order_of_the_request(batcher_of):
    batcher = batcher_of(Recorder(), batch_tokens=20)
    assert await batcher.run(rows(9, 2, 7, 3, 1, 8)) == [9, 2, 7, 3, 1, 8]


async def test_nothing_to_score_is_no_work(batcher_of):
    runner = Recorder()
    assert await batcher_of(runner).run([]) == []
    assert runner.batches == []


async def test_requests_of_different_traces_share_a_batch(batcher_of):
    runner = Recorder()
    batcher = batcher_of(runner)
    await asyncio.gather(*(batcher.run(rows(5)) for _ in range(8)))
    assert runner.batches == [[5] * 8]


async def test_a_batch_stays_within_its_budget_after_padding(batcher_of):
    runner = Recorder()
    await batcher_of(runner, batch_tokens=64).run(rows(*range(1, 31)))
    assert all(len(b) * max(b) <= 64 or len(b) == 1 for b in runner.batches)
    assert sorted(n for b in runner.batches for n in b) == list(range(1, 31))


async def test_rows_of_other_lengths_wait_rather_than_be_padded(batcher_of):
    runner = Recorder()
    lengths = [16, 128] * 40
    await batcher_of(runner, batch_tokens=8192).run(rows(*lengths))
    padded = sum(len(b) * max(b) for b in runner.batches)
    assert padded <= sum(lengths) / (1 - MAX_PADDING)
    assert len(runner.batches) <= 4


async def test_small_batches_mix_lengths(batcher_of):
    runner = Recorder()
    await batcher_of(runner).run(rows(100, 3, 50))
    assert len(runner.batches) == 1


async def test_a_row_longer_than_the_budget_still_runs(batcher_of):
    assert await batcher_of(Recorder(), batch_tokens=16).run(rows(100, 3)) == [100, 3]


async def test_rows_of_similar_length_run_together(batcher_of):
    runner = Recorder()
    batcher = batcher_of(runner, batch_tokens=400)
    await batcher.run(rows(*([10, 100] * 12)))
    assert batcher.counters.padded_tokens <= 1.4 * batcher.counters.tokens


async def test_the_oldest_row_is_never_passed_over(batcher_of):
    runner = Recorder(held=True)
    batcher = batcher_of(runner, batch_tokens=20)
    first = asyncio.create_task(batcher.run(rows(1)))
    await until(lambda: batcher.counters.batches == 1)
    old = asyncio.create_task(batcher.run(rows(19)))
    await asyncio.sleep(0)
    crowd = asyncio.create_task(batcher.run(rows(*[2] * 30)))
    await asyncio.sleep(0)
    runner.gate.set()
    await asyncio.gather(first, old, crowd)
    assert runner.batches[1] == [19]


async def test_a_cancelled_request_is_dropped_before_it_runs_and_counted(batcher_of):
    runner = Recorder(held=True)
    batcher = batcher_of(runner)
    running = asyncio.create_task(batcher.run(rows(1)))
    await until(lambda: batcher.counters.batches == 1)
    given_up = asyncio.create_task(batcher.run(rows(7, 7)))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    runner.gate.set()
    await running
    await batcher.run(rows(2))
    assert runner.batches == [[1], [2]]
    assert batcher.counters.abandoned == 2
    assert batcher.queued_tokens == 0


async def test_a_full_queue_turns_new_requests_away_and_recovers(batcher_of):
    runner = Recorder(held=True)
    batcher = batcher_of(runner, queue_tokens=10)
    running = asyncio.create_task(batcher.run(rows(1)))
    await until(lambda: batcher.counters.batches == 1)
    waiting = asyncio.create_task(batcher.run(rows(8)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="8 tokens wait"):
        await batcher.run(rows(1, 2))
    assert batcher.counters.rejected == 2
    runner.gate.set()
    assert await asyncio.gather(running, waiting) == [[1], [8]]
    assert await batcher.run(rows(3)) == [3]


async def test_cancelled_rows_do_not_keep_the_queue_full(batcher_of):
    runner = Recorder(held=True)
    batcher = batcher_of(runner, queue_tokens=10)
    running = asyncio.create_task(batcher.run(rows(1)))
    await until(lambda: batcher.counters.batches == 1)
    given_up = asyncio.create_task(batcher.run(rows(9)))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    admitted = asyncio.create_task(batcher.run(rows(9)))
    runner.gate.set()
    assert await asyncio.gather(running, admitted) == [[1], [9]]


async def test_an_idle_batcher_takes_a_request_larger_than_its_queue(batcher_of):
    assert await batcher_of(Recorder(), queue_tokens=4).run(rows(5, 5)) == [5, 5]


async def test_a_failing_batch_fails_only_its_own_requests(batcher_of):
    batcher = batcher_of(Recorder(fails_on=90), batch_tokens=90)
    bad, good = await asyncio.gather(
        batcher.run(rows(90)), batcher.run(rows(5, 6)), return_exceptions=True
    )
    assert isinstance(bad, InferenceError)
    assert good == [5, 6]
    assert (batcher.counters.failed, batcher.counters.completed) == (1, 2)


async def test_a_runner_that_loses_a_row_is_a_failure_not_a_wrong_score(batcher_of):
    batcher = batcher_of(lambda windows: [0] * (len(windows) - 1))
    with pytest.raises(InferenceError, match="1 results for 2 rows"):
        await batcher.run(rows(1, 1))


async def test_closing_lets_the_running_batch_end_and_refuses_the_rest(batcher_of):
    runner = Recorder(held=True)
    batcher = batcher_of(runner)
    running = asyncio.create_task(batcher.run(rows(1)))
    await until(lambda: batcher.counters.batches == 1)
    waiting = asyncio.create_task(batcher.run(rows(2)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.aclose())
    await asyncio.sleep(0)
    runner.gate.set()
    await closing
    assert await running == [1]
    with pytest.raises(InferenceError, match="closed"):
        await waiting
    with pytest.raises(InferenceError, match="closed"):
        await batcher.run(rows(1))


async def test_every_row_is_counted_exactly_once(batcher_of):
    batcher = batcher_of(Recorder(), batch_tokens=50)
    await asyncio.gather(*(batcher.run(rows(*range(1, 20))) for _ in range(5)))
    counters = batcher.counters
    assert counters.submitted == counters.completed == 95
    assert counters.tokens == 5 * sum(range(1, 20))
    assert counters.abandoned == counters.rejected == counters.failed == 0
