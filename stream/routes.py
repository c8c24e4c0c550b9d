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
    parent, _, last = path.rstrip("/").rpartition("/")
    if last in _SILENT:
        return None
    silent = method in _READS and _STORED.isdisjoint(path.split("/"))
    return _known(path, parent) or (None if silent else dialect_for("/chat/completions"))


def is_known(path: str) -> bool:
    """Whether the answers of a route have a format of their own, refusals included."""
    return _known(path, path.rstrip("/").rpartition("/")[0]) is not None


def _known(path: str, parent: str) -> Dialect | None:
    return dialect_for(path) or dialect_for(parent)
