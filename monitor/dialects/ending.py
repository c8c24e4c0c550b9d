"""What every protocol needs to end a response that is already under way."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from monitor.dialects.port import Refusal

__all__ = ["Ending"]


class Ending(ABC):
    """What a protocol must know to end a response in its own words. One per response."""

    def __init__(self) -> None:
        #: Top-level fields of the upstream's response that a refusal repeats.
        self.seen: dict[str, Any] = {}
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()
        self._met = self._out = 0
        self.finished = False

    def meet(self, payload: dict[str, Any], *, final: bool) -> None:
        """Note what a frame holds; it is not out yet."""
        self._met += 1
        note = {"final": final, **self.note(payload)}
        if any(v not in (None, False, (), {}) for v in note.values()):
            self._waiting.append((self._met, note))

    def meet_again(self) -> None:
        """Note that a frame holds what the one before held: to apply that twice changes nothing."""
        self._met += 1

    def out(self) -> None:
        """Note that the next frame is out."""
        self._out += 1
        while self._waiting and self._waiting[0][0] <= self._out:
            _, note = self._waiting.popleft()
            self.finished = self.finished or note["final"]
            self.apply(note)

    @abstractmethod
    def note(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return what of an event matters to the ending once it is released."""

    @abstractmethod
    def apply(self, note: dict[str, Any]) -> None:
        """Take in a note whose frame was released."""

    @abstractmethod
    def stream(self, refusal: Refusal, choices: list[int]) -> bytes:
        """Return the events that end a stream."""

    @abstractmethod
    def whole(self, refusal: Refusal) -> bytes:
        """Return a whole body."""
