"""JSON answers: one encoder that can carry any text, one shape for errors."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import JSONResponse


class Json(JSONResponse):
    """JSON in ASCII: lone surrogates survive and nothing in it can be taken for markup."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - what JSON can hold
        """Encode `content`."""
        text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c").encode("ascii")


def fault(code: str, message: str, details: Iterable[object] = ()) -> dict[str, Any]:
    """The API's one shape of an error. The message never quotes the request."""
    return {"error": {"code": code, "message": message, "details": list(details)}}


def problem(
    status: int,
    code: str,
    message: str,
    details: Iterable[object] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> Json:
    """Answer with an error."""
    return Json(fault(code, message, details), status_code=status, headers=headers)


_FAULT = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
#: For OpenAPI: every error of the API has this shape.
FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _FAULT}}}
    for status, meaning in (
        ("4XX", "The request cannot be answered; the message says what to change."),
        ("422", "The request does not fit."),
        ("5XX", "The monitor failed; what was to be judged is not."),
    )
}
