"""One choice of a response that workers judge, as the door sees it; see `monitor.judging`.

Pieces of the text go out as they come, progress and the verdict come back. What does not come in
time counts as not judged: this process then records that itself, under a name of its own, because
the record of the worker may still come.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from monitor.dialects.voice import clean
from monitor.engine import Engine
from monitor.judging import NOTHING_DISCLOSED, Live, slices
from monitor.logs import complain
from monitor.policy import Policy
from monitor.steps import Stepper
from monitor.types import (
    Decision,
    Delta,
    Disclosure,
    EarlyStop,
    Part,
    Status,
    Step,
    Trace,
    Verdict,
)
from stream.kafka import messages
from stream.kafka.answers import Answers
from stream.kafka.courier import Courier
from stream.kafka.messages import (
    Ending,
    EndMessage,
    PartMessage,
    ProgressMessage,
    TraceMessage,
    Unreadable,
    VerdictMessage,
)
from stream.kafka.metrics import GateMetrics
from stream.kafka.spool import Parcel

#: Seconds for which text is gathered into one message.
GATHERED = 0.05
#: Code points after which it is not.
FULL = 16_384
#: Seconds after which something is sent even when there is no text: the worker must not take a
#: model that pauses for one that is gone.
ALIVE = 20.0
#: A label is cut after so many characters.
_LABEL = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How text gets to workers, and answers back."""

    #: Records what no worker judged; its classifier is not asked.
    engine: Engine
    courier: Courier
    answers: Answers
    #: The topic of the traces.
    topic: str
    metrics: GateMetrics

    @property
    def trouble(self) -> str | None:
        """Why no verdict can come now, if so."""
        blocked = self.courier.down or not self.answers.ready.is_set()
        return "the broker does not answer" if blocked else None


class Hearing:
    """See the module."""

    def __init__(self, way: Way, origin: Trace, policy: Policy, live: Live) -> None:
        self.verdict_id = live.verdict_id
        #: Code points that are judged, in the order in which they were fed.
        self.judged = 0
        #: Why judging failed, if it did.
        self.failure: str | None = None
        self._way = way
        self._origin = origin
        self._policy = policy
        self._tell = live.on_progress
        self._headers = messages.headers(tenant=clean(origin.tenant), context=live.context)
        self._stepper = Stepper()
        self._unsent: list[Part] = []
        #: Code points of it.
        self._gathered = 0
        #: Of the next piece.
        self._number = 0
        self._began = way.engine.world.now()
        self._reached = Decision.ALLOW
        #: By when what must be judged, in the order of both.
        self._due: deque[tuple[float, int]] = deque()
        #: Code points of the steps that are complete.
        self._complete = 0
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        #: When the next piece goes out; None before the first text and after the last piece.
        self._sending: asyncio.TimerHandle | None = None
        #: It is text that was gathered, and due in a moment.
        self._soon = False
        #: The last piece was sent.
        self._ended = False
        #: No verdict is waited for any more: the failure is ours.
        self._given_up = False
        self._verdict: Verdict | None = None
        self._concluded = asyncio.Event()
        way.answers.expect(live.verdict_id, self)

    @property
    def decision(self) -> Decision:
        """The highest decision that the text so far calls for."""
        failed = Decision.ALLOW if self.failure is None else self._policy.unscored
        return max(self._reached, failed)

    async def feed(self, delta: Delta) -> None:
        """Take more text; waits while too much waits for the broker."""
        self._expect_judged(self._stepper.feed(delta))
        whole = Part(channel=delta.channel, text=delta.text)
        self._gather(Part(channel=d.channel, text=d.text) for d in slices([whole]))
        if trouble := self._way.trouble:
            self.lose(trouble)
        await self._way.courier.room()

    async def finish(
        self,
        *,
        problem: str | None = None,
        cut: bool = False,
        opened: bool = False,
        disclosure: Disclosure = NOTHING_DISCLOSED,
        early_stop: EarlyStop | None = None,
    ) -> Verdict:
        """End the text, and return the verdict once it is recorded, by a worker or here."""
        ending = Ending(
            problem=problem,
            cut=cut,
            opened=opened,
            disclosure=disclosure,
            early_stop=early_stop,
        )
        if not cut:
            self._expect_judged(self._stepper.flush())
        self._send(ending)
        if trouble := self._way.trouble:
            self.lose(trouble)
        ended = self._loop.time()
        self._expect(sys.maxsize)
        await self._concluded.wait()
        self.abandon()
        if self._verdict is None:
            return await self._record(ending)
        self._way.metrics.lag.observe(self._loop.time() - ended)
        if self._verdict.versions.policy != self._policy.version:
            self._way.metrics.policy_differs.inc()
        verdict = self._strict(self._verdict)
        self._way.engine.metrics.judged(verdict)
        return verdict

    def _strict(self, verdict: Verdict) -> Verdict:
        """The verdict; a failure that our policy blocks is never let pass by another policy."""
        failed = any(a.status is Status.UNSCORED and not a.absent for a in verdict.assessments)
        if not failed or verdict.decision >= self._policy.unscored:
            return verdict
        decision = self._policy.unscored
        return replace(verdict, decision=decision, failed_open=decision is not Decision.BLOCK)

    def abandon(self) -> None:
        """Wait for nothing; nothing is recorded. Harmless after `finish`."""
        self._way.answers.forget(self.verdict_id)
        for timer in (self._deadline, self._sending):
            if timer is not None:
                timer.cancel()

    # ---- answers

    def progress(self, told: ProgressMessage) -> None:
        """Take how far it is judged. After a crash a worker begins anew, but nothing is unsaid."""
        self.judged = max(self.judged, told.judged)
        self._reached = max(self._reached, told.reached)
        self.failure = self.failure or told.failure
        while self._due and self._due[0][1] <= self.judged:
            self._due.popleft()
        self._tell()

    def verdict(self, told: VerdictMessage) -> None:
        """Take the verdict; while text still comes, it says that the worker has given up."""
        try:
            self._verdict = told.read()
        except Unreadable as error:
            complain("answer_not_readable", reason=str(error))
            return
        self._concluded.set()
        if not self._ended:
            why = self._verdict.unscored or "the worker ended the trace too early"
            self.failure = self.failure or why
            self._tell()

    def lose(self, reason: str) -> None:
        """Wait no longer: it counts as not judged, because of `reason`. The first one stays."""
        if self._given_up or self._verdict is not None:
            return
        self._given_up = True
        self.failure = self.failure or reason
        self._concluded.set()
        self._tell()

    # ---- the deadline

    def _expect_judged(self, steps: list[Step]) -> None:
        if steps:
            self._complete += sum(step.end - step.start for step in steps)
            self._expect(self._complete)

    def _expect(self, judged: int) -> None:
        """Let so much be judged before the deadline has passed from now."""
        self._due.append((self._loop.time() + self._policy.deadline_seconds, judged))
        self._arm()

    def _arm(self) -> None:
        if self._deadline is None and self._due and not self._given_up:
            self._deadline = self._loop.call_at(self._due[0][0], self._look)

    def _look(self) -> None:
        """Give up if the deadline that has come was not met."""
        self._deadline = None
        if self._due and self._due[0][0] <= self._loop.time():
            self.lose("no worker judged the text before the deadline")
        self._arm()

    # ---- text out

    def _gather(self, parts: Iterable[Part]) -> None:
        """Send text when there is enough for a message, or a moment later."""
        for part in parts:
            self._unsent.append(part)
            self._gathered += len(part.text)
            if self._gathered >= FULL:
                self._send()
        if self._unsent and not self._soon:
            self._schedule(GATHERED)

    def _send(self, ending: Ending | None = None) -> None:
        piece = self._piece(ending)
        self._unsent, self._gathered = [], 0
        self._number += 1
        self._ended = ending is not None
        self._schedule(None if self._ended else ALIVE)
        parcel = Parcel(
            topic=self._way.topic,
            key=piece.trace_id.encode(),
            value=messages.encode(piece),
            headers=self._headers,
        )
        if not self._way.courier.offer(parcel):
            self.lose("too much waits for the broker")

    def _schedule(self, seconds: float | None) -> None:
        """Send next after so long; None for never."""
        if self._sending is not None:
            self._sending.cancel()
        self._soon = seconds == GATHERED
        self._sending = None if seconds is None else self._loop.call_later(seconds, self._send)

    def _piece(self, ending: Ending | None) -> TraceMessage:
        piece = TraceMessage(
            trace_id=self.verdict_id,
            choice=self._origin.choice,
            number=self._number,
            last=ending is not None,
            parts=[PartMessage(channel=p.channel.value, text=clean(p.text)) for p in self._unsent],
            problem=_label(ending.problem) if ending and ending.problem else None,
            end=EndMessage.of(ending) if ending else None,
        )
        return piece.model_copy(update=self._whose()) if self._number == 0 else piece

    def _whose(self) -> dict[str, str]:
        origin = self._origin
        return {
            "prompt": clean(origin.prompt),
            "model": _label(origin.model),
            "requested_model": _label(origin.requested_model),
            "route": _label(origin.route),
            "tenant": _label(origin.tenant),
            "conversation_id": _label(origin.conversation_id),
            "request_id": _label(origin.trace_id),
            "created_at": self._began,
            "verdict_id": self.verdict_id,
        }

    # ---- what no worker judged in time

    async def _record(self, ending: Ending) -> Verdict:
        """Record, here and under another name, that it was not judged; what was found counts."""
        self._way.metrics.late.inc()
        live = Live(verdict_id=f"{self.verdict_id}-late", on_progress=lambda: None)
        session = self._way.engine.open(self._origin, live=live, policy=self._policy)
        session.fail(self.failure or "no worker judged the text before the deadline")
        for delta in slices(self._stepper.parts(), self._origin.choice):
            await session.feed(delta)
        return await session.finish(
            problem=ending.problem,
            opened=ending.opened,
            disclosure=ending.disclosure,
            early_stop=ending.early_stop,
            refused=self._reached is Decision.BLOCK,
        )


def _label(text: str) -> str:
    return clean(text)[:_LABEL]
