"""Carries one response from the upstream to the client, through its sessions and the gate."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from monitor.budget import OverBudget, Share
from monitor.dialects import Reader, Refusal
from monitor.gate import Event, Gate, Outcome, State
from monitor.judging import Judge, Judging, Live
from monitor.logs import complain
from monitor.types import Decision, Delta, Disclosure, EarlyStop, Frame, Gap, Mode, Trace, Verdict
from monitor.wire import response_json

#: Bytes of a response that are held at most; a larger one counts as unreadable.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


#: Bytes that may wait for a slow client, or out already to be read, before the upstream waits too.
MAX_UNSENT_BYTES = 1024 * 1024
#: Small pieces that wait for the client are sent as one of about so many bytes.
PIECE_BYTES = 16 * 1024
#: Choices of a response that are judged apart; a response with more counts as unreadable.
MAX_CHOICES = 64


def _check_size(size: int) -> None:
    if size > MAX_RESPONSE_BYTES:
        raise UpstreamBroke(f"the response is larger than {MAX_RESPONSE_BYTES} bytes")


class UpstreamBroke(Exception):  # noqa: N818 -- an event more than an error
    """The upstream stopped before the end of its response; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a response ended."""

    #: One per choice, in order; at least one.
    verdicts: tuple[Verdict, ...]
    refused: bool

    @property
    def worst(self) -> Verdict:
        """The verdict that decided."""
        return max(self.verdicts, key=lambda v: (v.decision, v.unscored is not None))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be seen of any choice."""
        return tuple(gap for gap in Gap if any(gap in v.gaps for v in self.verdicts))


class Relay:
    """One response: `output` yields what may go out, `run` judges all that came and concludes.

    Under OBSERVE it is `output` that reads the upstream, so that bytes wait for nothing. `run` ends
    then when that was taken to its end, or when the client left.
    """

    def __init__(  # noqa: PLR0913 -- keyword-only: what a response is made of
        self,
        judge: Judge,
        origin: Trace,
        reader: Reader,
        chunks: AsyncIterator[bytes],
        *,
        streaming: bool,
        room: Share,
        max_tokens: int | None = None,
        context: str = "",
    ) -> None:
        """`chunks` is what the upstream sends; UpstreamBroke where it breaks off.

        `max_tokens` is what the request allows all choices together, if it says.
        `context` is the `traceparent` that the response is part of.
        """
        #: What holds for this response from its beginning to its end.
        self.policy = judge.policy.resolve(origin)
        #: Known from the start; names the verdict of the first choice.
        self.verdict_id = judge.world.new_id()
        self.conclusion: Conclusion | None = None
        self._judge = judge
        self._origin = origin
        self._reader, self._chunks = reader, chunks
        whole = self.policy.mode is Mode.HOLD and not streaming
        self._gate = Gate(Mode.BUFFER if whole else self.policy.mode)
        self._streaming, self._max_tokens = streaming, max_tokens
        self._context = context
        self._sessions: dict[int, Judging] = {}
        self._outbox: deque[bytes] = deque()
        #: Nothing more will go out.
        self._ended = False
        self._sendable = asyncio.Event()
        self._problem: str | None = None
        self._refused = False
        self._gate_opened = False
        #: Frames that carried text: each holds a token or more.
        self._spoken = 0
        #: The upstream sent its last word.
        self._final = False
        #: The upstream ended too early, and what it sent was not refused.
        self._broke = False
        self._unsent = 0
        self._drained = asyncio.Event()
        #: What went out as it came, and is still to be read.
        self._unread = bytearray()
        self._readable = asyncio.Event()
        #: Bytes that wait in the gate.
        self._held = 0
        #: Where the bytes count that are held and the text that is kept.
        self.room = room
        #: Reads the upstream in HOLD and BUFFER.
        self._pull: asyncio.Task[None] | None = None
        #: Reading stopped before the upstream's end (under OBSERVE); how its bytes are awaited.
        self._left, self._waiting = False, asyncio.timeout(None)

    def output(self) -> AsyncGenerator[bytes]:
        """What the client gets, as soon as it may have it."""
        return self._passed_on() if self._gate.passes else self._released()

    async def _passed_on(self) -> AsyncGenerator[bytes]:
        """Everything as it comes; `_read_behind` reads it then."""
        try:
            async for data in self._within_bounds(self._until_left()):
                self._unread += data
                self.room.note(len(data))  # it is held twice: to be sent, and to be read
                yield data
                self.room.give(len(data))
                self._readable.set()
                await self._keep_up()
            self._end()
        except Exception as error:  # noqa: BLE001 -- the response has no end, then
            self._note_crash(error)
            self._broke = True
        finally:
            self.client_left()

    async def _until_left(self) -> AsyncIterator[bytes]:
        while not self._left:
            try:
                async with asyncio.timeout(None) as self._waiting:
                    data = await anext(self._chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._stopped:
                    return
                raise
            if not self._stopped:  # else nobody would read it
                yield data

    async def _released(self) -> AsyncGenerator[bytes]:
        """What the gate let out."""
        while self._outbox or not self._ended:
            if not self._outbox:
                self._sendable.clear()
                await self._sendable.wait()
                continue
            data = self._piece()
            yield data
            self._unsent -= len(data)
            self.room.give(len(data))
            self._drained.set()

    def _piece(self) -> bytes:
        """The next to go out: of several small ones, as many as are well sent at once."""
        if len(self._outbox) == 1:
            return self._outbox.popleft()
        found = bytearray()
        while self._outbox and len(found) < PIECE_BYTES:
            found += self._outbox.popleft()
        return bytes(found)

    def _send(self, data: bytes) -> None:
        self._unsent += len(data)
        self._outbox.append(data)
        self._sendable.set()

    def _end(self) -> None:
        self._ended = True
        self._sendable.set()
        self._readable.set()
        self._drained.set()

    async def run(self) -> Conclusion:
        """Judge to the end, a refusal or a break; record the verdicts; end the output."""
        self._judge.metrics.responses.inc()
        try:
            await (self._read_behind() if self._gate.passes else self._read_to_hold())
            self.conclusion = await self._conclude()
            self._close(self.conclusion)
        except Exception as error:
            self._fall(type(error).__name__)
            raise
        else:
            return self.conclusion
        finally:
            self.client_left()
            for session in self._sessions.values():
                session.abandon()
            self._end()
            self._judge.metrics.responses.dec()
            self._judge.metrics.held_bytes.dec(self._held)

    @property
    def model(self) -> str:
        """The model's name as the response gives it; "" until it was seen."""
        return self._reader.model

    @property
    def cut_short(self) -> bool:
        """Whether the output ended before the response: no end that looks whole, then."""
        return (self._broke or self._stopped) and not self._refused

    @property
    def broke_off(self) -> bool:
        """Whether it was the upstream that ended too early."""
        return self._broke and not self._refused

    @property
    def failed_open(self) -> bool:
        """Whether anything goes out that could not be judged."""
        if self.conclusion:
            return any(v.failed_open for v in self.conclusion.verdicts)
        return self._gate_opened

    def client_left(self) -> None:
        """Stop reading the upstream; what came is still judged and recorded."""
        if self._pull:
            self._pull.cancel()
        elif self._gate.passes and not self._ended:
            self._left = True
            self._end()
            with suppress(RuntimeError):  # it waits for the client then, not for the upstream
                self._waiting.reschedule(0)

    def _note_crash(self, error: BaseException) -> None:
        """A bug of ours while reading makes the response unjudged, never silently passed."""
        name = type(error).__name__
        complain("reading_failed", verdict_id=self.verdict_id, error=name)
        self._problem = self._problem or f"reading failed: {name}"

    async def _read_to_hold(self) -> None:
        """Read in a task of its own, which a refusal or a client that leaves ends."""
        self._pull = asyncio.create_task(self._read())
        await asyncio.wait([self._pull])
        if not self._pull.cancelled() and (error := self._pull.exception()):
            self._note_crash(error)

    async def _read(self) -> None:
        """Let the gate decide about each frame."""
        async for data in self._within_bounds(self._chunks):
            await self._take(self._reader.feed(data))
            await self._keep_up()
        await self._take(self._reader.close())

    async def _read_behind(self) -> None:
        """Read what was let out, when that is done; what cannot be read goes no further."""
        try:
            while self._unread or not self._ended:
                await self._readable.wait()
                self._readable.clear()
                data, self._unread = bytes(self._unread), bytearray()
                self._drained.set()
                await self._take(self._reader.feed(data))
            if not (self._left and self._streaming):  # what comes in one piece is read at its end
                await self._take(self._reader.close())
        except Exception as error:  # noqa: BLE001 -- whatever it was, the response was not read
            self._note_crash(error)
            self._broke = True
            self.client_left()

    async def _within_bounds(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What the upstream sends, up to its end, or to where it breaks off or must be cut off."""
        size = 0
        try:
            async for data in chunks:
                size += len(data)
                _check_size(size)
                self.room.take(len(data))
                yield data
        except (UpstreamBroke, OverBudget) as error:
            self._broke = True
            self._problem = self._problem or str(error)

    async def _keep_up(self) -> None:
        """Let the upstream wait for the client, or for what is still to be read."""
        while max(self._unsent, len(self._unread)) > MAX_UNSENT_BYTES and not self._left:
            self._drained.clear()
            await self._drained.wait()

    async def _take(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._spoken += bool(frame.deltas)
            self._final = self._final or frame.final
            self._problem = self._problem or frame.problem
            self._admit(frame)
            for delta in frame.deltas:
                self.room.note(len(delta.text))
                await self._session_of(delta).feed(delta)

    def _admit(self, frame: Frame) -> None:
        """Give a frame to the gate, unless it went out before it was read."""
        if self._gate.passes:
            self.room.give(len(frame.raw))
            self._reader.released(frame)
            return
        self._hold(len(frame.raw))
        self._emit(self._gate.frame(frame, self._judged()))
        if frame.problem:
            self._on_progress()

    def _session_of(self, delta: Delta) -> Judging:
        if delta.choice in self._sessions or len(self._sessions) < MAX_CHOICES:
            return self._session(delta.choice)
        if self._problem is None:
            self._problem = f"more than {MAX_CHOICES} choices"
            self._on_progress()
        return next(iter(self._sessions.values()))

    def _session(self, choice: int) -> Judging:
        if choice not in self._sessions:
            suffix = f"-{choice}" if self._sessions else ""
            live = Live(
                verdict_id=self.verdict_id + suffix,
                on_progress=self._on_progress,
                context=self._context,
            )
            origin = replace(
                self._origin,
                choice=choice,
                model=self._reader.model or self._origin.model,
                conversation_id=self._origin.conversation_id or self._reader.response_id,
            )
            self._sessions[choice] = self._judge.open(origin, live=live, policy=self.policy)
        return self._sessions[choice]

    def _judged(self) -> dict[int, int]:
        return {choice: session.judged for choice, session in self._sessions.items()}

    def _on_progress(self) -> None:
        """Text was judged, or something failed: tell the gate, if it holds anything."""
        if self._gate.passes:
            return
        event = self._event()
        self._gate_opened |= event is Event.FAIL_OPEN and self._gate.state is State.HOLDING
        self._emit(self._gate.on(event, self._judged()))
        if self._refused and self._pull:
            self._pull.cancel()

    def _event(self) -> Event:
        failed = self._problem or any(s.failure for s in self._sessions.values())
        decisions = [s.decision for s in self._sessions.values()]
        if self._problem:
            decisions.append(self.policy.unscored)
        if max(decisions, default=Decision.ALLOW) is Decision.BLOCK:
            return Event.BLOCK
        return Event.FAIL_OPEN if failed else Event.JUDGED

    def _emit(self, outcome: Outcome) -> None:
        self._refused = self._refused or outcome.refused
        for frame in outcome.frames:
            self._hold(-len(frame.raw))
            self._reader.released(frame)
            self._send(frame.raw)

    def _hold(self, size: int) -> None:
        self._held += size
        self._judge.metrics.held_bytes.inc(size)

    async def _conclude(self) -> Conclusion:
        """Record a verdict for every choice, for the first one even if the response had no text."""
        sessions = self._sessions or {0: self._session(0)}
        disclosure, stop = self._disclosure(), self._early_stop()
        ends = [
            s.finish(
                problem=self._problem,
                cut=self._refused,
                opened=self._gate_opened,
                disclosure=disclosure,
                early_stop=stop,
            )
            for _, s in sorted(sessions.items())
        ]
        verdicts = [await ends[0]] if len(ends) == 1 else await asyncio.gather(*ends)
        worst = max(v.decision for v in verdicts)
        event = Event.BLOCK if worst is Decision.BLOCK else Event.PASSED
        self._emit(self._gate.on(event, self._judged()))
        return Conclusion(verdicts=tuple(verdicts), refused=self._refused)

    @property
    def _stopped(self) -> bool:
        """Whether reading ended before the upstream did."""
        return self._left or (self._pull is not None and self._pull.cancelled())

    def _disclosure(self) -> Disclosure:
        complete = not (self._stopped or self._broke)
        return replace(self._reader.disclosure, complete=complete)

    def _early_stop(self) -> EarlyStop | None:
        """What is known about an upstream that a refusal stopped."""
        if not (self._streaming and self._refused and self._stopped) or self._final:
            return None  # what comes in one piece was generated before
        counted = self._reader.disclosure.usage.output_tokens or 0
        generated, limit = max(counted, self._spoken), self._max_tokens
        stop = EarlyStop(
            tokens_generated_at_least=generated,
            tokens_saved_at_most=None if limit is None else max(0, limit - generated),
        )
        self._judge.metrics.stopped_early(stop)
        return stop

    def _close(self, conclusion: Conclusion) -> None:
        """Tell a refused client so; the verdict is recorded by now."""
        if conclusion.refused:
            verdict = conclusion.worst
            more = {"unscored": verdict.unscored, **response_json(verdict)}
            self._refuse(verdict.verdict_id, verdict.decision.name.lower(), more)

    def _fall(self, error: str) -> None:
        """A bug of ours while concluding: what is held stays held, and the client is told."""
        complain("concluding_failed", verdict_id=self.verdict_id, error=error)
        self._emit(self._gate.on(Event.BLOCK, {}))
        if self._refused:
            self._refuse(self.verdict_id, "block", {"unscored": "the monitor failed"})

    def _refuse(self, verdict_id: str, decision: str, more: Mapping[str, object]) -> None:
        """End the response in its protocol's own words."""
        words = {
            "verdict_id": verdict_id,
            "decision": decision,
            "mode": self.policy.mode.value,
            **more,
        }
        self._send(self._reader.refuse(Refusal(text=self.policy.refusal, subtext=words)))
