"""Sends what a worker has to say until the broker has it."""

import asyncio

from pydantic import BaseModel

from monitor.logs import complain
from stream.kafka import messages
from stream.kafka.port import Message, Producer, TransportError

#: Seconds between attempts at a broker that is down.
RETRY = 1.0


class Publisher:
    """Answers messages: under the same key, in the same trace context."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def publish(self, topic: str, about: Message, told: BaseModel) -> None:
        """Send `told` about a message; returns when the broker has it, however long that takes."""
        value = messages.encode(told)
        headers = messages.answering(about.headers)
        while True:
            try:
                future = await asyncio.to_thread(
                    self._producer.send, topic, key=about.key or b"", value=value, headers=headers
                )
                return await asyncio.wrap_future(future)
            except TransportError as error:
                complain("publishing_failed", reason=str(error))
                await asyncio.sleep(RETRY)
