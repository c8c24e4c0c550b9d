"""What a worker does with what it reads: judged, recorded, published, committed, in that order."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from classifiers.fake import FakeClassifier
from monitor.dialects import trace_to_json
from monitor.store import Query, Store, StoreUnavailable
from monitor.types import Channel, Decision, Disclosure, Part, Trace
from stream.kafka import messages
from stream.kafka.docket import Limits
from stream.kafka.ledger import Ledger
from stream.kafka.memory import Memory
from stream.kafka.port import TransportError
from stream.kafka.table import Patience
from stream.kafka.topics import Topics
from stream.kafka.worker import Worker, WorkerError
from tests.support import MARKERS, engine, fake

TOPICS = Topics()
PAD = "Some ordinary words that make up a sentence of usual length. " * 5
QUICK = Limits(commit_seconds=0, drain_seconds=5)


def a_trace(name, thinking=PAD, answer="All is well.", **fields):
    parts = (
        Part(channel=Channel.THINKING, text=thinking),
        Part(channel=Channel.ANSWER, text=answer),
    )
    return Trace(trace_id=name, parts=parts, model="m", tenant="acme", **fields)


def cut(trace, size=40):
    """The trace as pieces of a few characters, as a model would stream it."""
    return [
        (Part(channel=part.channel, text=part.text[at : at + size]),)
        for part in trace.parts
        for at in range(0, len(part.text), size)
    ]


class Bench:
    """A broker, a store, and workers between them."""

    def __init__(self, store, broker=None, partitions=3):
        self.store = store
        self.broker = broker or Memory()
        self.broker.create(TOPICS.to_create(partitions=partitions, days=1))
        self.producer = self.broker.producer()

    def send(self, *found, raw=None, key=b"k", headers=None):
        if raw is not None:
            headers = messages.headers(tenant="") if headers is None else headers
            self.producer.send(TOPICS.traces, key=key, value=raw, headers=headers).result()
        for message in found:
            self.producer.send(
                TOPICS.traces,
                key=message.trace_id.encode(),
                value=messages.encode(message),
                headers=messages.headers(tenant=message.tenant, context="00-ab-cd-01"),
            ).result()

    @asynccontextmanager
    async def working(self, limits=QUICK, classifier=None, store=None):
        ledger = Ledger(store or self.store)
        shared = engine(classifier=classifier, record=ledger.record)
        worker = Worker(
            engine=shared,
            ledger=ledger,
            transport=self.broker,
            topics=TOPICS,
            group="g",
            limits=limits,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(worker.run(stop))
        worker.task = task
        try:
            yield worker
        finally:
            stop.set()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception():
                raise task.exception()

    def read(self, topic):
        follower = self.broker.follower([topic], from_start=True)
        return [m for _ in range(2) for m in follower.poll(0, at_most=100_000).messages]

    def verdicts(self):
        return [messages.read_verdict(m) for m in self.read(TOPICS.verdicts)]

    def letters(self):
        return [json.loads(m.value) for m in self.read(TOPICS.deadletter)]

    def rows(self):
        return self.store.verdicts(Query(limit=1000)).rows

    def left(self):
        """Messages that another worker would read."""
        committed = self.broker.committed("g")
        traces = self.read(TOPICS.traces)
        return len([m for m in traces if m.offset >= committed.get(m.partition, 0)])


async def until(condition):
    """Wait for it; the test's own time-out ends what never comes."""
    while not condition():  # noqa: ASYNC110 -- what is looked at is in other threads
        await asyncio.sleep(0.01)


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def bench(store):
    return Bench(store)


async def test_a_trace_is_judged_recorded_published_and_committed(bench):
    bench.send(messages.whole(a_trace("one", thinking=PAD + "PLOT " + PAD)))
    async with bench.working():
        await until(lambda: bench.left() == 0)
    (row,) = bench.rows()
    (told,) = bench.verdicts()
    assert (row.trace_id, row.decision, row.tenant) == ("one", Decision.BLOCK, "acme")
    assert told.verdict["verdict_id"] == row.verdict_id
    assert told.verdict["should_block"] is True
    assert told.verdict["evidence"]
    assert (told.trace_id, told.tenant, told.model) == ("one", "acme", "m")
    (sent,) = bench.read(TOPICS.verdicts)
    assert sent.key == b"one"
    assert messages.header(sent.headers, "traceparent") == "00-ab-cd-01"
    assert messages.header(sent.headers, "subtext-tenant") == "acme"
    stored = bench.store.verdict(row.verdict_id).trace
    assert stored.thinking == PAD + "PLOT " + PAD


async def test_a_thousand_traces_at_once_get_the_verdicts_of_the_whole_ones(bench):
    order = random.Random(7)
    traces = [
        a_trace(f"t{n}", thinking=PAD[n % 50 :] + ("PLOT " if n % 3 == 0 else "HINT " * (n % 2)))
        for n in range(1000)
    ]
    waiting = {t.trace_id: messages.pieces(t, cut(t, 150)) for t in traces}
    while waiting:
        name = order.choice(list(waiting))
        bench.send(waiting[name].pop(0))
        if not waiting[name]:
            del waiting[name]
    async with bench.working():
        await until(lambda: bench.left() == 0)
    told = {v.trace_id: v.verdict for v in bench.verdicts()}
    alone = engine()
    for trace in traces:
        expected = await alone.judge(trace)
        assert told[trace.trace_id]["decision"] == expected.decision.name.lower()
        scores = [s["deception"] for s in told[trace.trace_id]["steps"]]
        assert scores == [round(s.scores["deception"], 4) for s in expected.steps]
    assert bench.store.summary().total == 1000


async def test_a_trace_that_is_still_open_is_not_committed_and_rebuilt_by_the_next(bench):
    trace = a_trace("open", thinking=PAD + "BOMB")
    first, *others = messages.pieces(trace, cut(trace))
    bench.send(first, messages.whole(a_trace("whole")))
    async with bench.working():
        await until(lambda: len(bench.rows()) == 1)
    committed = bench.broker.committed("g")
    (message,) = [m for m in bench.read(TOPICS.traces) if m.key == b"open"]
    assert committed.get(message.partition, 0) <= message.offset
    bench.send(*others)
    async with bench.working():
        await until(lambda: bench.left() == 0)
    assert {r.trace_id: r.decision for r in bench.rows()} == {
        "whole": Decision.ALLOW,
        "open": Decision.BLOCK,
    }


async def test_what_is_delivered_again_is_stored_once_and_told_alike(bench):
    bench.send(messages.whole(a_trace("one", thinking="PLOT")))
    for _ in range(2):
        async with bench.working():
            await until(lambda: bench.left() == 0)
        bench.broker.forget("g")
    (row,) = bench.rows()
    assert bench.store.newest_seq() == 0
    first, second = (v.verdict for v in bench.verdicts())
    assert first["verdict_id"] == second["verdict_id"] == row.verdict_id
    assert first["created_at"] == second["created_at"]
    assert second["decision"] == "block"


async def test_a_trace_that_falls_silent_ends_unjudged(bench):
    trace = a_trace("silent")
    bench.send(messages.pieces(trace, cut(trace))[0])
    limits = Limits(commit_seconds=0, patience=Patience(silence=0.3))
    async with bench.working(limits):
        await until(lambda: bench.left() == 0)
    (row,) = bench.rows()
    assert row.decision is Decision.BLOCK
    assert "deadline" in row.unscored
    assert bench.store.verdict(row.verdict_id).trace.thinking == PAD[:40]


async def test_what_a_sender_knows_of_the_end_is_in_the_record_of_a_trace_in_pieces(bench):
    trace = a_trace("cut", problem="it broke off", disclosure=Disclosure(redacted=True))
    bench.send(*messages.pieces(trace, cut(trace)))
    async with bench.working():
        await until(lambda: bench.left() == 0)
    (row,) = bench.rows()
    assert row.unscored == "it broke off"
    assert bench.verdicts()[0].verdict["coverage_gaps"] == ["sealed_thinking"]


async def test_a_worker_is_ready_while_the_broker_answers_and_it_reads(bench):
    async with bench.working() as worker:
        await until(lambda: worker.ready["partitions"])
        await until_reached(worker)
        bench.broker.down = True
        with pytest.raises(TransportError):
            await worker.reach()
        bench.broker.down = False
        await until_reached(worker)


async def until_reached(worker):
    """Wait for it; the test's own time-out ends what never comes."""
    while True:
        try:
            return await worker.reach()
        except TransportError:
            await asyncio.sleep(0.01)


async def test_progress_is_told_only_of_traces_that_somebody_waits_for(bench):
    whole = messages.whole(a_trace("awaited", thinking=PAD + "PLOT"))
    bench.send(whole.model_copy(update={"verdict_id": "v-mine", "request_id": "r-1"}))
    bench.send(messages.whole(a_trace("other")))
    async with bench.working():
        await until(lambda: bench.left() == 0)
    told = [messages.read_progress(m) for m in bench.read(TOPICS.progress)]
    assert {t.trace_id for t in told} <= {"awaited"}
    assert {r.trace_id: r.verdict_id == "v-mine" for r in bench.rows()} == {
        "r-1": True,
        "other": False,
    }


async def test_step_scores_are_told_as_they_are_found(bench):
    trace = a_trace("awaited", thinking=PAD + "PLOT. " + PAD)
    first, *others = messages.pieces(trace, cut(trace))
    bench.send(first.model_copy(update={"verdict_id": "v-mine"}), *others[:-1])
    async with bench.working():
        await until(lambda: bench.read(TOPICS.progress))
        bench.send(others[-1])
        await until(lambda: bench.left() == 0)
    told = [messages.read_progress(m) for m in bench.read(TOPICS.progress)]
    steps = [step for message in told for step in message.steps]
    (verdict,) = [messages.read_verdict(m).verdict for m in bench.read(TOPICS.verdicts)]
    assert steps
    assert steps == verdict["steps"][: len(steps)]
    assert told[-1].judged == sum(step["end"] - step["start"] for step in steps)


async def test_text_that_is_missing_is_never_judged_as_if_it_were_whole(bench):
    pieces = messages.pieces(a_trace("gap"), cut(a_trace("gap")))
    bench.send(pieces[0], *pieces[2:])
    bench.send(*messages.pieces(a_trace("headless"), cut(a_trace("headless")))[1:])
    async with bench.working():
        await until(lambda: bench.left() == 0)
    assert {r.trace_id for r in bench.rows()} == {"gap", "headless"}
    assert all("missing" in r.unscored for r in bench.rows())


async def test_a_sender_may_repeat_itself(bench):
    trace = a_trace("again", thinking=PAD + "PLOT")
    pieces = messages.pieces(trace, cut(trace))
    bench.send(*pieces[:4], *pieces[:2], *pieces[3:], *pieces)
    async with bench.working():
        await until(lambda: bench.left() == 0)
    (row,) = bench.rows()
    assert row.unscored is None
    assert bench.store.verdict(row.verdict_id).trace.thinking == PAD + "PLOT"


POISON = {
    "not_json": b"{'a': 1}",
    "wrong_schema": json.dumps(trace_to_json(a_trace("x"))).encode(),
    "too_large": b" " * (messages.MAX_MESSAGE_BYTES + 1),
}


@pytest.mark.parametrize("reason", POISON)
async def test_what_cannot_be_read_is_a_dead_letter_and_stops_nobody(bench, reason):
    bench.send(raw=POISON[reason])
    bench.send(messages.whole(a_trace("good")))
    async with bench.working():
        await until(lambda: bench.left() == 0)
    (letter,) = bench.letters()
    assert letter["reason"] == reason
    assert letter["size"] == len(POISON[reason])
    assert [r.trace_id for r in bench.rows()] == ["good"]


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"[" * 100_000, b"", b"null", b'{"trace_id": "\\ud800"}']
)
async def test_no_value_stops_a_worker(bench, value):
    bench.send(raw=value)
    async with bench.working():
        await until(lambda: bench.left() == 0)
    assert len(bench.letters()) == 1


async def test_an_unknown_version_is_a_dead_letter(bench):
    whole = messages.encode(messages.whole(a_trace("new")))
    bench.send(raw=whole, headers=((messages.SCHEMA_HEADER, b"2"),))
    async with bench.working():
        await until(lambda: bench.left() == 0)
    assert [x["reason"] for x in bench.letters()] == ["unknown_version"]


async def test_a_worker_that_can_read_nothing_stops_and_leaves_everything_in_place(bench):
    for _ in range(30):
        bench.send(raw=b"not ours")
    with pytest.raises(WorkerError, match="right topic"):
        async with bench.working(Limits(rejected_in_a_row=10, commit_seconds=0)) as worker:
            await asyncio.wait([worker.task])
    assert bench.left() == 30
    assert bench.letters() == []


class Broken:
    """A store that is down until it is mended."""

    def __init__(self, store):
        self.store = store
        self.down = True
        self.asked = 0

    def record_verdicts(self, pairs):
        self.asked += 1
        if self.down:
            raise StoreUnavailable("down")
        return self.store.record_verdicts(pairs)


async def test_nothing_is_committed_or_told_while_the_store_is_down(bench, store):
    broken = Broken(store)
    bench.send(*(messages.whole(a_trace(f"t{n}")) for n in range(20)))
    async with bench.working(store=broken) as worker:
        await until(lambda: broken.asked >= 2)
        assert worker.ready["store"] is False
        assert bench.left() == 20
        assert bench.verdicts() == []
        broken.down = False
        await until(lambda: bench.left() == 0)
        assert worker.ready == {"store": True, "partitions": True}
    assert bench.store.summary().total == 20


async def test_a_verdict_that_the_store_cannot_hold_is_a_dead_letter(bench, store):
    class Picky(Broken):
        def record_verdicts(self, pairs):
            if any(trace.trace_id == "odd" for _, trace in pairs):
                raise ValueError("no")
            return self.store.record_verdicts(pairs)

    bench.send(*(messages.whole(a_trace(name)) for name in ("even", "odd", "other")))
    async with bench.working(store=Picky(store)):
        await until(lambda: bench.left() == 0)
    assert {r.trace_id for r in bench.rows()} == {"even", "other"}
    assert [x["reason"] for x in bench.letters()] == ["not_recorded"]


async def test_a_broker_that_goes_away_is_waited_for(bench):
    async with bench.working():
        bench.send(messages.whole(a_trace("before")))
        await until(lambda: bench.left() == 0)
        bench.broker.down = True
        await asyncio.sleep(0.3)
        bench.broker.down = False
        bench.send(messages.whole(a_trace("after")))
        await until(lambda: bench.left() == 0)
    assert {v.trace_id for v in bench.verdicts()} == {"before", "after"}


class Held(FakeClassifier):
    """Scores nothing until it may."""

    def __init__(self):
        super().__init__(MARKERS, i_know_this_is_fake=True)
        self.go = asyncio.Event()

    async def encode(self, texts):
        await self.go.wait()
        return await super().encode(texts)


async def test_a_worker_reads_no_more_while_too_much_waits(bench):
    traces = [a_trace(f"t{n}", thinking=PAD * 20) for n in range(40)]
    limits = Limits(commit_seconds=0, waiting=10_000, messages_per_poll=4)
    bench.send(*map(messages.whole, traces))
    slow = Held()
    async with bench.working(limits, classifier=slow) as worker:
        await until(lambda: worker.metrics.paused._value.get() == 1)
        slow.go.set()
        await until(lambda: bench.left() == 0)
        await until(lambda: worker.metrics.paused._value.get() == 0)
    assert bench.store.summary().total == 40


async def test_too_much_open_text_ends_the_trace_that_was_silent_longest(bench):
    limits = Limits(commit_seconds=0, held=1_000)
    for name in ("old", "new"):
        trace = a_trace(name, thinking=PAD * 2)
        bench.send(messages.pieces(trace, cut(trace, 600))[0])
        await asyncio.sleep(0.01)
    async with bench.working(limits):
        await until(bench.rows)
    assert [r.trace_id for r in bench.rows()] == ["old"]
    assert "too much text" in bench.rows()[0].unscored


async def test_workers_that_come_and_go_lose_and_double_nothing(bench):
    order = random.Random(3)
    names = [f"t{n}" for n in range(120)]
    pieces = [p for n in names for p in messages.pieces(a_trace(n), cut(a_trace(n), 100))]
    by_name = {n: [p for p in pieces if p.trace_id == n] for n in names}

    async def talk():
        while by_name:
            name = order.choice(list(by_name))
            bench.send(by_name[name].pop(0))
            if not by_name[name]:
                del by_name[name]
            await asyncio.sleep(0)

    talking = asyncio.create_task(talk())
    async with bench.working(classifier=fake(delay=0.001)):
        for _ in range(4):
            async with bench.working(classifier=fake(delay=0.001)):
                await asyncio.sleep(0.3)
            bench.broker.expel_one("g")
        await talking
        await until(lambda: bench.left() == 0)
    rows = bench.rows()
    assert sorted(r.trace_id for r in rows) == sorted(names)
    assert all(r.unscored is None for r in rows)
    assert bench.store.newest_seq() == 119
    assert {v.trace_id for v in bench.verdicts()} == set(names)


async def test_without_its_topics_a_worker_does_not_start(store):
    bench = Bench(store)
    bench.broker = Memory()
    with pytest.raises(Exception, match="topics create"):
        async with bench.working() as worker:
            await asyncio.wait([worker.task])
