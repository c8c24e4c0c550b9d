"""Verdicts that wait for the store are written together, and none costs another its record."""

import asyncio
import threading

import pytest

from monitor.errors import RecordingError
from monitor.recording import TOGETHER, recorder
from monitor.store import StoreError


class Slow:
    """A store that writes when it is told to, and refuses what is called `bad`."""

    def __init__(self):
        self.written = []
        self.go_on = threading.Event()
        self.begun = threading.Event()

    def record_verdicts(self, pairs):
        names = [verdict for verdict, _ in pairs]
        self.begun.set()
        assert self.go_on.wait(60)
        if "bad" in names:
            raise StoreError("no")
        self.written.append(names)


@pytest.fixture
def store():
    store = Slow()
    yield store
    store.go_on.set()


async def begun(store):
    await asyncio.to_thread(store.begun.wait, 60)


async def test_what_comes_while_one_is_written_is_written_together_in_order(store):
    record = recorder(store)
    tasks = [asyncio.create_task(record("first", None))]
    await begun(store)
    names = [f"v{n}" for n in range(TOGETHER + 1)]
    tasks += [asyncio.create_task(record(name, None)) for name in names]
    await asyncio.sleep(0)
    store.go_on.set()
    await asyncio.gather(*tasks)
    assert store.written == [["first"], names[:TOGETHER], names[TOGETHER:]]


async def test_nobody_is_answered_before_his_verdict_is_written(store):
    record = asyncio.create_task(recorder(store)("one", None))
    await begun(store)
    assert not record.done()
    store.go_on.set()
    await record
    assert store.written == [["one"]]


async def test_one_that_cannot_be_written_costs_no_other_its_record(store):
    record = recorder(store)
    tasks = [asyncio.create_task(record(name, None)) for name in ("first", "a", "bad", "b")]
    await begun(store)
    store.go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [type(None), type(None), RecordingError, type(None)]
    assert sorted(name for names in store.written for name in names) == ["a", "b", "first"]


async def test_a_verdict_that_nobody_waits_for_any_more_is_written_all_the_same(store):
    record = recorder(store)
    task = asyncio.create_task(record("late", None))
    await begun(store)
    task.cancel()
    await asyncio.wait([task])
    store.go_on.set()
    await record("next", None)
    assert store.written == [["late"], ["next"]]
