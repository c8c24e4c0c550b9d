"""The topics, and how they are made."""

from dataclasses import dataclass

from stream.kafka.messages import MAX_MESSAGE_BYTES
from stream.kafka.port import Topic, Transport, TransportError

_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Their names."""

    traces: str = "subtext.traces"
    progress: str = "subtext.progress"
    verdicts: str = "subtext.verdicts"
    deadletter: str = "subtext.deadletter"

    @classmethod
    def under(cls, prefix: str) -> "Topics":
        """The topics with another prefix than `subtext`."""
        return cls(
            traces=f"{prefix}.traces",
            progress=f"{prefix}.progress",
            verdicts=f"{prefix}.verdicts",
            deadletter=f"{prefix}.deadletter",
        )

    @property
    def all(self) -> tuple[str, ...]:
        """All four."""
        return self.traces, self.progress, self.verdicts, self.deadletter

    def look(self, transport: Transport) -> None:
        """Raise TransportError unless the broker answers and all of them are there."""
        if missing := set(self.all) - set(transport.topics()):
            names = ", ".join(sorted(missing))
            raise TransportError(f"there is no {names}: run `subtext topics create`")

    def to_create(self, *, partitions: int, days: int) -> list[Topic]:
        """The topics with `partitions` (one for dead letters), kept for `days`; progress, an hour.

        The broker's clock stamps the messages: by it, workers tell that a trace has fallen silent.
        """
        settings = {
            "message.timestamp.type": "LogAppendTime",
            # The envelope of a batch comes on top of its largest message.
            "max.message.bytes": str(MAX_MESSAGE_BYTES + 1024 * 1024),
            "retention.ms": str(days * _DAY_MS),
        }
        return [
            Topic(name=self.traces, partitions=partitions, settings=settings),
            Topic(
                name=self.progress,
                partitions=partitions,
                settings={**settings, "retention.ms": str(_HOUR_MS)},
            ),
            Topic(name=self.verdicts, partitions=partitions, settings=settings),
            Topic(name=self.deadletter, partitions=1, settings=settings),
        ]
