"""How Chat Completions and Completions end: `finish_reason: content_filter`."""

from typing import Any

from monitor.dialects.ending import Ending
from monitor.dialects.jsontext import dumps
from monitor.dialects.port import Refusal
from monitor.dialects.sse import compose

__all__ = ["ChatEnding", "TextEnding"]


class TextEnding(Ending):
    """The ending of the older Completions API."""

    chunk_object = whole_object = "text_completion"
    prefix = "cmpl-subtext"

    def __init__(self) -> None:
        super().__init__()
        #: Choices that have begun and that have ended, for the client.
        self.begun: set[int] = set()
        self.ended: set[int] = set()

    def note(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Note which choices a chunk begins and ends."""
        found = payload.get("choices")
        choices = [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []
        ended = [c for c in choices if c.get("finish_reason")]
        return {"begun": _indexes(choices), "ended": _indexes(ended)}

    def apply(self, note: dict[str, Any]) -> None:
        """Take in what is out."""
        self.begun.update(note.get("begun", ()))
        self.ended.update(note.get("ended", ()))

    def stream(self, refusal: Refusal, choices: list[int]) -> bytes:
        """End every choice that is still open, then the stream."""
        known = sorted({*choices, *self.begun})
        still = [c for c in known if c not in self.ended] or [0]
        chunks = (self._body(self.chunk_object, self.chunk(c, refusal), refusal) for c in still)
        return b"".join(map(compose, chunks)) + compose("[DONE]")

    def whole(self, refusal: Refusal) -> bytes:
        """Return a whole reply."""
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        body = self._body(self.whole_object, self.choice(refusal), refusal)
        return dumps({**body, "usage": usage}).encode()

    def chunk(self, index: int, refusal: Refusal) -> dict[str, Any]:
        """Return the last chunk of a choice."""
        return {**self.choice(refusal), "index": index}

    def choice(self, refusal: Refusal) -> dict[str, Any]:
        """Return the only choice of a whole reply."""
        return {
            "index": 0,
            "text": refusal.text,
            "logprobs": None,
            "finish_reason": "content_filter",
        }

    def _body(self, kind: str, choice: dict[str, Any], refusal: Refusal) -> dict[str, Any]:
        return {
            "id": self.seen.get("id") or self.prefix,
            "object": kind,
            "created": self.seen.get("created") or 0,
            "model": self.seen.get("model") or "",
            "choices": [choice],
            "subtext": dict(refusal.subtext),
        }


class ChatEnding(TextEnding):
    """The ending of the Chat Completions API."""

    chunk_object = "chat.completion.chunk"
    whole_object = "chat.completion"
    prefix = "chatcmpl-subtext"

    def chunk(self, index: int, refusal: Refusal) -> dict[str, Any]:
        """Return the last chunk of a choice; it names the role when no chunk did."""
        role = {} if index in self.begun else {"role": "assistant"}
        return {
            "index": index,
            "delta": {**role, "content": refusal.text},
            "logprobs": None,
            "finish_reason": "content_filter",
        }

    def choice(self, refusal: Refusal) -> dict[str, Any]:
        """Return the only choice of a whole reply."""
        return {
            "index": 0,
            "message": {"role": "assistant", "content": refusal.text, "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
        }


def _indexes(choices: list[dict[str, Any]]) -> tuple[int, ...]:
    found = (c.get("index", 0) for c in choices)
    return tuple(i for i in found if isinstance(i, int))
