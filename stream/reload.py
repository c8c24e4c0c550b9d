"""Follows the policy file while the monitor runs: an edit takes effect without a restart."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.judging import Judge
from monitor.policy_file import parse
from monitor.rulebook import Rulebook, to_toml
from monitor.store import StoreError
from monitor.types import Mode
from stream.watching import Settling, State, state_of

_log = structlog.get_logger(__name__)


class PolicyRecords(Protocol):
    """What the store does with a policy."""

    def record_policy(self, *, policy: str, version: str, created_at: str) -> object:
        """Make durable that this policy holds from now on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """Where the policy stands, and what the command line says about it."""

    #: None means the policy of an empty file.
    file: Path | None
    #: The thresholds of the calibration, for those that the file does not name.
    defaults: Mapping[Check, Thresholds]
    #: Holds in place of every mode in the file.
    mode: Mode | None = None

    def read(self) -> Rulebook:
        """Read the file; PolicyError when that is not possible or it cannot be obeyed."""
        return self.understood(self.text())

    def text(self) -> str:
        """What the file says as it stands; PolicyError when it cannot be read."""
        try:
            # Line ends as they are: what is edited must not change everywhere.
            return self.file.read_bytes().decode() if self.file else ""
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"The policy file cannot be read: {error}") from error

    def understood(self, text: str) -> Rulebook:
        """The policy of a file that says `text`; PolicyError when it cannot be obeyed."""
        try:
            book = parse(text, self.defaults)
        except PolicyError as error:
            raise PolicyError(f"{self.file}: {error}") from error
        return book if self.mode is None else book.in_mode(self.mode)

    def state(self) -> State:
        """Another value whenever the file was written or replaced."""
        return state_of(self.file) if self.file else None


class Follower:
    """Keeps the policy of a judge what the file says.

    A policy is recorded before it decides anything. One that cannot be obeyed or recorded changes
    nothing; responses under way keep the one that they began with.
    """

    def __init__(self, source: PolicySource, judge: Judge, records: PolicyRecords) -> None:
        self._source = source
        self._judge = judge
        self._records = records
        self._settling = Settling(source.state)

    async def look(self, *, asked: bool = False) -> None:
        """Take the file up when it changed; `asked` takes it up as it is."""
        if await self._settling.changed(asked=asked) and await self._take():
            self._settling.take()

    async def _take(self) -> bool:
        """Read the file and let it hold; False when that is worth another try."""
        try:
            book = await asyncio.to_thread(self._source.read)
        except PolicyError as error:
            _log.error("policy_refused", reason=str(error), still=self._judge.policy.version)
            self._count("refused")
            return True
        return book.version == self._judge.policy.version or await self._adopt(book)

    async def _adopt(self, book: Rulebook) -> bool:
        try:
            await asyncio.to_thread(
                self._records.record_policy,
                policy=to_toml(book),
                version=book.version,
                created_at=self._judge.world.now(),
            )
        except StoreError as error:
            _log.error("policy_not_recorded", reason=str(error), still=self._judge.policy.version)
            self._count("not_recorded")
            return False
        _log.info("policy_adopted", version=book.version, before=self._judge.policy.version)
        self._judge.policy = book
        self._count("adopted")
        return True

    def _count(self, outcome: str) -> None:
        self._judge.metrics.policy_reloads.labels(outcome).inc()
