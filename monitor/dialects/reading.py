"""The two ways to read a response: event by event, or its whole body at once."""

import re
from collections.abc import Mapping
from typing import Any

from monitor.dialects.ending import Ending
from monitor.dialects.jsontext import parse
from monitor.dialects.likeness import Likeness
from monitor.dialects.port import Refusal
from monitor.dialects.rows import Node
from monitor.dialects.scribe import Scribe
from monitor.dialects.sse import MAX_EVENT, Framer, parse_event
from monitor.dialects.usage import Meter
from monitor.dialects.walk import Walker
from monitor.types import Channel, Disclosure, Frame

__all__ = ["MAX_BODY", "StreamReader", "WholeReader"]

#: Bytes of an unstreamed body beyond which it is not read but reported.
MAX_BODY = 4 * MAX_EVENT


class _Reader:
    """What both ways share."""

    def __init__(self, root: Node, ending: Ending, *, starts_in_thinking: bool) -> None:
        self.model = ""
        self.response_id = ""
        self._root = root
        self._ending = ending
        self._scribe = Scribe(starts_in_thinking=starts_in_thinking)
        self._walker = Walker(self._scribe)
        self._meter = Meter()

    @property
    def disclosure(self) -> Disclosure:
        """What the response told besides its text so far."""
        return Disclosure(
            usage=self._meter.usage,
            shows_thinking=self._scribe.thought,
            sealed=self._walker.sealed,
            redacted=self._walker.redacted,
            misshapen=self._walker.misshapen,
        )

    def released(self, _frame: Frame) -> None:
        """Note that the frame went to the client."""
        self._ending.out()

    def _read(self, value: object, root: Node) -> str | None:
        """Read a JSON value; return why it could not be read, if so."""
        self._walker.problem = None
        try:
            self._walker.read(root, value, mounts=self._root)
        except RecursionError:
            return "JSON nested too deeply"
        return self._walker.problem

    def _look(self, payload: dict[str, Any]) -> None:
        """Learn the model's name, the tokens that the server counts, what a refusal repeats."""
        self._meter.read(payload)
        for source in (payload, payload.get("message"), payload.get("response")):
            if isinstance(source, dict):
                self._note_labels(source)
                self._name(source)
        model = self._ending.seen.get("model")
        self.model = self.model or (model if isinstance(model, str) else "")

    def _name(self, source: dict[str, Any]) -> None:
        """Take the id of a response of the Responses API: the server may have stored it."""
        name = source.get("id")
        if source.get("object") == "response" and isinstance(name, str) and _is_label(name):
            self.response_id = name

    def _note_labels(self, source: dict[str, Any]) -> None:
        seen = self._ending.seen
        for key in _REPEATED:
            value = source.get(key)
            if value is not None and value != seen.get(key) and _is_label(value):
                seen[key] = value


def _is_label(value: object) -> bool:
    """A refusal repeats names and numbers of the held response, never words of it."""
    return type(value) is int or (isinstance(value, str) and bool(_LABEL.fullmatch(value)))


_LABEL = re.compile(r"[\w./:@+-]{0,128}")
_REPEATED = ("id", "model", "created", "created_at", "system_fingerprint")


class WholeReader(_Reader):
    """Reads an unstreamed body: one frame."""

    def __init__(self, root: Node, ending: Ending, *, starts_in_thinking: bool) -> None:
        super().__init__(root, ending, starts_in_thinking=starts_in_thinking)
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Collect the body; only a body over the cap leaves early, unread."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size <= MAX_BODY:
            return []
        return [self.frame(self._taken(), problem=f"a body of more than {MAX_BODY} bytes")]

    def close(self) -> list[Frame]:
        """Return the body."""
        raw = self._taken()
        return [self.read(raw)] if raw else []

    def read(self, raw: bytes) -> Frame:
        """Read a whole body."""
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            return self.frame(raw, problem="invalid UTF-8")
        parsed = parse(text)
        problem = self.take(parsed.value) if parsed.value is not None else "no JSON object"
        return self.frame(raw, problem=parsed.problem or problem)

    def take(self, value: object) -> str | None:
        """Read a body that is parsed already."""
        if isinstance(value, dict):
            self._look(value)
        return self._read(value, self._root)

    def refuse(self, refusal: Refusal) -> bytes:
        """Return a whole body in place of the upstream's."""
        return b"" if self._ending.finished else self._ending.whole(refusal)

    def frame(self, raw: bytes, *, problem: str | None) -> Frame:
        """Return the one frame of this response."""
        self._ending.meet({}, final=True)
        deltas = self._scribe.frame(last=True)
        return Frame(raw=raw, deltas=deltas, problem=problem, final=True)

    def _taken(self) -> bytes:
        raw = b"".join(self._chunks)
        self._chunks.clear()
        return raw


class StreamReader(_Reader):
    """Reads server-sent events: a frame per event."""

    def __init__(
        self,
        root: Node,
        ending: Ending,
        *,
        events: Mapping[str, Node],
        last: frozenset[str],
        starts_in_thinking: bool,
    ) -> None:
        """`events` by `type`; `last` are the types (or data) that end a response."""
        super().__init__(root, ending, starts_in_thinking=starts_in_thinking)
        self._events = events
        self._last = last
        self._framer = Framer()
        self._first = True
        #: What the event before was like.
        self._likeness: Likeness | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return a frame for each event that `data` completes."""
        return [self._frame(raw) for raw in self._framer.feed(data)]

    def close(self) -> list[Frame]:
        """Return an event that was cut off, and text that was held back for a tag."""
        raw = self._framer.rest()
        frames = [self._frame(raw)] if raw else []
        held = self._scribe.frame(last=True)
        if held:
            self._ending.meet({}, final=False)
            frames.append(Frame(raw=b"", deltas=held))
        return frames

    def refuse(self, refusal: Refusal) -> bytes:
        """Return the events that end the stream after what was released."""
        if self._ending.finished:
            return b""
        return self._ending.stream(refusal, self._scribe.choices or [0])

    def _frame(self, raw: bytes) -> Frame:
        like = self._likeness
        if like is None or (text := like.text(raw)) is None:
            return self._parsed(raw)
        self._ending.meet_again()
        deltas = self._scribe.hear_only(like.heard._replace(text=text))
        return Frame(raw=raw, deltas=deltas)

    def _parsed(self, raw: bytes) -> Frame:
        self._likeness = None
        first, self._first = self._first, False
        event = parse_event(raw, first=first)
        self._scribe.hear(("aside",), Channel.ANSWER, event.aside, repeats=True)
        if event.data in self._last:
            return self._done(raw, {}, event.problem, final=True)
        value, problem = parse(event.data) if event.data else (None, None)
        payload = value if isinstance(value, dict) else {}
        if value is not None:
            self._look(payload)
            problem = self._read(value, self._node(payload)) or problem
        final, problem = _kind(payload) in self._last, event.problem or problem
        if not (first or final or problem):  # the first may begin with a mark that others may not
            self._likeness = self._likeness_of(raw)
        return self._done(raw, payload, problem, final=final)

    def _likeness_of(self, raw: bytes) -> Likeness | None:
        said = self._walker.said
        if said is None or self._scribe.met != 1 or said.repeats or not said.text:
            return None
        return Likeness.of(raw, said)

    def _node(self, payload: dict[str, Any]) -> Node:
        return self._events.get(_kind(payload), self._root)

    def _done(
        self, raw: bytes, payload: dict[str, Any], problem: str | None, *, final: bool
    ) -> Frame:
        self._ending.meet(payload, final=final)
        deltas = self._scribe.frame(last=final)
        return Frame(raw=raw, deltas=deltas, problem=problem, final=final)


def _kind(payload: dict[str, Any]) -> str:
    kind = payload.get("type")
    return kind if isinstance(kind, str) else ""
