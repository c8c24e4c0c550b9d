"""A topic of traces as an input: kafka://host:9092/subtext.traces?from=...&to=...

Partitions are read one after the other, each from one offset to another that were settled when the
run began, so that a run that goes on finds the same records in the same order.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from monitor.dialects.logs import FieldMap, Logged
from monitor.types import Part, Trace, coalesce
from stream.kafka import messages
from stream.kafka.messages import TraceMessage, Unreadable
from stream.kafka.port import Consumer, Message, Partition, Transport, TransportError
from stream.kafka.settings import Settings
from stream.kafka.table import Outcome, Patience, Table, TraceKey
from stream.rescore.errors import RescoreError
from stream.rescore.items import Item

SCHEME = "kafka://"
#: Seconds without a message until a broker that should have more has failed.
PATIENCE = 60.0
_FOREVER = Patience(silence=float("inf"), total=float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInput:
    """The traces of a topic between two points."""

    #: The address as it was given.
    name: str
    transport: Transport
    spans: Mapping[Partition, range]

    @classmethod
    def of(
        cls, url: str, known: Iterable[Mapping[str, Any]], transport: Transport | None = None
    ) -> "TopicInput":
        """Look at a topic; a run that was begun reads what it was to read then."""
        try:
            address = _Address.of(url)
            transport = transport or _connect(address.bootstrap)
            kept = transport.kept(address.topic)
            if not kept:
                raise RescoreError(f"{url}: there is no topic {address.topic}.")
            begun = (k["spans"] for k in known if k.get("topic") == url)
            spans = next((_spans(address.topic, s) for s in begun), None)
            if spans is None:
                spans = address.spans(transport, kept)
        except (TransportError, ValueError) as error:
            raise RescoreError(f"{url}: {error}.") from error
        if gone := [p for p, span in spans.items() if span and span.start < kept[p].start]:
            raise RescoreError(f"{url}: messages of partition {gone[0].number} are gone by now.")
        return cls(name=url, transport=transport, spans=spans)

    @property
    def size(self) -> int:
        """Messages."""
        return sum(len(span) for span in self.spans.values())

    def fingerprint(self) -> dict[str, Any]:
        """Return which topic, and what of it."""
        spans = [[p.number, span.start, span.stop] for p, span in self.spans.items()]
        return {"topic": self.name, "spans": spans}

    def items(self, _fields: FieldMap | None) -> Iterator[Item]:
        """Read the topic; its own shape needs no map. Raises RescoreError."""
        before = 0
        for partition, span in self.spans.items():
            try:
                yield from self._items(partition, span, before)
            except TransportError as error:
                raise RescoreError(f"{self.name}: {error}.") from error
            before += len(span)

    def _items(self, partition: Partition, span: range, before: int) -> Iterator[Item]:
        assembly, source = _Assembly(), f"{self.name}#{partition.number}"
        for message in self._messages(partition, span):
            if (logged := assembly.take(message)) is not None:
                consumed = before + message.offset + 1 - span.start
                yield Item(source=source, line=message.offset, logged=logged, consumed=consumed)
        for piece in assembly.open.values():
            problem = f"the trace {piece.origin.trace_id} has no end here"
            logged = Logged(shape="kafka", problems=(problem,))
            consumed = before + len(span)
            yield Item(source=source, line=piece.offset, logged=logged, consumed=consumed)

    def _messages(self, partition: Partition, span: range) -> Iterator[Message]:
        if not span:
            return
        reader = self.transport.reader(partition, span.start)
        try:
            for message in _read(reader, partition):
                if message.offset >= span.stop:
                    return
                yield message
                if message.offset == span.stop - 1:
                    return
        finally:
            reader.close()


def _read(reader: Consumer, partition: Partition) -> Iterator[Message]:
    """Every message up to the end of the partition."""
    heard = time.monotonic()
    while True:
        found = reader.poll(0.5, at_most=500).messages
        if found:
            heard = time.monotonic()
        elif reader.lag().get(partition) == 0:
            return
        elif time.monotonic() - heard > PATIENCE:
            raise TransportError(f"nothing came for {PATIENCE:.0f} seconds")
        yield from found


@dataclass(slots=True, kw_only=True)
class _Open:
    """A trace whose last piece was not read yet."""

    origin: Trace
    #: Of its first message.
    offset: int
    parts: list[Part] = field(default_factory=list)


class _Assembly:
    """Traces from the pieces of one partition."""

    def __init__(self) -> None:
        self.open: dict[TraceKey, _Open] = {}
        self._table = Table(_FOREVER)

    def take(self, message: Message) -> Logged | None:
        """Take a message; returns what is complete with it."""
        try:
            piece = messages.read_trace(message)
        except Unreadable as error:
            return Logged(shape="", problems=(f"{error.reason.value}: {error}",))
        key = TraceKey(piece.trace_id, piece.choice)
        outcome = self._table.take(
            key,
            partition=message.partition,
            offset=message.offset,
            when=message.timestamp,
            number=piece.number,
            last=piece.last,
        )
        if outcome is Outcome.REPEATED:
            return None
        if outcome is Outcome.OPENED:
            self.open[key] = _Open(origin=piece.origin(), offset=message.offset)
        self.open[key].parts += piece.text()
        return self._end(key, piece) if piece.last else None

    def _end(self, key: TraceKey, piece: TraceMessage) -> Logged:
        whole, row, ending = self.open.pop(key), self._table.row(key), piece.ending()
        missing = row.problem if row is not None else None
        self._table.decide(key)
        if missing:
            return Logged(shape="kafka", problems=(missing,))
        trace = replace(
            whole.origin,
            parts=coalesce(whole.parts),
            problem=ending.problem,
            disclosure=ending.disclosure,
        )
        return Logged(shape="kafka", traces=(trace,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    bootstrap: str
    topic: str
    #: An offset, or a time; "" for the beginning and the end.
    since: str
    until: str

    @classmethod
    def of(cls, url: str) -> "_Address":
        """Read an address; raises ValueError."""
        found = urlsplit(url)
        asked = found.query.replace("+", "%2B")  # as in +02:00, which nobody escapes
        query = dict(parse_qsl(asked, keep_blank_values=True))
        since, until = query.pop("from", ""), query.pop("to", "")
        topic = found.path.strip("/")
        if "@" in found.netloc:
            raise ValueError("credentials belong in SUBTEXT_KAFKA_USER and SUBTEXT_KAFKA_PASSWORD")
        if not (found.netloc and topic) or query:
            raise ValueError("an address is kafka://host:9092/TOPIC?from=...&to=...")
        return cls(bootstrap=found.netloc, topic=topic, since=since, until=until)

    def spans(
        self, transport: Transport, kept: Mapping[Partition, range]
    ) -> dict[Partition, range]:
        """The offsets that are meant, of those that are `kept`."""
        first = self._point(transport, self.since, {p: span.start for p, span in kept.items()})
        end = self._point(transport, self.until, {p: span.stop for p, span in kept.items()})
        return {
            p: range(max(first[p], span.start), max(first[p], min(end[p], span.stop)))
            for p, span in kept.items()
        }

    def _point(
        self, transport: Transport, given: str, default: Mapping[Partition, int]
    ) -> Mapping[Partition, int]:
        if not given:
            return default
        if given.isascii() and given.isdigit():
            return dict.fromkeys(default, int(given))
        return transport.offsets_at(self.topic, _seconds(given))


def _seconds(given: str) -> float:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        why = f"{given!r} is neither an offset nor a time like 2026-11-01T08:00"
        raise ValueError(why) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _spans(topic: str, told: Iterable[tuple[int, int, int]]) -> dict[Partition, range]:
    return {Partition(topic, number): range(start, stop) for number, start, stop in told}


def _connect(bootstrap: str) -> Transport:
    try:
        from stream.kafka.client import Kafka  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise RescoreError("Kafka needs an extra: pip install 'subtext[kafka]'.") from error
    return Kafka(Settings.from_environment(bootstrap, os.environ))
