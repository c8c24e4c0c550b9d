"""Which requests may be answered with text of a model, and in which wire format."""

from typing import Final

from monitor.dialects import Dialect, dialect_for

#: Last parts of addresses whose answers hold numbers, or the client's own text.
_SILENT: Final = frozenset(
    {
        "count_tokens",
        "embeddings",
        "tokenize",
        "detokenize",
        "rerank",
        "score",
        "classify",
        "pooling",
        "moderations",
    }
)
#: Parts of addresses where earlier responses are fetched, blocked ones too.
_STORED: Final = frozenset({"content", "results", "input_items", "items"})
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def dialect_of(method: str, path: str) -> Dialect | None:
    """The format of what a request is answered with; None where that is no text of a model.

    Routes that nobody knows are read as Chat Completions: there every unknown string is judged.
    `GET …/responses/{id}` returns a stored answer in the format of `…/responses`.
    """
    parts = [part for part in path.split("/") if part]
    if parts and parts[-1] in _SILENT:
        return None
    silent = method in _READS and _STORED.isdisjoint(parts)
    return _known(path) or (None if silent else dialect_for("/chat/completions"))


def is_known(path: str) -> bool:
    """Whether the answers of a route have a format of their own, refusals included."""
    return _known(path) is not None


def _known(path: str) -> Dialect | None:
    """By the address or the one above it, in whatever case and with however many slashes."""
    parts = [part for part in path.lower().split("/") if part]
    return dialect_for("/" + "/".join(parts)) or dialect_for("/" + "/".join(parts[:-1]))
