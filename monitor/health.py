"""Whether what a verdict needs works: looked at when somebody asks, never longer than they wait.

To watch one more part: add it to `Part`, and give `Health` a probe for it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from classifiers.port import Classifier, Pair
from monitor.metrics import Counted
from monitor.store import Store

#: Returns when a part works, and raises when it does not.
Probe: TypeAlias = Callable[[], Awaitable[object]]


class Part(StrEnum):
    """What a verdict needs."""

    #: The classifiers score.
    MODEL = "model"
    #: The audit store can be written.
    STORE = "store"


class Condition(StrEnum):
    """How a part is."""

    OK = "ok"
    #: Its probe raised.
    FAILED = "failed"
    #: Its probe has not come back in time.
    TOO_SLOW = "too_slow"
    #: Nobody has looked yet.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How patient a look is, and how often it is worth one."""

    #: Seconds that a probe may take.
    patience: float = 5.0
    #: Seconds for which what was seen holds: more frequent askers share it.
    fresh: float = 1.0
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Watch:
    """One part. At most one probe of it runs, so that a part that hangs is not piled upon."""

    probe: Probe
    rhythm: Rhythm
    condition: Condition = Condition.UNKNOWN
    #: When the running probe began, or the last one ended.
    since: float = float("-inf")
    task: "asyncio.Task[None] | None" = None

    async def look(self, *, wait: bool) -> Condition:
        """How the part is; without `wait`, as the last probe that ended found it."""
        now = self.rhythm.monotonic()
        if self.task is None and now - self.since >= self.rhythm.fresh:
            self.since = now
            self.task = asyncio.create_task(self._try())
        patience = self.since + self.rhythm.patience - now
        if self.task is not None and wait:
            await asyncio.wait([self.task], timeout=max(0.0, patience))
        late = self.rhythm.monotonic() - self.since >= self.rhythm.patience
        return Condition.TOO_SLOW if self.task is not None and late else self.condition

    async def _try(self) -> None:
        try:
            await self.probe()
        except Exception:  # noqa: BLE001 -- whatever it was, the part does not work
            self.condition = Condition.FAILED
        else:
            self.condition = Condition.OK
        finally:
            self.since, self.task = self.rhythm.monotonic(), None


class Health:
    """The parts of one server. Looking costs at most one probe of each at a time."""

    def __init__(self, probes: Mapping[Part, Probe], rhythm: Rhythm | None = None) -> None:
        rhythm = rhythm or Rhythm()
        self._watches = {part: _Watch(probe, rhythm) for part, probe in probes.items()}

    async def look(self, *, wait: bool = True) -> dict[Part, Condition]:
        """How every part is, in at most `Rhythm.patience` seconds; at once unless `wait`."""
        found = await asyncio.gather(*(w.look(wait=wait) for w in self._watches.values()))
        return dict(zip(self._watches, found, strict=True))

    async def aclose(self) -> None:
        """Stop probes that still run."""
        running = [w.task for w in self._watches.values() if w.task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def readiness(conditions: Mapping[Part, Condition]) -> tuple[int, dict[str, Any]]:
    """What to answer whoever asks whether traffic may come: an HTTP status and JSON."""
    ready = all(condition is Condition.OK for condition in conditions.values())
    return 200 if ready else 503, {"ready": ready, "checks": _plain(conditions)}


def liveness(conditions: Mapping[Part, Condition]) -> tuple[int, dict[str, Any]]:
    """What to answer whoever asks whether to restart: who answers is alive, whatever else fails."""
    broken = {Condition.FAILED, Condition.TOO_SLOW}.intersection(conditions.values())
    return 200, {"status": "impaired" if broken else "ok", "checks": _plain(conditions)}


def _plain(conditions: Mapping[Part, Condition]) -> dict[str, str]:
    return {part.value: condition.value for part, condition in conditions.items()}


@dataclass(slots=True)
class ModelProbe:
    """Each model has scored something since the last look, or scores a small text now."""

    classifier: Classifier
    _completed: dict[str, int] = field(default_factory=dict)

    async def __call__(self) -> None:
        """Ask the models that nobody else asked; raises what they raise."""
        before, self._completed = self._completed, self._counts()
        busy = {name for name, count in self._completed.items() if count > before.get(name, count)}
        if "step" not in busy:
            await self.classifier.encode(["Does it still read?"])
        if "pair" not in busy:
            await self.classifier.compare([Pair(premise="It reads.", claim="It reads.")])

    def _counts(self) -> dict[str, int]:
        counted = self.classifier.counters if isinstance(self.classifier, Counted) else {}
        return {name: counters.completed for name, counters in counted.items()}


def store_probe(store: Store) -> Probe:
    """Something small can be written durably."""

    async def probe() -> None:
        await asyncio.to_thread(store.beat)

    return probe
