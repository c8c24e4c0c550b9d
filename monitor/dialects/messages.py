"""How Anthropic Messages end: `stop_reason: refusal`."""

from typing import Any

from monitor.dialects.ending import Ending
from monitor.dialects.jsontext import dumps
from monitor.dialects.port import Refusal
from monitor.dialects.sse import compose

__all__ = ["MessageEnding"]

_ENDED = {"stop_reason": "refusal", "stop_sequence": None}


class MessageEnding(Ending):
    """Closes what is open, says the refusal in a text block, and stops."""

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._open: int | None = None
        self._next = 0

    def note(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Note the events that open and close a message and its blocks."""
        kind, index = payload.get("type"), payload.get("index")
        if kind not in ("message_start", "content_block_start", "content_block_stop"):
            return {}
        return {"kind": kind, "index": index if isinstance(index, int) else 0}

    def apply(self, note: dict[str, Any]) -> None:
        """Take in what is out."""
        match note.get("kind"):
            case "message_start":
                self._started = True
            case "content_block_start":
                self._open = note["index"]
                self._next = max(self._next, note["index"] + 1)
            case "content_block_stop":
                self._open = None

    def stream(self, refusal: Refusal, choices: list[int]) -> bytes:
        """Return the events from here to `message_stop`."""
        del choices
        return b"".join(compose(e, event=str(e["type"])) for e in self._events(refusal))

    def whole(self, refusal: Refusal) -> bytes:
        """Return a whole message."""
        content = [{"type": "text", "text": refusal.text}]
        subtext = {"subtext": dict(refusal.subtext)}
        return dumps({**self._message(), "content": content, **_ENDED, **subtext}).encode()

    def _events(self, refusal: Refusal) -> list[dict[str, object]]:
        index, found = self._next, list[dict[str, object]]()
        if not self._started:
            found.append({"type": "message_start", "message": self._message()})
        if self._open is not None:
            found.append({"type": "content_block_stop", "index": self._open})
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": refusal.text}
        return [
            *found,
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
            {
                "type": "message_delta",
                "delta": _ENDED,
                "usage": {"output_tokens": 0},
                "subtext": dict(refusal.subtext),
            },
            {"type": "message_stop"},
        ]

    def _message(self) -> dict[str, object]:
        return {
            "id": self.seen.get("id") or "msg_subtext",
            "type": "message",
            "role": "assistant",
            "model": self.seen.get("model") or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
