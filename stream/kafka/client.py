"""Apache Kafka by way of kafka-python; the only module that imports it."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    MessageSizeTooLargeError,
    RebalanceInProgressError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
)

from stream.kafka.port import (
    Consumer,
    Headers,
    Message,
    MessageRefused,
    Partition,
    Polled,
    Producer,
    Topic,
    TransportError,
)
from stream.kafka.settings import Settings

# It warns of every step that takes a while, as all do on a busy machine.
logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)

#: What the broker answers to a commit of a consumer that was taken for dead, or is between groups.
_EXPELLED = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
#: Between two questions for the partitions of topics, in milliseconds.
_METADATA_MS = 10_000
#: Longest that a commit may take, in milliseconds.
_COMMIT_MS = 10_000


class Kafka:
    """See `port.Transport`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def consumer(self, topics: Sequence[str], *, group: str, member: str = "") -> Consumer:
        """See `port.Transport`."""
        return _Consumer(
            self._settings,
            topics,
            group_id=group,
            group_instance_id=member or None,
            auto_offset_reset="earliest",
            session_timeout_ms=round(self._settings.session_seconds * 1000),
            heartbeat_interval_ms=round(self._settings.session_seconds * 1000 / 4),
            partition_assignment_strategy=[CooperativeStickyAssignor],
            # A member that shares out before it has heard of a topic's partitions shares out none,
            # and again when it has heard of them; by default it would ask every five minutes.
            metadata_max_age_ms=_METADATA_MS,
        )

    def follower(self, topics: Sequence[str], *, from_start: bool) -> Consumer:
        """See `port.Transport`."""
        start = "earliest" if from_start else "latest"
        follower = _Consumer(self._settings, (), group_id=None, auto_offset_reset=start)
        follower.follow(topics, from_start=from_start)
        return follower

    def kept(self, topic: str) -> Mapping[Partition, range]:
        """See `port.Transport`."""
        with self._asking(topic) as (consumer, partitions):
            first = consumer.beginning_offsets(partitions)
            end = consumer.end_offsets(partitions)
            return {Partition(*p): range(first[p], end[p]) for p in sorted(partitions)}

    def offsets_at(self, topic: str, seconds: float) -> Mapping[Partition, int]:
        """See `port.Transport`."""
        with self._asking(topic) as (consumer, partitions):
            moment = round(seconds * 1000)
            found = consumer.offsets_for_times(dict.fromkeys(partitions, moment))
            end = consumer.end_offsets(partitions)
            return {
                Partition(*p): end[p] if (at := found.get(p)) is None else at.offset
                for p in sorted(partitions)
            }

    def reader(self, partition: Partition, offset: int) -> Consumer:
        """See `port.Transport`."""
        reader = _Consumer(self._settings, (), group_id=None, auto_offset_reset="earliest")
        reader.go(partition, offset)
        return reader

    @contextmanager
    def _asking(self, topic: str) -> Iterator[tuple[Any, list[Any]]]:
        """A client that reads nothing, and the partitions of a topic."""
        with _explained(self._settings):
            consumer = KafkaConsumer(**self._settings.connection(), metrics_enabled=False)
            try:
                numbers = consumer.partitions_for_topic(topic) or ()
                yield consumer, [TopicPartition(topic, number) for number in numbers]
            finally:
                consumer.close(autocommit=False)

    def producer(self) -> Producer:
        """See `port.Transport`."""
        return _Producer(self._settings)

    def create(self, topics: Sequence[Topic]) -> tuple[str, ...]:
        """See `port.Transport`."""
        with _explained(self._settings), self._admin() as admin:
            there = set(admin.list_topics())
            missing = [topic for topic in topics if topic.name not in there]
            for topic in missing:
                _create(admin, topic)
            if missing:
                admin.wait_for_topics([topic.name for topic in missing])
        return tuple(topic.name for topic in missing)

    def topics(self) -> Collection[str]:
        """See `port.Transport`."""
        with _explained(self._settings), self._admin() as admin:
            return set(admin.list_topics())

    def _admin(self) -> Any:  # noqa: ANN401 (kafka-python has no types)
        return KafkaAdminClient(**self._settings.connection())


def _create(admin: Any, topic: Topic) -> None:  # noqa: ANN401
    wanted = {"num_partitions": topic.partitions, "configs": dict(topic.settings)}
    try:
        admin.create_topics({topic.name: wanted})
    except TopicAlreadyExistsError:
        return  # somebody else was faster


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Turn an error of the client into one that says where and what."""
    try:
        yield
    except (KafkaError, OSError, ValueError) as error:
        raise _failure(settings, error) from error


def _failure(settings: Settings, error: BaseException) -> TransportError:
    name = type(error).__name__
    kind = MessageRefused if isinstance(error, MessageSizeTooLargeError) else TransportError
    return kind(f"{settings.bootstrap}: {name}: {settings.advice(name)}")


class _Producer:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        with _explained(settings):
            self._producer = KafkaProducer(
                **settings.connection(),
                metrics_enabled=False,
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                compression_type="gzip" if settings.compress else None,
                max_request_size=settings.max_message_bytes + 1024 * 1024,
                delivery_timeout_ms=round(settings.delivery_seconds * 1000),
                max_block_ms=round(settings.delivery_seconds * 1000),
                request_timeout_ms=min(30_000, round(settings.delivery_seconds * 500)),
            )

    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: Headers = ()
    ) -> "Future[None]":
        future: Future[None] = Future()
        try:
            with _explained(self._settings):
                sent = self._producer.send(topic, key=key, value=value, headers=list(headers))
        except TransportError as error:
            future.set_exception(error)
            return future
        sent.add_callback(lambda _metadata: _finish(future, None))
        sent.add_errback(lambda error: _finish(future, _failure(self._settings, error)))
        return future

    def close(self) -> None:
        with _explained(self._settings):
            self._producer.close(timeout=self._settings.delivery_seconds)


def _finish(future: "Future[None]", error: TransportError | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers what the group decided until the poll that it decided it in returns."""

    def __init__(self, consumer: Any) -> None:  # noqa: ANN401
        self._consumer = consumer
        self.gone: set[Partition] = set()
        self.come: set[Partition] = set()

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Note what others own from now on."""
        names = {Partition(*p) for p in revoked}
        self.gone |= names - self.come
        self.come -= names

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Note what others may have owned for a while."""
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Note what is ours from now on."""
        self.come |= {Partition(*p) for p in assigned}
        _ask_anew(self._consumer)

    def take(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Return both, once."""
        changes = frozenset(self.gone), frozenset(self.come)
        self.gone, self.come = set(), set()
        return changes


def _ask_anew(consumer: Any) -> None:  # noqa: ANN401
    """Forget where the group was when these partitions were ours before.

    kafka-python 3.0 keeps an answer that came after its poll had ended for the next time that the
    same partitions are ours. Others have committed since, and our commits would go back behind it.
    """
    getattr(consumer._coordinator, "_offset_fetch_futures", {}).clear()  # noqa: SLF001


def _go_on_joining(consumer: Any) -> None:  # noqa: ANN401
    """Have the next poll wait for a join that the last one had no more time for.

    kafka-python 3.0 forgets one that a topic's new partitions had asked for. Its answer stays
    unread and no heartbeat is sent: the broker expels a member that never hears of it.
    """
    if getattr(consumer._coordinator, "rejoining", False):  # noqa: SLF001
        consumer._coordinator.request_rejoin()  # noqa: SLF001


class _Consumer:
    def __init__(self, settings: Settings, topics: Sequence[str], **options: Any) -> None:  # noqa: ANN401
        self._settings = settings
        self._paused = False
        with _explained(settings):
            self._consumer = KafkaConsumer(
                **settings.connection(),
                metrics_enabled=False,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=settings.max_message_bytes + 1024 * 1024,
                **options,
            )
            self._changes = _Changes(self._consumer)
            if topics:
                self._consumer.subscribe(topics, listener=self._changes)

    def follow(self, topics: Sequence[str], *, from_start: bool) -> None:
        """Read all partitions; where reading begins is settled when this returns."""
        with _explained(self._settings):
            names = [(t, n) for t in topics for n in self._consumer.partitions_for_topic(t) or ()]
            partitions = [TopicPartition(*name) for name in names]
            self._consumer.assign(partitions)
            found = self._consumer.beginning_offsets if from_start else self._consumer.end_offsets
            for partition, offset in found(partitions).items():
                self._consumer.seek(partition, offset)
        if missing := set(topics) - {topic for topic, _ in names}:
            raise TransportError(f"there is no topic {', '.join(sorted(missing))}")

    def go(self, partition: Partition, offset: int) -> None:
        """Read one partition from an offset."""
        with _explained(self._settings):
            self._consumer.assign([TopicPartition(*partition)])
            self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, seconds: float, *, at_most: int) -> Polled:
        with _explained(self._settings):
            _go_on_joining(self._consumer)
            records = self._consumer.poll(timeout_ms=round(seconds * 1000), max_records=at_most)
            if self._paused:
                self._consumer.pause(*self._consumer.assignment())
        gone, come = self._changes.take()
        messages = tuple(_message(r) for batch in records.values() for r in batch)
        return Polled(gone=gone, come=come, messages=messages)

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        # Between two polls the assignment does not change, so what is filtered here stays right.
        mine = {Partition(*p) for p in self._consumer.assignment()}
        offsets = {
            TopicPartition(*p): OffsetAndMetadata(at, "", -1)
            for p, at in positions.items()
            if p in mine
        }
        try:
            with _explained(self._settings):
                self._consumer.commit(offsets, timeout_ms=_COMMIT_MS)
        except TransportError as error:
            if isinstance(error.__cause__, _EXPELLED):
                return False
            raise
        return True

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def lag(self) -> Mapping[Partition, int]:
        found = {}
        with _explained(self._settings):
            for partition in self._consumer.assignment():
                end = self._consumer.highwater(partition)
                at = None if end is None else self._consumer.position(partition, timeout_ms=1000)
                if end is not None and at is not None:
                    found[Partition(*partition)] = max(0, end - at)
        return found

    def close(self) -> None:
        with _explained(self._settings):
            self._consumer.close(autocommit=False, timeout_ms=_COMMIT_MS)


def _message(record: Any) -> Message:  # noqa: ANN401
    return Message(
        partition=Partition(record.topic, record.partition),
        offset=record.offset,
        timestamp=record.timestamp / 1000,
        key=record.key,
        value=record.value or b"",
        headers=tuple(record.headers),
    )
