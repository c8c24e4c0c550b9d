"""The gate of `subtext serve --gate kafka`: responses are judged by workers, not here."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from classifiers.errors import ClassifierError
from classifiers.port import Check, Classifier, Head, Identity, Pair, Thresholds, Vector
from monitor.clock import Surroundings
from monitor.engine import Engine
from monitor.judging import Judging, Live, judged
from monitor.metrics import Metrics
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.types import Trace, Verdict
from stream.kafka.answers import Answers
from stream.kafka.courier import Courier
from stream.kafka.hearing import Hearing, Way
from stream.kafka.metrics import GateMetrics
from stream.kafka.port import Transport, TransportError
from stream.kafka.spool import Spool
from stream.kafka.topics import Topics

#: Seconds at the start until verdicts can come; after them, requests come all the same.
START_SECONDS = 10.0


class NoClassifier:
    """Stands where a model is not: it judges nothing, and says so."""

    identity = Identity(model="", calibration="")

    def __init__(self, thresholds: Mapping[Check, Thresholds]) -> None:
        self.thresholds = thresholds

    async def encode(self, texts: Sequence[str]) -> list[Vector]:  # noqa: ARG002 -- the port's
        """Refuse."""
        raise ClassifierError("this process has no model")

    def head(self) -> Head:
        """Refuse."""
        raise ClassifierError("this process has no model")

    async def compare(self, pairs: Sequence[Pair]) -> list[float]:  # noqa: ARG002 -- the port's
        """Refuse."""
        raise ClassifierError("this process has no model")

    async def aclose(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where the workers are."""

    transport: Transport
    topics: Topics
    #: Folder for what the broker does not take, and how many bytes may be there.
    spool: Path
    spool_bytes: int

    def classifier(self, thresholds: Mapping[Check, Thresholds]) -> Classifier:
        """What stands where the model would be."""
        return NoClassifier(thresholds)

    @asynccontextmanager
    async def judging(self, engine: Engine) -> AsyncIterator["KafkaJudge"]:
        """Judge by workers; `engine` records what they do not judge. Raises SpoolError."""
        spool = Spool(self.spool, limit=self.spool_bytes)
        judge = KafkaJudge(engine, self.transport, self.topics, spool)
        async with judge.courier.working(), judge.answers.followed():
            await judge.started()
            yield judge


class KafkaJudge:
    """See `monitor.judging.Judge`."""

    def __init__(self, engine: Engine, transport: Transport, topics: Topics, spool: Spool) -> None:
        #: What is counted beside the metrics of the engine.
        self.counts = GateMetrics()
        self.courier = Courier(transport.producer, spool, self.counts, on_down=self._lose)
        self._engine = engine
        self._transport = transport
        self._topics = topics
        self.answers = Answers(transport, topics)
        self._way = Way(
            engine=engine,
            courier=self.courier,
            answers=self.answers,
            topic=topics.traces,
            metrics=self.counts,
        )

    @property
    def policy(self) -> Rulebook:
        """For responses that begin from now on."""
        return self._engine.policy

    @policy.setter
    def policy(self, policy: Rulebook) -> None:
        self._engine.policy = policy

    @property
    def world(self) -> Surroundings:
        """Where time and ids come from."""
        return self._engine.world

    @property
    def metrics(self) -> Metrics:
        """What is counted."""
        return self._engine.metrics

    def open(
        self, origin: Trace, *, live: Live | None = None, policy: Policy | None = None
    ) -> Judging:
        """Begin to judge a response; the deadline holds for all: a worker may be long in coming."""
        live = live or Live(verdict_id=self.world.new_id(), on_progress=lambda: None)
        policy = policy or self.policy.resolve(origin)
        return Hearing(self._way, origin, policy, live)

    async def judge(self, trace: Trace) -> Verdict:
        """Have a complete trace judged."""
        return await judged(self.open(replace(trace, parts=())), trace)

    async def refuse(self, verdict_id: str, problem: str) -> Verdict:
        """Record a BLOCK here: there is nothing to judge."""
        return await self._engine.refuse(verdict_id, problem)

    async def reach(self) -> None:
        """Raise TransportError unless text gets to the broker and answers come back."""
        if self.courier.down:
            raise TransportError("the broker takes no messages")
        if not self.answers.ready.is_set():
            raise TransportError("answers are not followed yet")
        await asyncio.to_thread(self._topics.look, self._transport)

    async def started(self) -> None:
        """Wait until verdicts can come, but not for ever: the policy says what happens then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self.answers.ready.wait()
                await self.courier.up()

    def _lose(self) -> None:
        for waiting in self.answers.everybody():
            waiting.lose("the broker does not answer")
