"""What a door needs of whoever judges: the engine of this process, or workers elsewhere.

`monitor.engine` and `stream.kafka.gate` implement it; one contract suite runs on both.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from monitor.clock import Surroundings
from monitor.metrics import Metrics
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Decision, Delta, Disclosure, EarlyStop, Part, Trace, Verdict

#: Code points of a stored trace that are fed at a time.
SLICE = 65_536
#: What is known of a response whose end nobody described.
NOTHING_DISCLOSED = Disclosure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Somebody waits behind the text of this session."""

    #: Known before the verdict, so that response headers can name it.
    verdict_id: str
    #: Called whenever more text was judged or judging failed.
    on_progress: Callable[[], None]
    #: The policy's deadline holds; False where whoever waits watches it himself.
    timed: bool = True
    #: The W3C Trace Context (`traceparent`) that this is part of; "" for none.
    context: str = ""


class Judging(Protocol):
    """One choice of one response under judgement."""

    @property
    def judged(self) -> int:
        """Code points that are judged, in the order in which they were fed."""
        ...

    @property
    def decision(self) -> Decision:
        """The highest decision that the text so far calls for."""
        ...

    @property
    def failure(self) -> str | None:
        """Why judging failed, if it did."""
        ...

    async def feed(self, delta: Delta) -> None:
        """Take more text; waits while too much waits."""
        ...

    async def finish(
        self,
        *,
        problem: str | None = None,
        cut: bool = False,
        opened: bool = False,
        disclosure: Disclosure = NOTHING_DISCLOSED,
        early_stop: EarlyStop | None = None,
    ) -> Verdict:
        """End the text, and return the verdict once it is recorded.

        `problem` says why part of the response could not be read; `cut` leaves unscored what still
        waits, because the response was refused already; `opened` says that text went out unjudged.
        """
        ...

    def abandon(self) -> None:
        """Stop; nothing is recorded. Harmless after `finish`."""
        ...


class Judge(Protocol):
    """Judges responses."""

    #: For responses that begin from now on, so it may be replaced; sessions keep what they got.
    policy: Rulebook

    @property
    def world(self) -> Surroundings:
        """Where time and ids come from."""
        ...

    @property
    def metrics(self) -> Metrics:
        """What is counted."""
        ...

    def open(
        self, origin: Trace, *, live: Live | None = None, policy: Policy | None = None
    ) -> Judging:
        """Begin to judge a response; `origin` says whose it is and what was asked, without parts.

        `policy` is what was resolved for the response already, where it was.
        """
        ...

    async def judge(self, trace: Trace) -> Verdict:
        """Judge and record a complete trace."""
        ...

    async def refuse(self, verdict_id: str, problem: str) -> Verdict:
        """Record a BLOCK, whatever the policy says of failures: something was refused unread."""
        ...


async def judged(session: Judging, trace: Trace) -> Verdict:
    """Judge a complete trace in `session`: fed at once, and finished."""
    try:
        for delta in slices(trace.parts, trace.choice):
            await session.feed(delta)
        return await session.finish(problem=trace.problem, disclosure=trace.disclosure)
    finally:
        session.abandon()


def slices(parts: Iterable[Part], choice: int = 0) -> Iterator[Delta]:
    """The text in pieces, so that the steps of a huge one are not all made at once."""
    for part in parts:
        for start in range(0, len(part.text), SLICE):
            text = part.text[start : start + SLICE]
            yield Delta(choice=choice, channel=part.channel, text=text)
