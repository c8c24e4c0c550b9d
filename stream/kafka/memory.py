"""A broker in this process: the same promises as Kafka's, without its durability.

For tests, trials and one machine. A partition moves from one member of a group to another in two
steps, as under Kafka's cooperative protocol: its owner gives it up in a poll, the other takes it in
a later one.
"""

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from stream.kafka.port import (
    Consumer,
    Headers,
    Message,
    Partition,
    Polled,
    Producer,
    Topic,
    TransportError,
)


@dataclass(slots=True)
class _Group:
    committed: dict[Partition, int] = field(default_factory=dict)
    members: "list[_Consumer]" = field(default_factory=list)
    owners: "dict[Partition, _Consumer]" = field(default_factory=dict)


class _Core:
    """What the broker's clients share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.down = False
        self.logs: dict[Partition, list[Message]] = {}
        self.groups: dict[str, _Group] = defaultdict(_Group)
        self.changed = threading.Condition()
        self._clock = clock

    def asked(self) -> threading.Condition:
        """The lock under which the broker answers, if it does."""
        if self.down:
            raise TransportError("the broker is down")
        return self.changed

    def names(self) -> set[str]:
        return {partition.topic for partition in self.logs}

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return sorted(p for p in self.logs if p.topic in topics)

    def append(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        with self.asked():
            partitions = self.partitions([topic])
            if not partitions:
                raise TransportError(f"there is no topic {topic}")
            partition = partitions[zlib.crc32(key) % len(partitions)]
            log = self.logs[partition]
            log.append(
                Message(
                    partition=partition,
                    offset=len(log),
                    timestamp=self._clock(),
                    key=key,
                    value=value,
                    headers=headers,
                )
            )
            self.changed.notify_all()


class Memory:
    """The broker."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._core = _Core(clock)

    @property
    def down(self) -> bool:
        """While it is set, nothing can be asked of the broker."""
        return self._core.down

    @down.setter
    def down(self, down: bool) -> None:
        self._core.down = down

    def consumer(self, topics: Sequence[str], *, group: str, member: str = "") -> Consumer:
        """See `port.Transport`."""
        return self._joined(topics, self._core.groups[group], member)

    def follower(self, topics: Sequence[str], *, from_start: bool) -> Consumer:
        """See `port.Transport`."""
        group = _Group()
        if not from_start:
            there = self._core.partitions(topics)
            group.committed = {p: len(self._core.logs[p]) for p in there}
        return self._joined(topics, group, "")

    def kept(self, topic: str) -> Mapping[Partition, range]:
        """See `port.Transport`."""
        with self._core.asked():
            there = self._core.partitions([topic])
            return {p: range(len(self._core.logs[p])) for p in there}

    def offsets_at(self, topic: str, seconds: float) -> Mapping[Partition, int]:
        """See `port.Transport`."""
        with self._core.asked():
            logs = {p: self._core.logs[p] for p in self._core.partitions([topic])}
            return {
                p: next((m.offset for m in log if m.timestamp >= seconds), len(log))
                for p, log in logs.items()
            }

    def reader(self, partition: Partition, offset: int) -> Consumer:
        """See `port.Transport`."""
        with self._core.asked():
            group = _Group(committed={partition: offset})
            consumer = _Consumer(self._core, [partition], group, "")
            consumer.join()
            return consumer

    def producer(self) -> Producer:
        """See `port.Transport`."""
        return _Producer(self._core)

    def create(self, topics: Sequence[Topic]) -> tuple[str, ...]:
        """See `port.Transport`."""
        with self._core.asked():
            missing = [topic for topic in topics if topic.name not in self._core.names()]
            for topic in missing:
                for number in range(topic.partitions):
                    self._core.logs[Partition(topic.name, number)] = []
            return tuple(topic.name for topic in missing)

    def topics(self) -> Collection[str]:
        """See `port.Transport`."""
        with self._core.asked():
            return self._core.names()

    def committed(self, group: str) -> Mapping[Partition, int]:
        """Where `group` would go on."""
        return dict(self._core.groups[group].committed)

    def forget(self, group: str) -> None:
        """Lose what `group` committed."""
        self._core.groups[group].committed.clear()

    def expel_one(self, group: str) -> None:
        """Treat the oldest member of `group` as one that has not been heard of for too long."""
        with self._core.changed:
            self._core.groups[group].members[0].leave()

    def _joined(self, topics: Sequence[str], group: _Group, member: str) -> "_Consumer":
        with self._core.asked():
            consumer = _Consumer(self._core, self._core.partitions(topics), group, member)
            consumer.join()
            return consumer


class _Producer:
    def __init__(self, broker: _Core) -> None:
        self._broker = broker

    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: Headers = ()
    ) -> "Future[None]":
        future: Future[None] = Future()
        try:
            self._broker.append(topic, key, value, headers)
        except TransportError as error:
            future.set_exception(error)
        else:
            future.set_result(None)
        return future

    def close(self) -> None:
        """Nothing waits."""


class _Consumer:
    def __init__(
        self, broker: _Core, partitions: list[Partition], group: _Group, member: str
    ) -> None:
        self._broker = broker
        self._partitions = partitions
        self._group = group
        self.member = member
        self._at: dict[Partition, int] = {}
        self._paused = False

    def join(self) -> None:
        self._group.members = [
            m for m in self._group.members if not (m.member and m.member == self.member)
        ]
        self._group.members.append(self)

    def leave(self) -> None:
        """As seen by the group; this consumer learns of it when it polls."""
        self._group.members = [m for m in self._group.members if m is not self]
        self._group.owners = {p: m for p, m in self._group.owners.items() if m is not self}

    def poll(self, seconds: float, *, at_most: int) -> Polled:
        with self._broker.asked():
            gone, come = self._rebalance()
            if not (gone or come):
                self._broker.changed.wait_for(lambda: bool(self._waiting()), seconds)
            messages: list[Message] = []
            for partition in self._waiting():
                log, start = self._broker.logs[partition], self._at[partition]
                batch = log[start : start + at_most - len(messages)]
                self._at[partition] += len(batch)
                messages += batch
            return Polled(gone=gone, come=come, messages=tuple(messages))

    def _waiting(self) -> list[Partition]:
        if self._paused:
            return []
        return [p for p, at in self._at.items() if at < len(self._broker.logs[p])]

    def _rebalance(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        group = self._group
        if self not in group.members:
            gone = frozenset(self._at)
            self._at.clear()
            self.join()
            return gone, frozenset()
        mine = self._share()
        gone = frozenset(self._at) - mine
        for partition in gone:
            del self._at[partition], group.owners[partition]
        come = frozenset(p for p in mine if p not in self._at and p not in group.owners)
        for partition in come:
            group.owners[partition] = self
            self._at[partition] = group.committed.get(partition, 0)
        return gone, come

    def _share(self) -> set[Partition]:
        members, turn = self._group.members, self._group.members.index(self)
        return {p for i, p in enumerate(self._partitions) if i % len(members) == turn}

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        with self._broker.asked():
            if self not in self._group.members:
                return False
            mine = {p: at for p, at in positions.items() if self._group.owners.get(p) is self}
            self._group.committed.update(mine)
            return True

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def lag(self) -> Mapping[Partition, int]:
        with self._broker.asked():
            return {p: len(self._broker.logs[p]) - at for p, at in self._at.items()}

    def close(self) -> None:
        with self._broker.changed:
            self.leave()
            self._at.clear()
            self._broker.changed.notify_all()
