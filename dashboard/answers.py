"""JSON answers: one encoder that can carry any text, one shape for errors."""

import json
from collections.abc import Iterable
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


def problem(status: int, code: str, message: str, details: Iterable[object] = ()) -> Json:
    """Answer with an error."""
    return Json(fault(code, message, details), status_code=status)
