"""From deltas to steps: the same steps however the text was cut into deltas. Pure."""

from classifiers.segment import Piece, Segmenter
from monitor.types import Channel, Delta, Part, Step


class Stepper:
    """The steps of one choice. A change of channel ends a step."""

    def __init__(self) -> None:
        self._segmenters = {channel: Segmenter() for channel in Channel}
        self._channel: Channel | None = None
        self._parts: list[tuple[Channel, list[str]]] = []
        self._count = 0

    def feed(self, delta: Delta) -> list[Step]:
        """Return the steps that `delta` completed."""
        if not delta.text:
            return []
        turned = self.flush() if delta.channel is not self._channel else []
        if delta.channel is not self._channel:
            self._channel = delta.channel
            self._parts.append((delta.channel, []))
        self._parts[-1][1].append(delta.text)
        pieces = self._segmenters[delta.channel].feed(delta.text)
        return turned + [self._step(delta.channel, p) for p in pieces]

    def flush(self) -> list[Step]:
        """Return the step that is still open, if any."""
        if self._channel is None:
            return []
        pieces = self._segmenters[self._channel].close()
        return [self._step(self._channel, p) for p in pieces]

    def parts(self) -> tuple[Part, ...]:
        """Everything fed so far."""
        return tuple(Part(channel=c, text="".join(texts)) for c, texts in self._parts)

    def _step(self, channel: Channel, piece: Piece) -> Step:
        self._count += 1
        return Step(
            index=self._count - 1,
            channel=channel,
            start=piece.start,
            end=piece.end,
            text=piece.text,
            disguised=piece.disguised,
        )
