"""What every broker promises, in this process or not."""

import threading
import time
import uuid

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaTimeoutError

from stream.kafka.client import Kafka
from stream.kafka.memory import Memory
from stream.kafka.port import Partition, Topic
from stream.kafka.settings import Settings


@pytest.fixture(params=["memory", "kafka"])
def transport(request):
    # Only who asks for Kafka needs it.
    if request.param == "memory":
        return Memory()
    address = request.getfixturevalue("kafka_server")
    return Kafka(Settings(bootstrap=address, session_seconds=10))


@pytest.fixture
def topic(transport):
    name = f"t-{uuid.uuid4().hex}"
    transport.create([Topic(name=name, partitions=3, settings={})])
    return name


@pytest.fixture
def closing():
    opened = []
    yield lambda thing: opened.append(thing) or thing
    for thing in reversed(opened):
        thing.close()


def send(transport, topic, pairs, headers=()):
    producer = transport.producer()
    futures = [producer.send(topic, key=k, value=v, headers=headers) for k, v in pairs]
    for future in futures:
        future.result(60)
    producer.close()


def read(consumer, wanted, polls=300):
    """Poll until `wanted` messages came; also returns what came and went."""
    messages, gone, come = [], set(), set()
    for _ in range(polls):
        polled = consumer.poll(0.2, at_most=100)
        gone |= polled.gone
        come = (come - polled.gone) | polled.come
        messages += polled.messages
        if len(messages) >= wanted:
            return messages, gone, come
    raise AssertionError(f"{len(messages)} of {wanted} messages came")


PAIRS = [(f"key-{n % 7}".encode(), f"value-{n}".encode()) for n in range(50)]


def test_what_was_sent_is_read_in_the_order_of_each_key(transport, topic, closing):
    send(transport, topic, PAIRS, headers=(("name", b"\xff"),))
    messages, _, _ = read(closing(transport.consumer([topic], group="g-" + topic)), 50)
    for key in {k for k, _ in PAIRS}:
        assert [m.value for m in messages if m.key == key] == [v for k, v in PAIRS if k == key]
        assert len({m.partition for m in messages if m.key == key}) == 1
    assert {m.headers for m in messages} == {(("name", b"\xff"),)}
    assert all(m.timestamp > 1_700_000_000 for m in messages)


def test_offsets_rise_by_one_in_each_partition(transport, topic, closing):
    send(transport, topic, PAIRS)
    messages, _, _ = read(closing(transport.consumer([topic], group="g-" + topic)), 50)
    for number in range(3):
        found = [m.offset for m in messages if m.partition == Partition(topic, number)]
        assert found == list(range(len(found)))


def test_a_group_goes_on_where_it_committed_and_repeats_the_rest(transport, topic, closing):
    send(transport, topic, PAIRS)
    first = transport.consumer([topic], group="g-" + topic)
    messages, _, come = read(first, 50)
    positions = dict.fromkeys(come, 2)
    assert first.commit(positions)
    first.close()
    again, _, _ = read(closing(transport.consumer([topic], group="g-" + topic)), 50 - 6)
    expected = {(m.partition, m.offset) for m in messages if m.offset >= 2}
    assert {(m.partition, m.offset) for m in again} == expected


class Member:
    """A consumer that is polled all the time, as a group needs it."""

    def __init__(self, consumer):
        self.owned = set()
        self._consumer = consumer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def _poll(self):
        while not self._stop.is_set():
            with self._lock:
                polled = self._consumer.poll(0.1, at_most=1)
            self.owned = (self.owned - polled.gone) | polled.come
            time.sleep(0.01)  # lets `commit` have the lock

    def commit(self, positions):
        with self._lock:
            return self._consumer.commit(positions)

    def close(self):
        self._stop.set()
        self._thread.join()
        self._consumer.close()


def until(condition):
    """Wait for it: a group takes its time to share."""
    for _ in range(900):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came true")


def test_members_share_the_partitions_and_take_over_from_one_that_leaves(transport, topic, closing):
    group, every = "g-" + topic, {Partition(topic, n) for n in range(3)}
    first = closing(Member(transport.consumer([topic], group=group)))
    until(lambda: first.owned == every)
    second = Member(transport.consumer([topic], group=group))
    until(lambda: first.owned and second.owned and first.owned | second.owned == every)
    assert not first.owned & second.owned
    second.close()
    until(lambda: first.owned == every)


def test_nobody_commits_what_is_no_longer_his(transport, topic, closing):
    """Else a position that a new owner has stored could go back."""
    group, every = "g-" + topic, {Partition(topic, n) for n in range(3)}
    send(transport, topic, PAIRS)
    first = Member(transport.consumer([topic], group=group))
    until(lambda: first.owned == every)
    second = Member(transport.consumer([topic], group=group))
    until(lambda: first.owned and second.owned and first.owned | second.owned == every)
    mine, others = frozenset(first.owned), frozenset(second.owned)
    until(lambda: second.commit(dict.fromkeys(others, 5)))
    until(lambda: first.commit(dict.fromkeys(every, 1)))
    second.close()
    first.close()
    third = closing(transport.consumer([topic], group=group))
    messages, _, _ = read(third, len(PAIRS) - 5 * len(others) - len(mine))
    assert {m.partition: m.offset for m in reversed(messages)} == {
        **dict.fromkeys(others, 5),
        **dict.fromkeys(mine, 1),
    }


def test_a_paused_consumer_keeps_its_share_and_gets_nothing(transport, topic, closing):
    consumer = closing(transport.consumer([topic], group="g-" + topic))
    send(transport, topic, PAIRS[:1])
    read(consumer, 1)
    consumer.pause()
    send(transport, topic, PAIRS)
    polled = [consumer.poll(0.1, at_most=100) for _ in range(5)]
    assert not any(p.messages or p.gone for p in polled)
    consumer.resume()
    assert len(read(consumer, 50)[0]) == 50


def test_the_lag_is_what_waits(transport, topic, closing):
    send(transport, topic, PAIRS)
    consumer = closing(transport.consumer([topic], group="g-" + topic))
    read(consumer, 50)
    assert consumer.lag() == {Partition(topic, n): 0 for n in range(3)}


def test_a_follower_reads_everything_or_only_what_is_new(transport, topic, closing):
    send(transport, topic, PAIRS)
    everything = closing(transport.follower([topic], from_start=True))
    assert len(read(everything, 50)[0]) == 50
    new = closing(transport.follower([topic], from_start=False))
    for _ in range(10):
        assert not new.poll(0.2, at_most=100).messages
    send(transport, topic, [(b"k", b"new")])
    assert [m.value for m in read(new, 1)[0]] == [b"new"]


def test_what_is_kept_is_found_by_offset_and_by_time(transport, topic, closing):
    assert transport.kept(topic) == {Partition(topic, n): range(0) for n in range(3)}
    assert transport.kept("nothing-" + topic) == {}
    send(transport, topic, PAIRS)
    kept = transport.kept(topic)
    assert sum(map(len, kept.values())) == 50
    messages, _, _ = read(closing(transport.follower([topic], from_start=True)), 50)
    latest = max(m.timestamp for m in messages)
    assert transport.offsets_at(topic, 0) == dict.fromkeys(kept, 0)
    assert transport.offsets_at(topic, latest + 60) == {p: s.stop for p, s in kept.items()}
    found = transport.offsets_at(topic, latest)
    for partition, span in kept.items():
        later = [m.offset for m in messages if m.partition == partition and m.timestamp >= latest]
        assert found[partition] == min(later, default=span.stop)


def test_a_reader_reads_one_partition_from_an_offset(transport, topic, closing):
    send(transport, topic, PAIRS)
    partition, span = max(transport.kept(topic).items(), key=lambda item: len(item[1]))
    reader = closing(transport.reader(partition, 2))
    messages, _, _ = read(reader, len(span) - 2)
    assert [(m.partition, m.offset) for m in messages] == [(partition, n) for n in span[2:]]
    assert reader.lag() == {partition: 0}


def test_creating_a_topic_twice_is_harmless(transport, topic):
    assert transport.create([Topic(name=topic, partitions=3, settings={})]) == ()
    assert topic in transport.topics()


def test_a_partition_that_comes_back_is_read_from_what_is_committed_now(kafka_server, closing):
    """The client keeps answers that came too late, and would begin where the group was then."""
    transport = Kafka(Settings(bootstrap=kafka_server, session_seconds=10))
    topic = f"t-{uuid.uuid4().hex}"
    transport.create([Topic(name=topic, partitions=1, settings={})])
    send(transport, topic, PAIRS)
    consumer = closing(transport.consumer([topic], group="g-" + topic))
    read(consumer, 50)
    client = consumer._consumer
    with pytest.raises(KafkaTimeoutError):
        client.committed(TopicPartition(topic, 0), timeout_ms=0)
    assert consumer.commit({Partition(topic, 0): 20})
    client.unsubscribe()
    client.subscribe([topic], listener=consumer._changes)
    messages, _, come = read(consumer, 30)
    assert come == {Partition(topic, 0)}
    assert [m.offset for m in messages] == list(range(20, 50))


def test_a_share_that_comes_after_its_poll_is_taken_by_the_next(kafka_server, closing, monkeypatch):
    """The client forgets a join that new partitions asked for, and with it its heartbeats."""
    transport = Kafka(Settings(bootstrap=kafka_server, session_seconds=10))
    topic = f"t-{uuid.uuid4().hex}"
    transport.create([Topic(name=topic, partitions=1, settings={})])
    consumer = closing(transport.consumer([topic], group="g-" + topic))
    until(lambda: consumer.poll(0.2, at_most=1).come)
    coordinator = consumer._consumer._coordinator
    join = coordinator._do_join_and_sync_async

    async def join_slowly():
        share = await join()
        await coordinator._net.sleep(0.5)
        return share

    monkeypatch.setattr(coordinator, "_do_join_and_sync_async", join_slowly)
    admin = closing(KafkaAdminClient(bootstrap_servers=kafka_server))
    admin.create_partitions({topic: 2})
    coordinator._cluster.request_update()
    send(transport, topic, PAIRS)
    _, _, come = read(consumer, 50)
    assert come == {Partition(topic, 1)}
