"""Messages reach the broker in their order, whatever it does meanwhile."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka import courier
from stream.kafka.courier import Courier
from stream.kafka.memory import Memory
from stream.kafka.metrics import GateMetrics
from stream.kafka.port import MessageRefused, Topic
from stream.kafka.spool import Parcel, Spool


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(courier, "RETRY", 0.001)
    monkeypatch.setattr(courier, "LAST_SECONDS", 0.01)


def parcel(number):
    return Parcel(topic="t", key=b"k", value=str(number).encode())


def broker():
    made = Memory()
    made.create([Topic(name="t", partitions=1, settings={})])
    return made


def arrived(at):
    follower = at.follower(["t"], from_start=True)
    return [int(m.value) for m in follower.poll(0, at_most=100_000).messages]


@asynccontextmanager
async def running(at, folder, limit=2**20, metrics=None, connect=None):
    made = Courier(connect or at.producer, Spool(folder, limit=limit), metrics or GateMetrics())
    async with made.working():
        yield made


async def until(condition):
    while not condition():  # noqa: ASYNC110 -- what is looked at sets no event
        await asyncio.sleep(0.001)


@settings(max_examples=30)
@given(script=st.lists(st.sampled_from(["send", "send", "toggle", "restart", "wait"]), max_size=40))
def test_every_message_arrives_and_none_overtakes(tmp_path_factory, script):
    folder = tmp_path_factory.mktemp("spool")

    async def play():
        at, count, steps = broker(), 0, iter(script)
        over = False
        while not over:
            async with running(at, folder) as made:
                over = True
                for step in steps:
                    if step == "send":
                        assert made.offer(parcel(count))
                        count += 1
                    elif step == "toggle":
                        at.down = not at.down
                    elif step == "wait":
                        await asyncio.sleep(0.002)
                    else:
                        over = False
                        break
        at.down = False
        async with running(at, folder) as made:
            await until(lambda: set(arrived(at)) == set(range(count)) and not made.down)
        firsts = list(dict.fromkeys(arrived(at)))
        assert firsts == list(range(count))

    asyncio.run(play())


async def test_what_has_no_room_on_disk_is_counted(tmp_path):
    at, metrics = broker(), GateMetrics()
    at.down = True
    async with running(at, tmp_path, limit=100, metrics=metrics) as made:
        for n in range(10):
            made.offer(parcel(n))
        await until(lambda: b"subtext_gate_dropped_total 0.0" not in metrics.exposition())
        at.down = False
        await until(lambda: arrived(at) and not made.down)
    assert arrived(at) == list(range(len(arrived(at))))
    dropped = 10 - len(arrived(at))
    assert f"subtext_gate_dropped_total {dropped}.0".encode() in metrics.exposition()


async def test_too_much_in_memory_is_refused_and_whoever_can_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "MAX_WAITING", 10)
    at = broker()
    async with running(at, tmp_path) as made:
        assert made.offer(parcel(11_111_111))
        assert not made.offer(parcel(22_222_222))
        await asyncio.wait_for(made.room(), 30)
        assert made.offer(parcel(33_333_333))
        await until(lambda: len(arrived(at)) == 2)


async def test_a_message_that_the_broker_never_takes_stops_no_other(tmp_path):
    at, metrics = broker(), GateMetrics()

    class Picky:
        def __init__(self):
            self.real = at.producer()

        def send(self, topic, *, key, value, headers):
            future = self.real.send(topic, key=key, value=value, headers=headers)
            if value == b"1":
                future = type(future)()
                future.set_exception(MessageRefused("too large"))
            return future

        def close(self):
            self.real.close()

    async with running(at, tmp_path, metrics=metrics, connect=Picky) as made:
        for n in range(3):
            made.offer(parcel(n))
        await until(lambda: b"subtext_gate_dropped_total 1.0" in metrics.exposition())
        assert 2 in arrived(at)
        assert not made.down
