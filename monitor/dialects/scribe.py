"""Takes down what a response says: each text once, in order, by choice."""

import hashlib
from typing import NamedTuple

from monitor.dialects.echo import Echo
from monitor.dialects.voice import Loc, Voice
from monitor.types import Channel, Delta

__all__ = ["Heard", "Scribe"]


class Heard(NamedTuple):
    """A text as it was met; no channel where tags in the text decide."""

    at: Loc
    channel: Channel | None
    text: str
    repeats: bool


class _Told:
    """What was said at one place so far, in constant memory."""

    __slots__ = ("_digest", "_size")

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._size = 0

    def add(self, text: str) -> None:
        raw = text.encode("utf-16-le", "surrogatepass")
        self._digest.update(raw)
        self._size += len(raw)

    def news(self, text: str) -> str:
        """What `text`, said to be the whole, adds: nothing, its end, or all of it."""
        raw = text.encode("utf-16-le", "surrogatepass")
        start = raw[: self._size]
        if len(raw) >= self._size and _digest(start) == self._digest.digest():
            return raw[self._size :].decode("utf-16-le", "surrogatepass")
        self.__init__()  # type: ignore[misc]
        return text


class Scribe:
    """One per response. Collects the deltas of a frame at a time."""

    def __init__(self, *, starts_in_thinking: bool = False) -> None:
        self._starts_in_thinking = starts_in_thinking
        self._voices: dict[int, Voice] = {}
        self._told: dict[Loc, _Told] = {}
        self._deltas: list[Delta] = []
        self._echoes: dict[int, Echo] = {}
        self._aside: list[Heard] | None = None
        #: Texts of this frame, as they were met, and comparisons with them.
        self.met = 0
        #: Any thinking was taken down, but for white space.
        self.thought = False

    @property
    def choices(self) -> list[int]:
        """Indexes of the choices that spoke."""
        return sorted(self._voices)

    def hear(self, at: Loc, channel: Channel | None, text: str, *, repeats: bool) -> None:
        """Take down a text; one that `repeats` is the whole of what was said at this place."""
        if not text:
            return
        self.met += 1
        heard = Heard(at, channel, text, repeats)
        if self._aside is None:
            self._take_down(heard)
        else:
            self._aside.append(heard)

    def listen_aside(self) -> None:
        """Keep what follows apart until `settle`."""
        self._aside = []

    def settle(self) -> None:
        """Drop what was kept apart when it repeats this frame's text, else take it down."""
        aside, self._aside = self._aside or [], None
        said = "".join(heard.text for heard in aside)
        if aside and not self._echo(aside[0].at).repeats(said):
            for heard in aside:
                self._take_down(heard)

    def echoes_tokens(self, at: Loc, text: str) -> bool:
        """Whether these tokens are the text of this frame, in the same choice."""
        self.met += 1
        return self._echo(at).tokens(text)

    def hear_only(self, heard: Heard) -> tuple[Delta, ...]:
        """Take down a frame that says nothing but this, which repeats nothing; its deltas."""
        self._told.setdefault(heard.at, _Told()).add(heard.text)
        voice = self._voice(choice_of(heard.at))
        self._deltas += voice.say(heard.at, heard.channel, heard.text)
        return self.frame()

    def frame(self, *, last: bool = False) -> tuple[Delta, ...]:
        """Return the deltas since the last frame; the `last` one brings what was held back."""
        for voice in self._voices.values() if last else ():
            self._deltas += voice.pause()
        found = tuple(d for d in self._deltas if d.text)
        self.thought = self.thought or any(map(_is_thought, found))
        self._deltas, self._echoes, self.met = [], {}, 0
        return found

    def _take_down(self, heard: Heard) -> None:
        self._echo(heard.at).add(heard.channel, heard.text)
        told = self._told.setdefault(heard.at, _Told())
        text = told.news(heard.text) if heard.repeats else heard.text
        told.add(text)
        if text:
            voice = self._voice(choice_of(heard.at))
            self._deltas += voice.say(heard.at, heard.channel, text)

    def _echo(self, at: Loc) -> Echo:
        return self._echoes.setdefault(choice_of(at), Echo())

    def _voice(self, choice: int) -> Voice:
        if choice not in self._voices:
            fresh = Voice(choice, starts_in_thinking=self._starts_in_thinking)
            self._voices[choice] = fresh
        return self._voices[choice]


def choice_of(at: Loc) -> int:
    """Return the choice that a place belongs to."""
    if len(at) > 1 and at[0] == "choices" and isinstance(at[1], int):
        return at[1]
    return 0


def _is_thought(delta: Delta) -> bool:
    return delta.channel is Channel.THINKING and not delta.text.isspace()


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()
