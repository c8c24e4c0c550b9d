"""What may be released, and when: a state table over the frames of one response.

Laws: frames leave in the order in which they came and unchanged; under HOLD a frame leaves only
when every text up to its end is judged; under BUFFER only after the verdict; after BLOCKED no frame
leaves. A row that is missing blocks.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from monitor.types import Frame, Mode


class State(Enum):
    """Where a response stands."""

    #: Frames pass as they come.
    OPEN = auto()
    #: Frames wait for the judgement of their text.
    HOLDING = auto()
    #: Frames wait for the verdict.
    BUFFERING = auto()
    #: Judging failed and the policy lets frames pass; what can still be judged can still block.
    UNJUDGED = auto()
    #: The client was refused; whatever still comes is dropped.
    BLOCKED = auto()
    #: Everything was released.
    DONE = auto()


class Event(Enum):
    """What happens to a response."""

    #: A frame came from the upstream.
    FRAME = auto()
    #: More text was judged, and nothing in it blocks.
    JUDGED = auto()
    #: The policy blocks the response.
    BLOCK = auto()
    #: Judging failed, and the policy lets the response pass unjudged.
    FAIL_OPEN = auto()
    #: The verdict is recorded and does not block.
    PASSED = auto()


class Action(Enum):
    """What the gate does then."""

    NOTHING = auto()
    #: Release the frames, oldest first, up to the first that still waits for judgement.
    RELEASE_JUDGED = auto()
    #: Release every frame.
    RELEASE_ALL = auto()
    #: Drop what is held and tell the client that it was refused.
    REFUSE = auto()
    #: Forget the frame.
    DROP = auto()


_START: Final = {Mode.OBSERVE: State.OPEN, Mode.HOLD: State.HOLDING, Mode.BUFFER: State.BUFFERING}

TABLE: Final[Mapping[tuple[State, Event], tuple[State, Action]]] = {
    (State.OPEN, Event.FRAME): (State.OPEN, Action.RELEASE_ALL),
    (State.OPEN, Event.JUDGED): (State.OPEN, Action.NOTHING),
    (State.OPEN, Event.BLOCK): (State.OPEN, Action.NOTHING),
    (State.OPEN, Event.FAIL_OPEN): (State.OPEN, Action.NOTHING),
    (State.OPEN, Event.PASSED): (State.DONE, Action.RELEASE_ALL),
    (State.HOLDING, Event.FRAME): (State.HOLDING, Action.RELEASE_JUDGED),
    (State.HOLDING, Event.JUDGED): (State.HOLDING, Action.RELEASE_JUDGED),
    (State.HOLDING, Event.BLOCK): (State.BLOCKED, Action.REFUSE),
    (State.HOLDING, Event.FAIL_OPEN): (State.UNJUDGED, Action.RELEASE_ALL),
    (State.HOLDING, Event.PASSED): (State.DONE, Action.RELEASE_ALL),
    (State.UNJUDGED, Event.FRAME): (State.UNJUDGED, Action.RELEASE_ALL),
    (State.UNJUDGED, Event.JUDGED): (State.UNJUDGED, Action.RELEASE_ALL),
    (State.UNJUDGED, Event.BLOCK): (State.BLOCKED, Action.REFUSE),
    (State.UNJUDGED, Event.FAIL_OPEN): (State.UNJUDGED, Action.RELEASE_ALL),
    (State.UNJUDGED, Event.PASSED): (State.DONE, Action.RELEASE_ALL),
    (State.BUFFERING, Event.FRAME): (State.BUFFERING, Action.NOTHING),
    (State.BUFFERING, Event.JUDGED): (State.BUFFERING, Action.NOTHING),
    (State.BUFFERING, Event.BLOCK): (State.BLOCKED, Action.REFUSE),
    (State.BUFFERING, Event.FAIL_OPEN): (State.BUFFERING, Action.NOTHING),
    (State.BUFFERING, Event.PASSED): (State.DONE, Action.RELEASE_ALL),
    **{(State.BLOCKED, event): (State.BLOCKED, Action.DROP) for event in Event},
    **{(State.DONE, event): (State.DONE, Action.DROP) for event in Event},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What leaves the gate now."""

    frames: tuple[Frame, ...] = ()
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    frame: Frame
    #: Code points of each choice that must be judged first.
    needs: Mapping[int, int]


class Gate:
    """The frames of one response, and how far each choice's text was fed and judged."""

    def __init__(self, mode: Mode) -> None:
        self.state = _START.get(mode, State.BLOCKED)
        self._held: deque[_Held] = deque()
        self._fed: dict[int, int] = {}

    @property
    def passes(self) -> bool:
        """Whether every frame passes as it comes, whatever is found in it."""
        return self.state is State.OPEN

    def frame(self, frame: Frame, judged: Mapping[int, int]) -> Outcome:
        """Take a frame in; `judged` is how many code points of each choice are judged."""
        for delta in frame.deltas:
            self._fed[delta.choice] = self._fed.get(delta.choice, 0) + len(delta.text)
        touched = {delta.choice for delta in frame.deltas}
        needs = {choice: self._fed[choice] for choice in touched}
        self._held.append(_Held(frame=frame, needs=needs))
        return self.on(Event.FRAME, judged)

    def on(self, event: Event, judged: Mapping[int, int]) -> Outcome:
        """Apply an event; the only place where the state changes."""
        self.state, action = TABLE.get((self.state, event), (State.BLOCKED, Action.REFUSE))
        if action is Action.RELEASE_ALL:
            return Outcome(frames=self._take(len(self._held)))
        if action is Action.RELEASE_JUDGED:
            return Outcome(frames=self._take(self._ready(judged)))
        if action in (Action.REFUSE, Action.DROP):
            self._held.clear()
        return Outcome(refused=action is Action.REFUSE)

    def _ready(self, judged: Mapping[int, int]) -> int:
        """How many frames, from the oldest, wait for nothing."""
        for count, held in enumerate(self._held):
            if held.frame.final or held.frame.problem or not _met(held.needs, judged):
                return count
        return len(self._held)

    def _take(self, count: int) -> tuple[Frame, ...]:
        return tuple(self._held.popleft().frame for _ in range(count))


def _met(needs: Mapping[int, int], judged: Mapping[int, int]) -> bool:
    return all(judged.get(choice, 0) >= position for choice, position in needs.items())
