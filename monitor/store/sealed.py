"""Stored texts and notes, encrypted when there is a key: put into rows, and read from them."""

import base64
from typing import Any, NamedTuple

from monitor.sealing import BrokenSealError, Keyring, NoKeyError
from monitor.store.content import Content
from monitor.store.errors import CorruptContent, Locked


class Home(NamedTuple):
    """Which verdict a text belongs to: columns of its row."""

    verdict_id: str
    tenant: str


class Text(NamedTuple):
    """What a row of `contents` holds; a column of SQLite can hold anything."""

    key_id: str | None
    excerpt: Any = None
    data: Any = None


def content_row(content: Content, home: Home, keys: Keyring) -> dict[str, Any]:
    """Return what a row of `contents` holds."""
    text = keys.seal(content.data, tenant=home.tenant, place=_place(home, "text"))
    words = keys.seal(content.excerpt.encode(), tenant=home.tenant, place=_place(home, "excerpt"))
    if text is None or words is None:
        return {"excerpt": content.excerpt, "data": content.data, "key_id": None}
    excerpt = base64.b64encode(words.data).decode("ascii")
    return {"excerpt": excerpt, "data": text.data, "key_id": text.key_id}


def data_of(text: Text, home: Home, keys: Keyring) -> bytes:
    """Return the compressed text; Locked without its key, CorruptContent when it was altered."""
    if text.key_id is None:
        return text.data  # type: ignore[no-any-return]
    return _opened(text, text.data, (home, "text"), keys)


def excerpt_of(text: Text, home: Home, keys: Keyring) -> str | None:
    """Return the first words, None when they were erased; raises like `data_of`."""
    if text.key_id is None:
        return text.excerpt  # type: ignore[no-any-return]
    try:
        data = base64.b64decode(text.excerpt, validate=True)
    except (TypeError, ValueError) as error:
        raise CorruptContent("an encrypted excerpt was altered") from error
    return _opened(text, data, (home, "excerpt"), keys).decode("utf-8", "replace")


def note_row(note: str, review_id: str, home: Home, keys: Keyring) -> dict[str, Any]:
    """Return what a row of `reviews` holds of a note about this verdict."""
    place = _place(home, _note(review_id))
    sealed = keys.seal(note.encode(), tenant=home.tenant, place=place) if note else None
    if sealed is None:
        return {"note": note, "note_key_id": None}
    data = base64.b64encode(sealed.data).decode("ascii")
    return {"note": data, "note_key_id": sealed.key_id}


def note_of(key_id: str | None, note: Any, review_id: str, home: Home, keys: Keyring) -> str | None:  # noqa: ANN401
    """Return a note, None when it was erased; raises like `data_of`."""
    if key_id is None or note is None:
        return note  # type: ignore[no-any-return]
    try:
        data = base64.b64decode(note, validate=True)
    except (TypeError, ValueError) as error:
        raise CorruptContent("an encrypted note was altered") from error
    place = (home, _note(review_id))
    return _opened(Text(key_id), data, place, keys).decode("utf-8", "replace")


def _note(review_id: str) -> str:
    return f"note {review_id}"


def _opened(text: Text, data: bytes, place: tuple[Home, str], keys: Keyring) -> bytes:
    home, kind = place
    try:
        return keys.open(text.key_id or "", data, tenant=home.tenant, place=_place(home, kind))
    except NoKeyError as error:
        raise Locked(f"the text of {home.verdict_id} cannot be read: {error}") from error
    except BrokenSealError as error:
        raise CorruptContent(f"its encrypted {kind} {error}") from error


def _place(home: Home, kind: str) -> str:
    return f"{kind} of {home.verdict_id}"
