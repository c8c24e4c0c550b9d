"""Reads bodies that are no response of a known protocol: errors, and answers of unknown routes."""

import json

from monitor.dialects import Reader, Refusal
from monitor.types import Channel, Delta, Disclosure, Frame

#: How JSON begins, where it can hold text.
_JSON = (b"{", b"[", b'"')


class PlainReader:
    """Reads a whole body, JSON or plain text, and refuses with an error instead of an answer.

    Servers quote the model in errors, such as in `failed_generation`, so errors are judged too.
    """

    def __init__(self, inner: Reader, *, is_text: bool) -> None:
        """`inner` reads JSON; `is_text` says that the server calls the body plain text."""
        self.model = self.response_id = ""
        self._inner = inner
        self._is_text = is_text
        self._body = bytearray()

    @property
    def disclosure(self) -> Disclosure:
        """What the body told besides its text."""
        return self._inner.disclosure

    def feed(self, data: bytes) -> list[Frame]:
        """Collect the body."""
        self._body += data
        return []

    def close(self) -> list[Frame]:
        """Return the body as one frame."""
        raw = bytes(self._body)
        if self._is_text and not raw.lstrip().startswith(_JSON) and (frame := _plain(raw)):
            return [frame]
        frames = [*self._inner.feed(raw), *self._inner.close()]
        self.model = self._inner.model
        return frames

    def released(self, frame: Frame) -> None:
        """Nothing follows the one frame."""

    def refuse(self, refusal: Refusal) -> bytes:
        """Return an error in place of the body."""
        error = {"message": refusal.text, "type": "subtext_refusal", "code": "content_filter"}
        return json.dumps({"error": error, "subtext": dict(refusal.subtext)}).encode()


class OpaqueReader:
    """Passes on what cannot be read, and says why."""

    def __init__(self, inner: Reader, problem: str) -> None:
        """`inner` knows how to refuse."""
        self.model = self.response_id = ""
        self._inner = inner
        self._problem = problem

    @property
    def disclosure(self) -> Disclosure:
        """Nothing: it was not read."""
        return self._inner.disclosure

    def feed(self, data: bytes) -> list[Frame]:
        """Return the bytes with the reason why they are not judged."""
        return [Frame(raw=data, problem=self._problem)]

    def close(self) -> list[Frame]:
        """Nothing is left."""
        return []

    def released(self, frame: Frame) -> None:
        """Nothing follows from it."""

    def refuse(self, refusal: Refusal) -> bytes:
        """Return what the protocol says in place of an answer."""
        return self._inner.refuse(refusal)


def _plain(raw: bytes) -> Frame | None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    deltas = (Delta(channel=Channel.ANSWER, text=text),) if text else ()
    return Frame(raw=raw, deltas=deltas, final=True)
