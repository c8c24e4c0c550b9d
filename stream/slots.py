"""How many responses are under judgement, and which."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from stream.relay import Relay


@dataclass(slots=True, kw_only=True)
class Slots:
    """Requests being answered, and relays being judged: some of these outlive their clients."""

    requests: int = 0
    tasks: "dict[asyncio.Task[object], Relay]" = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """Responses that cost memory and scoring now."""
        return max(self.requests, len(self.tasks))

    def start(self, relay: Relay, ended: Callable[[], None]) -> "asyncio.Task[object]":
        """Run a relay to its end even if the client leaves: a verdict must be recorded.

        `ended` is called then, whatever came of it.
        """
        task: asyncio.Task[object] = asyncio.create_task(relay.run())
        self.tasks[task] = relay
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: ended())
        return task

    def _ended(self, task: "asyncio.Task[object]") -> None:
        del self.tasks[task]
        if not task.cancelled():
            task.exception()  # the relay has told the log; the default handler would print text
