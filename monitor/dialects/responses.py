"""How OpenAI Responses end: `status: incomplete`, `incomplete_details.reason: content_filter`."""

from typing import Any

from monitor.dialects.ending import Ending
from monitor.dialects.jsontext import dumps
from monitor.dialects.port import Refusal
from monitor.dialects.sse import compose

__all__ = ["ResponseEnding"]

_ITEM = "msg_subtext"


class ResponseEnding(Ending):
    """Says the refusal in a message item of its own and ends the response incomplete."""

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._next = self._sequence = 0

    def note(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Note how far the stream has come."""
        return {
            "started": payload.get("type") == "response.created",
            "item": _after(payload.get("output_index")),
            "sequence": _after(payload.get("sequence_number")),
        }

    def apply(self, note: dict[str, Any]) -> None:
        """Take in what is out."""
        self._started = self._started or note.get("started", False)
        self._next = max(self._next, note.get("item", 0))
        self._sequence = max(self._sequence, note.get("sequence", 0))

    def stream(self, refusal: Refusal, choices: list[int]) -> bytes:
        """Return the events from here to `response.incomplete`."""
        del choices
        events = enumerate(self._events(refusal), self._sequence)
        numbered = ({**event, "sequence_number": number} for number, event in events)
        return b"".join(compose(e, event=str(e["type"])) for e in numbered)

    def whole(self, refusal: Refusal) -> bytes:
        """Return a whole response."""
        return dumps(self._incomplete(refusal)).encode()

    def _events(self, refusal: Refusal) -> list[dict[str, object]]:
        item, part = {"item_id": _ITEM, "output_index": self._next}, {"content_index": 0}
        text = {**item, **part, "logprobs": []}
        found: list[dict[str, object]] = []
        if not self._started:
            found.append({"type": "response.created", "response": self._response()})
        return [
            *found,
            {"type": "response.output_item.added", **item, "item": _message(None)},
            {"type": "response.content_part.added", **item, **part, "part": _part("")},
            {"type": "response.output_text.delta", **text, "delta": refusal.text},
            {"type": "response.output_text.done", **text, "text": refusal.text},
            {"type": "response.content_part.done", **item, **part, "part": _part(refusal.text)},
            {"type": "response.output_item.done", **item, "item": _message(refusal.text)},
            {"type": "response.incomplete", "response": self._incomplete(refusal)},
        ]

    def _incomplete(self, refusal: Refusal) -> dict[str, object]:
        return {
            **self._response(),
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": [_message(refusal.text)],
            "subtext": dict(refusal.subtext),
        }

    def _response(self) -> dict[str, object]:
        return {
            "id": self.seen.get("id") or "resp_subtext",
            "object": "response",
            "created_at": self.seen.get("created_at") or 0,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.seen.get("model") or "",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }


def _message(text: str | None) -> dict[str, object]:
    return {
        "id": _ITEM,
        "type": "message",
        "role": "assistant",
        "status": "in_progress" if text is None else "incomplete",
        "content": [] if text is None else [_part(text)],
    }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": []}


def _after(number: object) -> int:
    return number + 1 if isinstance(number, int) else 0
