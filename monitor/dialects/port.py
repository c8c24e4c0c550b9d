"""What the rest of the monitor asks of a wire format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.types import Disclosure, Frame

__all__ = ["Dialect", "Reader", "Refusal", "Request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a request body tells about the response to come."""

    model: str = ""
    #: System text, the last user turns and the tool results since; the last characters of it.
    prompt: str = field(default="", repr=False)
    stream: bool = False
    #: Groups the turns of a conversation; "" when the client named none.
    conversation_id: str = ""
    #: The response that this one continues, where the protocol has such; "" elsewhere.
    previous_response_id: str = ""
    #: Tokens that all choices of the response together may have; None when no limit was set.
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a client is told instead of the rest of a response."""

    #: A short text in place of the answer.
    text: str
    #: The `subtext` object: verdict id, decision and the like; JSON values.
    subtext: Mapping[str, object]


class Reader(Protocol):
    """Reads one response. Never raises on what the upstream sends; `Frame.problem` says why."""

    #: The model's name as the response gives it; "" until it was seen.
    model: str
    #: What a later request may continue this response by; "" where the protocol has no such thing.
    response_id: str

    @property
    def disclosure(self) -> Disclosure:
        """What the response told besides its text so far."""
        ...

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes; joining `raw` of all frames gives the input."""
        ...

    def close(self) -> list[Frame]:
        """Return what is left when the upstream has ended."""
        ...

    def released(self, frame: Frame) -> None:
        """Note that `frame` went to the client. Call once per frame, in order."""
        ...

    def refuse(self, refusal: Refusal) -> bytes:
        """Return the bytes that end the response in its protocol's own words.

        They continue what was `released`; empty when the protocol's last word is out already.
        """
        ...


class Dialect(Protocol):
    """One wire format: how to read its requests and its responses."""

    @property
    def name(self) -> str:
        """Short name, such as `chat`."""
        ...

    def request(self, body: bytes) -> Request:
        """Read a request body; blank fields where it cannot be read."""
        ...

    def reader(self, *, streaming: bool, starts_in_thinking: bool = False) -> Reader:
        """Return a reader for one response; `streaming` when it is `text/event-stream`.

        `starts_in_thinking`: the chat template has opened the thinking already, so plain text is
        thinking until the first closing tag.
        """
        ...
