"""Which headers cross the sidecar."""

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

from monitor.dialects import clean

#: RFC 9110 section 7.6.1: they concern one connection only.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Set anew for each connection: a compressed request is unpacked here, and the monitor must be
#: able to read what comes back.
_REPLACED = frozenset({"host", "content-length", "content-encoding", "accept-encoding", "expect"})
PREFIX = "x-subtext-"
#: Characters of a name that a request gives itself.
MAX_LABEL = 256


def to_upstream(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], ours: Mapping[str, str] | None = None
) -> CIMultiDict[str]:
    """The client's headers without those of its own connection; `ours` replace others."""
    kept = _without_hops(CIMultiDict(headers), _REPLACED)
    kept.update(ours or {})
    kept["accept-encoding"] = "identity"
    return kept


def to_client(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """The upstream's headers; only the sidecar itself may speak in `x-subtext-` ones."""
    kept = _without_hops(CIMultiDict(headers), frozenset())
    for name in [n for n in kept if n.lower().startswith(PREFIX)]:
        kept.popall(name, None)
    return kept


def label(headers: Mapping[str, str], name: str) -> str:
    """The value of the header `name`, cut to what a record holds; "" for no name or no header."""
    return clean(headers.get(name, ""))[:MAX_LABEL].strip() if name else ""


def repeated(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    """One of `names` that stands there more than once: nobody knows which of them counts."""
    every = CIMultiDict(headers)
    return next((name for name in names if len(every.getall(name, ())) > 1), None)


def _without_hops(headers: CIMultiDict[str], also: frozenset[str]) -> CIMultiDict[str]:
    named = ",".join(headers.getall("connection", ())).lower().split(",")
    dropped = HOP_BY_HOP | also | {name.strip() for name in named}
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in dropped)
