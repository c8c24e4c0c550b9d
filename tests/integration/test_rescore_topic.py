"""A topic of traces is re-scored by offset and time, with a broker in this process and a real one."""

import uuid
from datetime import UTC, datetime

import pytest

from monitor.store import Store
from monitor.types import Channel, Disclosure, Part, Trace
from stream.kafka import messages
from stream.kafka.client import Kafka
from stream.kafka.memory import Memory
from stream.kafka.port import Topic
from stream.kafka.settings import Settings
from stream.rescore.errors import RescoreError
from stream.rescore.topic import TopicInput
from tests.rescoring import rescore

PAD = "Some ordinary words. " * 20


def a_trace(number, word=""):
    parts = (
        Part(channel=Channel.THINKING, text=f"{number} {PAD}{word}"),
        Part(channel=Channel.ANSWER, text=f"Answer {number}."),
    )
    disclosure = Disclosure(redacted=number % 2 == 0)
    return Trace(trace_id=f"t{number}", parts=parts, tenant="acme", disclosure=disclosure)


TRACES = [a_trace(n, "PLOT" if n % 3 == 0 else "") for n in range(9)]


def pieces(trace, size=90):
    cut = [
        (Part(channel=p.channel, text=p.text[at : at + size]),)
        for p in trace.parts
        for at in range(0, len(p.text), size)
    ]
    return messages.pieces(trace, cut)


class Bench:
    def __init__(self, transport, address):
        self.transport = transport
        self.topic = f"r-{uuid.uuid4().hex[:8]}"
        self.address = f"kafka://{address}/{self.topic}"
        settings = {"message.timestamp.type": "LogAppendTime"}
        transport.create([Topic(name=self.topic, partitions=2, settings=settings)])

    def send(self, *found, raw=()):
        pairs = [(m.trace_id.encode(), messages.encode(m)) for m in found]
        producer = self.transport.producer()
        sent = [
            producer.send(self.topic, key=key, value=value)
            for key, value in [*pairs, *((b"raw", value) for value in raw)]
        ]
        for future in sent:
            future.result(60)
        producer.close()

    def interleaved(self, traces):
        rows = [pieces(t) for t in traces]
        self.send(*(row[n] for n in range(max(map(len, rows))) for row in rows if n < len(row)))

    def input(self, query="", known=()):
        return TopicInput.of(self.address + query, known, self.transport)

    def read(self, *arguments):
        return list(self.input(*arguments).items(None))

    def newest(self):
        """When the newest message was stored."""
        follower = self.transport.follower([self.topic], from_start=True)
        wanted, times = self.input().size, []
        while len(times) < wanted:
            times += [m.timestamp for m in follower.poll(1, at_most=100).messages]
        follower.close()
        return max(times)


@pytest.fixture(params=["memory", "kafka"])
def bench(request):
    if request.param == "memory":
        return Bench(Memory(), "here:1")
    address = request.getfixturevalue("kafka_server")
    return Bench(Kafka(Settings(bootstrap=address)), address)


def names(items):
    return {t.trace_id for i in items for t in i.logged.traces}


def test_traces_are_whole_again_and_what_is_none_is_told(bench):
    bench.interleaved(TRACES)
    bench.send(*pieces(TRACES[0])[1:3], *pieces(a_trace(20))[:2], raw=[b"no JSON"])
    items = bench.read()
    found = {t.trace_id: t for i in items for t in i.logged.traces}
    assert found == {t.trace_id: t for t in TRACES}
    problems = sorted(p for i in items for p in i.logged.problems)
    assert problems == ["not_json: the value is not JSON in UTF-8", "the trace t20 has no end here"]
    assert items == bench.read()
    assert items[-1].consumed <= bench.input().size


def test_a_range_is_by_offset_or_by_time(bench):
    bench.send(*(messages.whole(t) for t in TRACES[:5]))
    cut = bench.newest() + 0.001
    while datetime.now(UTC).timestamp() <= cut:
        pass
    later = datetime.fromtimestamp(cut, UTC).isoformat()
    bench.send(*(messages.whole(t) for t in TRACES[5:]))
    assert names(bench.read(f"?to={later}")) == names(bench.read()) - {
        t.trace_id for t in TRACES[5:]
    }
    assert names(bench.read(f"?from={later}")) == {t.trace_id for t in TRACES[5:]}
    assert len(names(bench.read())) == 9
    assert bench.read("?from=2&to=1") == []
    ends = [span.stop for span in bench.transport.kept(bench.topic).values()]
    assert bench.input("?from=1&to=3").size == sum(max(0, min(3, end) - 1) for end in ends)


def test_a_run_that_goes_on_reads_what_it_was_to_read(bench):
    bench.send(*(messages.whole(t) for t in TRACES[:4]))
    begun = bench.input().fingerprint()
    bench.send(*(messages.whole(t) for t in TRACES[4:]))
    assert names(bench.read("", [begun])) == {t.trace_id for t in TRACES[:4]}
    assert names(bench.read()) == {t.trace_id for t in TRACES}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("kafka://here:1/t?from=yesterday", "neither an offset nor a time"),
        ("kafka://here:1/t?since=1", "an address is"),
        ("kafka://here:1/", "an address is"),
        ("kafka://here:1/other", "no topic other"),
        ("kafka://user:secret@here:1/t", "SUBTEXT_KAFKA_PASSWORD"),
    ],
)
def test_what_cannot_be_meant_is_refused(address, message):
    transport = Memory()
    transport.create([Topic(name="t", partitions=1, settings={})])
    with pytest.raises(RescoreError, match=message):
        TopicInput.of(address, (), transport)


def test_a_topic_of_a_real_broker_is_judged_like_any_input(kafka_server, tmp_path):
    bench = Bench(Kafka(Settings(bootstrap=kafka_server)), kafka_server)
    bench.interleaved(TRACES)
    database = f"sqlite:///{tmp_path}/audit.db"
    rescore([bench.address], tmp_path / "out", record=database)
    store = Store.open(database)
    assert store.newest_seq() == 8
    store.close()
