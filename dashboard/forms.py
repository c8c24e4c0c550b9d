"""What the pages' forms send: read within bounds, and only when our own page sent it."""

import hmac
from collections.abc import Mapping
from typing import Annotated, TypeAlias
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from dashboard.identity import identity
from dashboard.refusal import RefusedError

#: A note in full, percent-encoded.
MAX_FORM = 1 << 16
_KIND = "application/x-www-form-urlencoded"

Fields: TypeAlias = Mapping[str, str]


async def plain_form(request: Request) -> Fields:
    """Return the fields of a form that needs no session."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise RefusedError(415, "Not understood", "This address takes forms.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise RefusedError(413, "Too long", "A form holds at most 64 KiB: shorten the note.")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise RefusedError(422, "Not understood", "The form could not be read.") from error


async def signed_form(request: Request) -> Fields:
    """Return the fields of a form that one of this person's pages sent."""
    fields = await plain_form(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), identity(request).csrf.encode()):
        message = "The page that sent this is from another session. Go back, reload, try again."
        raise RefusedError(403, "Page too old", message)
    return fields


PlainForm: TypeAlias = Annotated[Fields, Depends(plain_form)]
SignedForm: TypeAlias = Annotated[Fields, Depends(signed_form)]
