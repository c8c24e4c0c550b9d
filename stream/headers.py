"""Which headers cross the sidecar."""

import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict
from yarl import URL

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
#: With these a client could make some servers answer another request than the one that was seen.
_OVERRIDES = frozenset(
    {
        "http2-settings",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
#: Tells clients of another way to the server, past the sidecar.
_WAYS_ROUND = frozenset({"alt-svc"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
PREFIX = "x-subtext-"
#: Characters of a name that a request gives itself.
MAX_LABEL = 256


def to_upstream(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], ours: Mapping[str, str] | None = None
) -> CIMultiDict[str]:
    """The client's headers without those of its own connection; `ours` replace others."""
    kept = _without_hops(CIMultiDict(headers), _REPLACED | _OVERRIDES)
    kept.update(ours or {})
    kept["accept-encoding"] = "identity"
    return kept


def to_client(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], upstream: str
) -> CIMultiDict[str]:
    """The upstream's headers; only the sidecar itself may speak in `x-subtext-` ones.

    A redirect to the upstream leads back to the sidecar: the client must not go past it.
    """
    kept = _without_hops(CIMultiDict(headers), _WAYS_ROUND)
    for name in [n for n in kept if _plain(n).startswith(PREFIX)]:
        kept.popall(name, None)
    if location := kept.get("location"):
        kept["location"] = _through_here(location, upstream)
    return kept


def label(headers: Mapping[str, str], name: str) -> str:
    """The value of the header `name`, cut to what a record holds; "" for no name or no header."""
    return clean(headers.get(name, ""))[:MAX_LABEL].strip() if name else ""


def repeated(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    """One of `names` that stands there more than once: nobody knows which of them counts."""
    every = CIMultiDict(headers)
    return next((name for name in names if len(every.getall(name, ())) > 1), None)


def is_clean(text: str | None) -> bool:
    """Whether a header or reason can be sent without ending its line."""
    return not _CONTROL.search(text or "")


def _without_hops(headers: CIMultiDict[str], also: frozenset[str]) -> CIMultiDict[str]:
    named = ",".join(headers.getall("connection", ())).lower().split(",")
    dropped = HOP_BY_HOP | also | {name.strip() for name in named}
    return CIMultiDict(
        (k, v)
        for k, v in headers.items()
        if _plain(k) not in dropped and is_clean(k) and is_clean(v)
    )


def _plain(name: str) -> str:
    """Some servers take `_` for `-`."""
    return name.lower().replace("_", "-")


def _through_here(location: str, upstream: str) -> str:
    """A redirect's target; without scheme and host where these are the upstream's."""
    try:
        target, behind = URL(location, encoded=True), URL(upstream)
        inside = (target.host, target.port) == (behind.host, behind.port)
    except ValueError:
        return location
    return str(target.relative()) if inside else location
