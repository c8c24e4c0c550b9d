"""The road: text in, recorded verdict out. Every door opens a session here."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TypeAlias

from classifiers.errors import ClassifierError
from classifiers.port import Classifier, Role
from monitor.clock import Surroundings
from monitor.gaps import gaps
from monitor.judging import NOTHING_DISCLOSED, Live, judged
from monitor.logs import complain
from monitor.metrics import Metrics
from monitor.policy import Policy, decide
from monitor.rulebook import Rulebook
from monitor.scoring import Scorer
from monitor.steps import Stepper
from monitor.tally import Tally
from monitor.types import (
    Decision,
    Delta,
    Disclosure,
    EarlyStop,
    Step,
    StepScores,
    Trace,
    Verdict,
    Versions,
)

#: Steps that are scored in one go, and steps that may wait before `feed` waits too.
BATCH_STEPS, MAX_WAITING_STEPS = 32, 256
#: Stored traces that are judged at the same time beside live ones: enough to fill batches.
STORED_AT_ONCE = 16
#: Looked up once: it reads a file.
_VERSION = version("subtext")

Recorder: TypeAlias = Callable[[Verdict, Trace], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Engine:
    """What all sessions share. `record` must have made a verdict durable when it returns."""

    classifier: Classifier
    #: For responses that begin from now on, so it may be replaced; sessions keep what they got.
    policy: Rulebook
    record: Recorder
    world: Surroundings = field(default_factory=Surroundings)
    metrics: Metrics = field(default_factory=Metrics)
    #: Complete traces that are judged at once; more of them fill batches with less padding, and let
    #: responses that somebody waits for wait longer.
    stored_at_once: int = STORED_AT_ONCE
    _stored: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Make what follows from the settings."""
        self._stored = asyncio.Semaphore(self.stored_at_once)

    def versions(self, policy: Policy) -> Versions:
        """What produces this engine's verdicts under `policy`."""
        return Versions(
            subtext=_VERSION,
            model=self.classifier.identity.model,
            calibration=self.classifier.identity.calibration,
            policy=policy.version,
        )

    def open(
        self,
        origin: Trace,
        *,
        live: Live | None = None,
        policy: Policy | None = None,
        verdict_id: str = "",
    ) -> "Session":
        """Begin to judge a response; `origin` says whose it is and what was asked, without parts.

        Without `live` nobody waits behind the text, so the policy's deadline does not apply, and
        the verdict gets `verdict_id`, or a fresh one.
        `policy` is what was resolved for the response already, where it was.
        """
        return Session(self, origin, live, policy or self.policy.resolve(origin), verdict_id)

    async def refuse(self, verdict_id: str, problem: str) -> Verdict:
        """Record a BLOCK, whatever the policy says of failures: something was refused unread."""
        live = Live(verdict_id=verdict_id, on_progress=lambda: None)
        session = self.open(Trace(trace_id=self.world.new_id(), parts=()), live=live)
        return await session.finish(problem=problem, refused=True)

    async def judge(self, trace: Trace) -> Verdict:
        """Judge and record a complete trace, in its turn: the same session, fed at once."""
        async with self._stored:
            return await judged(self.open(replace(trace, parts=())), trace)


class Session:
    """One choice of one response under judgement."""

    def __init__(
        self, engine: Engine, origin: Trace, live: Live | None, policy: Policy, verdict_id: str = ""
    ) -> None:
        self.verdict_id = live.verdict_id if live else verdict_id or engine.world.new_id()
        #: Code points that are judged, in the order in which they were fed.
        self.judged = 0
        #: Code points of the steps that are complete.
        self._due = 0
        self._engine = engine
        self._origin = origin
        self._live = live
        #: Whether the policy's deadline holds.
        self._timed = live is not None and live.timed
        self._policy = policy
        self._stepper = Stepper()
        self._tally = Tally(policy)
        self._waiting: deque[tuple[float, Step]] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._opened = self._refused = False
        self._started = engine.world.monotonic()
        self._scoring_seconds = 0.0
        self._task = asyncio.create_task(self._run())

    @property
    def decision(self) -> Decision:
        """The highest decision that the text so far calls for."""
        failed = Decision.ALLOW if self.failure is None else self._policy.unscored
        return max(self._tally.reached, failed)

    @property
    def steps(self) -> Sequence[StepScores]:
        """What is judged, in its order."""
        return self._tally.steps

    @property
    def failure(self) -> str | None:
        """Why judging failed, if it did."""
        return next(iter(self._tally.failures.values()), None)

    async def feed(self, delta: Delta) -> None:
        """Take more text; waits while too many steps are waiting for their scores."""
        if steps := self._stepper.feed(delta):
            self._enqueue(steps)
        while len(self._waiting) > MAX_WAITING_STEPS and not self._task.done():
            self._changed.clear()
            await self._changed.wait()

    async def settled(self) -> None:
        """Wait until every complete step is judged, or judging failed."""
        while self.judged < self._due and self.failure is None and not self._task.done():
            self._changed.clear()
            await self._changed.wait()

    async def finish(  # noqa: PLR0913 -- keyword-only: how a response may end
        self,
        *,
        problem: str | None = None,
        cut: bool = False,
        opened: bool = False,
        disclosure: Disclosure = NOTHING_DISCLOSED,
        early_stop: EarlyStop | None = None,
        refused: bool = False,
    ) -> Verdict:
        """End the text, and return the verdict once it is recorded.

        `problem` says why part of the response could not be read; `cut` leaves unscored what still
        waits, because the response was refused already; `opened` says that text went out unjudged;
        `refused`, that nothing was even asked for.
        """
        self._opened, self._refused = opened, refused
        if problem is not None:
            self._tally.fail(problem)
        if not cut:
            self._enqueue(self._stepper.flush())
        self._ended = True
        self._changed.set()
        if cut:
            self._task.cancel()
        await asyncio.wait([self._task])
        if cut and self._tally.reached is not Decision.BLOCK:
            self._tally.fail("the response was refused before this was judged")
        if not cut and (self._task.cancelled() or self._task.exception() or self._waiting):
            self._tally.fail("judging stopped before the end")  # else it would pass as empty
        parts = self._stepper.parts()
        trace = replace(self._origin, parts=parts, problem=problem, disclosure=disclosure)
        return await self._record(replace(self._verdict(trace), early_stop=early_stop), trace)

    def fail(self, reason: str) -> None:
        """Judge nothing more: the response counts as not judged, because of `reason`."""
        self._tally.fail(reason)
        self._waiting.clear()
        self._task.cancel()

    def abandon(self) -> None:
        """Stop scoring; nothing is recorded. Harmless after `finish`."""
        self._task.cancel()

    def _enqueue(self, steps: list[Step]) -> None:
        now = self._engine.world.monotonic()
        if steps and not self._task.done():
            self._waiting.extend((now, step) for step in steps)
            self._due += sum(step.end - step.start for step in steps)
            self._changed.set()

    async def _run(self) -> None:
        """Score what waits until the text has ended; a failure ends it too."""
        try:
            scorer = Scorer(self._engine.classifier, self._origin.prompt)
            while await self._some():
                await self._score(scorer, self._take())
                self._progress()
        except TimeoutError:
            self._fail("the deadline passed before the text was judged")
        except ClassifierError as error:
            self._fail(f"the classifier failed: {error}")
        except Exception as error:  # noqa: BLE001 -- whatever it was, the text was not judged
            name = type(error).__name__
            complain("scoring_failed", verdict_id=self.verdict_id, error=name)
            self._fail(f"the classifier failed: {name}")

    async def _score(self, scorer: Scorer, batch: list[tuple[float, Step]]) -> None:
        began = self._engine.world.monotonic()
        async with asyncio.timeout(self._patience(batch[0][0])):
            scores = await scorer.score([step for _, step in batch])
        self._scoring_seconds += self._engine.world.monotonic() - began
        for (_, step), values in zip(batch, scores, strict=True):
            self._tally.add(step, values)
            self.judged += step.end - step.start

    async def _some(self) -> bool:
        """Wait for steps; False when there will be none."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._waiting)

    def _take(self) -> list[tuple[float, Step]]:
        """The next steps. Where somebody waits, an answer's first does not wait for its last."""
        batch: list[tuple[float, Step]] = []
        while self._waiting and len(batch) < BATCH_STEPS:
            batch.append(self._waiting.popleft())
            if self._live and batch[-1][1].channel.role is Role.ANSWER:
                break
        return batch

    def _patience(self, since: float) -> float | None:
        """Seconds left until the oldest step of a batch has waited for too long."""
        if not self._timed:
            return None
        waited = self._engine.world.monotonic() - since
        return max(0.0, self._policy.deadline_seconds - waited)

    def _fail(self, reason: str) -> None:
        self._tally.fail(reason)
        self._waiting.clear()
        self._progress()

    def _progress(self) -> None:
        self._changed.set()
        if self._live:
            self._live.on_progress()

    def _verdict(self, trace: Trace) -> Verdict:
        engine = self._engine
        ruling = decide(self._policy, assessments := self._tally.assessments())
        certain = Decision.BLOCK if self._refused else self._tally.reached
        total = engine.world.monotonic() - self._started
        return Verdict(
            verdict_id=self.verdict_id,
            trace_id=self._origin.trace_id,
            decision=max(ruling.decision, certain),
            mode=self._policy.mode,
            policy_rule=self._policy.rule,
            thresholds=self._policy.thresholds,
            assessments=assessments,
            steps=tuple(self._tally.steps),
            versions=engine.versions(self._policy),
            created_at=engine.world.now(),
            timings_ms={"scoring": self._scoring_seconds * 1000, "total": total * 1000},
            failed_open=self._opened or (ruling.failed_open and certain is not Decision.BLOCK),
            gaps=gaps(trace),
            usage=trace.disclosure.usage,
        )

    async def _record(self, verdict: Verdict, trace: Trace) -> Verdict:
        """Record; what cannot be recorded, for whatever reason, counts as not judged.

        A write that outlasts the deadline may still reach the store; the client is told otherwise.
        """
        try:
            async with asyncio.timeout(self._policy.deadline_seconds if self._timed else None):
                await self._engine.record(verdict, trace)
        except Exception as error:  # noqa: BLE001 -- an unrecorded verdict must never pass for one
            name = type(error).__name__
            complain("verdict_not_recorded", verdict_id=self.verdict_id, error=name)
            self._engine.metrics.not_recorded.inc()
            verdict = self._unrecorded(verdict)
        self._engine.metrics.judged(verdict)
        return verdict

    def _unrecorded(self, verdict: Verdict) -> Verdict:
        self._tally.fail("the verdict could not be recorded")
        decision = max(verdict.decision, self._policy.unscored)
        return replace(
            verdict,
            assessments=self._tally.assessments(),
            decision=decision,
            failed_open=self._opened or decision is not Decision.BLOCK,
        )
