"""What Subtext asks of a message broker. Implementations: `client.Kafka`, `memory.Memory`.

A topic has partitions; a partition is a log of messages with rising offsets. Messages with the same
key are in the same partition, in the order in which they were sent. Every message is delivered at
least once. All methods block and raise TransportError when the broker does not do what was asked.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future  # noqa: TC003 -- like every other import
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from monitor.errors import MonitorError

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class TransportError(MonitorError):
    """The broker did not do what was asked; the message says what to check."""


class MessageRefused(TransportError):  # noqa: N818 -- reads as a sentence where it is raised
    """The broker will never take this message."""


class Partition(NamedTuple):
    """One log of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it was read."""

    partition: Partition
    offset: int
    #: Seconds since 1970, by the broker's clock or the sender's.
    timestamp: float
    key: bytes | None
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What came of a poll; read in the order of the fields."""

    #: No longer this consumer's: what was read of them and not committed is read by others.
    gone: frozenset[Partition] = frozenset()
    #: This consumer's from now on, from the position that was committed last.
    come: frozenset[Partition] = frozenset()
    #: In order within each partition.
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic to create."""

    name: str
    partitions: int
    #: The broker's setting names and values.
    settings: Mapping[str, str]


class Consumer(Protocol):
    """Reads its share of some topics. To be called by one thread at a time, `poll` often."""

    def poll(self, seconds: float, *, at_most: int) -> Polled:
        """Wait for messages, for `seconds` at most; also keeps the share."""
        ...

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Store from where others would go on; what is no longer this consumer's is left out.

        False when nothing was stored because this consumer is no longer one of its group.
        """
        ...

    def pause(self) -> None:
        """Give no messages until `resume`; polling goes on, so that the share is kept."""
        ...

    def resume(self) -> None:
        """Give messages again."""
        ...

    def lag(self) -> Mapping[Partition, int]:
        """Messages that are known to wait, by partition; a partition not yet read is left out."""
        ...

    def close(self) -> None:
        """Give the share to others at once; commits nothing."""
        ...


class Producer(Protocol):
    """Sends messages; may be called from any thread."""

    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: Headers = ()
    ) -> "Future[None]":
        """Hand a message over; the future is done when the broker has it, or failed to take it."""
        ...

    def close(self) -> None:
        """Send what still waits, then end."""
        ...


class Transport(Protocol):
    """A broker."""

    def consumer(self, topics: Sequence[str], *, group: str, member: str = "") -> Consumer:
        """A member of `group`, whose members share the partitions.

        Begins where the group committed, else at the first message. A `member` with a name that is
        back soon enough gets the partitions that it had, without disturbing others.
        """
        ...

    def follower(self, topics: Sequence[str], *, from_start: bool) -> Consumer:
        """A reader of everything, for itself alone; its commits do nothing."""
        ...

    def kept(self, topic: str) -> Mapping[Partition, range]:
        """The offsets of the messages that are there now."""
        ...

    def offsets_at(self, topic: str, seconds: float) -> Mapping[Partition, int]:
        """The offset of the first message of each partition from that time on (since 1970)."""
        ...

    def reader(self, partition: Partition, offset: int) -> Consumer:
        """A reader of one partition, for itself alone; its commits do nothing."""
        ...

    def producer(self) -> Producer:
        """A sender."""
        ...

    def create(self, topics: Sequence[Topic]) -> tuple[str, ...]:
        """Create those that are missing; return their names."""
        ...

    def topics(self) -> Collection[str]:
        """The names of all topics."""
        ...
