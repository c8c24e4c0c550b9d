"""Tells a sender that waits how far its trace is judged, and every step's scores."""

import asyncio

from monitor.engine import Session
from monitor.wire import step_json
from stream.kafka.messages import ProgressMessage, TraceMessage
from stream.kafka.port import Message
from stream.kafka.publisher import Publisher


class Herald:
    """What changes while one message is on its way is told in the next, all at once."""

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

    async def run(self, session: Session) -> None:
        """Tell of `session` until cancelled."""
        told_steps = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            new = session.steps[told_steps:]
            told_steps += len(new)
            told = ProgressMessage(
                trace_id=self._piece.trace_id,
                choice=self._piece.choice,
                judged=session.judged,
                decision=session.decision.name.lower(),
                failure=session.failure,
                steps=[step_json(scored) for scored in new],
            )
            await self._publisher.publish(self._topic, self._about, told)
