"""Walks a JSON value along the table and finds the text in it; the unknown is judged."""

import re

from monitor.dialects.jsontext import dumps, pairs
from monitor.dialects.rows import Kind, Node, Row
from monitor.dialects.scribe import Heard, Scribe
from monitor.dialects.table import STRUCTURAL
from monitor.dialects.tokens import said_beside, spoken
from monitor.dialects.voice import Loc
from monitor.types import Channel

__all__ = ["Walker"]

#: Objects and lists inside each other beyond which a value is not read.
DEEPEST = 64
#: A key that nobody knows and that could be a sentence.
_LONG_KEY = 40
_BINARY = re.compile(r"(data:[\w/+.-]{1,64};base64,)?[A-Za-z0-9+/=_.:-]*")
_LABEL = re.compile(r"\S{0,128}|\S{1,32} \S{1,32}")
#: One name for the two places where Chat Completions puts a message.
_SAME = {"delta": "message"}
#: Lists whose elements say themselves which one they are.
_NUMBERED = ("choices", "tool_calls")


class Walker:
    """Reads values of one response into a scribe."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        #: Why something could not be read as the table says, if so; of the current frame.
        self.problem: str | None = None
        #: The last text of the current event that is taken down whatever it says.
        self.said: Heard | None = None
        #: Of the whole response, see `monitor.types.Disclosure`.
        self.sealed = self.redacted = self.misshapen = False
        self._repeats = False
        #: Numbers of the current event, for `@key` in the table.
        self._event: dict[str, object] = {}

    def read(self, root: Node, value: object, *, mounts: Node | None = None) -> None:
        """Read a value as `root` says; `mounts` is the whole response that events are part of."""
        self._mounts = mounts or root
        self._event = value if isinstance(value, dict) else {}
        self._repeats, self.said = False, None
        self._walk(root, value, ())

    def _walk(self, node: Node | None, value: object, at: Loc) -> None:
        if len(at) > DEEPEST:
            self._note("JSON nested too deeply")
        elif node is None:
            self._unknown(value, at)
        elif node.row:
            self._place(node, node.row, value, at)
        else:
            self._inside(node, value, at)

    def _place(self, node: Node, row: Row, value: object, at: Loc) -> None:
        before = self._repeats
        self._repeats = before or row.repeats
        self._by_kind(node, row, value, at if row.to is None else self._location(row.to))
        self._repeats = before

    def _by_kind(self, node: Node, row: Row, value: object, at: Loc) -> None:
        match row.kind:
            case Kind.TEXT | Kind.INLINE:
                self._text(node, row, value, at)
            case Kind.JSON:
                self._json(row, value, at)
            case Kind.ALL:
                self._all(row.channel, value, at)
            case Kind.ECHO:
                self._echo(node, row, value, at)
            case Kind.TOKENS:
                self._tokens(value, at)
            case Kind.OPAQUE | Kind.REDACTED:
                self._seal(row, value)
                self._unless(_BINARY, row.channel, value, at)
            case Kind.LABELS:
                self._unless(_LABEL, row.channel, value, at)
            case Kind.MOUNT:
                self._mount(row, value, at)
            case Kind.REQUEST:
                pass

    def _text(self, node: Node, row: Row, value: object, at: Loc) -> None:
        if isinstance(value, str):
            channel = None if row.kind is Kind.INLINE else row.channel
            self.said = Heard(at, channel, value, self._repeats)
            self._hear(at, channel, value)
        else:
            self._inside(node, value, at)

    def _json(self, row: Row, value: object, at: Loc) -> None:
        empty = value is None or value == {}
        text = value if isinstance(value, str) else "" if empty else dumps(value)
        self._hear(at, row.channel, text)

    def _echo(self, node: Node, row: Row, value: object, at: Loc) -> None:
        self._scribe.listen_aside()
        self._text(node, row, value, at)
        self._scribe.settle()

    def _tokens(self, value: object, at: Loc) -> None:
        text = spoken(value)
        if text and not self._scribe.echoes_tokens(at, text):
            self._hear(at, Channel.ANSWER, text)
        for number, other in enumerate(said_beside(value)):
            self._hear((*at, number), Channel.ANSWER, other)

    def _seal(self, row: Row, value: object) -> None:
        """Note thinking that only its server can read."""
        self.sealed = self.sealed or (row.channel is Channel.THINKING and bool(value))
        self.redacted = self.redacted or (row.kind is Kind.REDACTED and bool(value))

    def _mount(self, row: Row, value: object, at: Loc) -> None:
        node: Node | None = self._mounts.at(row.at)
        if node and row.at:
            node = node.element(value)
        self._walk(node, value, at)

    def _inside(self, node: Node, value: object, at: Loc) -> None:
        if isinstance(value, dict) and node.is_object:
            self._object(node, value, at)
        elif isinstance(value, list) and node.is_list:
            self._list(node, value, at)
        elif value is not None:
            self.misshapen = True
            self._note("text in a place or a shape that the protocol does not have")
            self._unknown(str(value) if isinstance(value, int | float) else value, at)

    def _object(self, node: Node, value: dict[str, object], at: Loc) -> None:
        known = [(_known_as(key, node), key, inner) for key, inner in pairs(value)]
        if len(known) > 1:
            known.sort(key=lambda found: node.rank.get(found[0], len(node.rank)))
        for name, key, inner in known:
            child = node.children.get(name)
            if child is not None:
                if inner is not None:  # servers send many nulls
                    self._member(child, key, inner, (*at, name))
            elif key in STRUCTURAL and isinstance(inner, str):
                self._unless(_LABEL, Channel.ANSWER, inner, (*at, name))
            elif isinstance(inner, (str, dict, list)) or _could_be_a_sentence(key):
                self._stranger(key, inner, (*at, name))

    def _member(self, node: Node, key: str, value: object, at: Loc) -> None:
        """Read a known key; a whole `message` repeats what its deltas said before."""
        before = self._repeats
        self._repeats = before or key == "message"
        self._walk(node, value, at)
        self._repeats = before

    def _list(self, node: Node, value: list[object], at: Loc) -> None:
        for position, inner in enumerate(value):
            number = _own_number(inner) if at[-1:] and at[-1] in _NUMBERED else None
            place = position if number is None else number
            self._walk(node.element(inner), inner, (*at, place))

    def _all(self, channel: Channel, value: object, at: Loc, key: str = "") -> None:
        """Judge every string but structural ones."""
        if len(at) > DEEPEST:
            self._note("JSON nested too deeply")
        elif isinstance(value, str) and not (key in STRUCTURAL and _LABEL.fullmatch(value)):
            self._hear(at, channel, value)
        for name, inner in _members(value, at):
            if isinstance(name, str) and _could_be_a_sentence(name):
                self._hear((*at, name, "key"), channel, name)
            self._all(channel, inner, (*at, name), name if isinstance(name, str) else key)

    def _unknown(self, value: object, at: Loc) -> None:
        """Judge every string and every key that could be a sentence."""
        if len(at) > DEEPEST:
            self._note("JSON nested too deeply")
        elif isinstance(value, str):
            self._hear(at, Channel.ANSWER, value)
        for name, inner in _members(value, at):
            self._stranger(name, inner, (*at, name))

    def _stranger(self, name: str | int, value: object, at: Loc) -> None:
        if isinstance(name, str) and _could_be_a_sentence(name):
            self._hear((*at, "key"), Channel.ANSWER, name)
        self._unknown(value, at)

    def _unless(self, harmless: re.Pattern[str], channel: Channel, value: object, at: Loc) -> None:
        """Judge strings that are not what the table says they are; once per value and place."""
        if len(at) > DEEPEST:
            self._note("JSON nested too deeply")
        elif isinstance(value, str):
            if not harmless.fullmatch(value):
                self._scribe.hear(at, channel, value, repeats=True)
        else:
            for name, inner in _members(value, at):
                self._unless(harmless, channel, inner, (*at, name))

    def _hear(self, at: Loc, channel: Channel | None, text: str) -> None:
        self._scribe.hear(at, channel, text, repeats=self._repeats)

    def _location(self, template: str) -> Loc:
        return tuple(
            self._number(token[1:]) if token[0] == "@" else token
            for token in template.split(".")
            if token
        )

    def _number(self, key: str) -> int:
        number = self._event.get(key)
        return number if type(number) is int else 0

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem


def _could_be_a_sentence(key: str) -> bool:
    return len(key) > _LONG_KEY or not _LABEL.fullmatch(key)


def _known_as(key: str, node: Node) -> str:
    return key if key in node.children else _SAME.get(key, key)


def _own_number(value: object) -> int | None:
    number = value.get("index") if isinstance(value, dict) else None
    return number if type(number) is int else None


def _members(value: object, at: Loc) -> list[tuple[str | int, object]]:
    if len(at) > DEEPEST:
        return []
    if isinstance(value, dict):
        return list(pairs(value))
    return list(enumerate(value)) if isinstance(value, list) else []
