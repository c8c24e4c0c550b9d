"""Tells a sender that waits how far its trace is judged."""

import asyncio

from monitor.judging import Judging
from stream.kafka.messages import ProgressMessage, TraceMessage
from stream.kafka.port import Message
from stream.kafka.publisher import Publisher


class Herald:
    """Only the newest state is worth telling, so what changes meanwhile is told at once."""

    def __init__(
        self, publisher: Publisher, topic: str, about: Message, piece: TraceMessage
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._about = about
        self._piece = piece
        self._changed = asyncio.Event()

    def note(self) -> None:
        """More was judged, or judging failed."""
        self._changed.set()

    async def run(self, session: Judging) -> None:
        """Tell of `session` until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            told = ProgressMessage(
                trace_id=self._piece.trace_id,
                choice=self._piece.choice,
                judged=session.judged,
                decision=session.decision.name.lower(),
                failure=session.failure,
            )
            await self._publisher.publish(self._topic, self._about, told)
