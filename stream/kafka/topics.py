"""The topics, and how they are made."""

from dataclasses import dataclass

from stream.kafka.messages import MAX_MESSAGE_BYTES
from stream.kafka.port import Topic

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Their names."""

    traces: str = "subtext.traces"
    verdicts: str = "subtext.verdicts"
    deadletter: str = "subtext.deadletter"

    @classmethod
    def under(cls, prefix: str) -> "Topics":
        """The topics with another prefix than `subtext`."""
        return cls(
            traces=f"{prefix}.traces",
            verdicts=f"{prefix}.verdicts",
            deadletter=f"{prefix}.deadletter",
        )

    @property
    def all(self) -> tuple[str, str, str]:
        """All three."""
        return self.traces, self.verdicts, self.deadletter

    def to_create(self, *, partitions: int, days: int) -> list[Topic]:
        """The topics with `partitions` for traces and verdicts, kept for `days`.

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
            Topic(name=self.verdicts, partitions=partitions, settings=settings),
            Topic(name=self.deadletter, partitions=1, settings=settings),
        ]
