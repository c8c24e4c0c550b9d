"""What a tracing system is told about a judged response. This is the port; by default, nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from yarl import URL

from monitor.dialects import Request
from stream.relay import Relay


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that is about to go to the upstream."""

    #: Name of the wire format; "" on routes that nobody knows.
    dialect: str
    asked: Request
    upstream: URL
    #: The client's headers: they may name the trace that this is part of.
    headers: Mapping[str, str]


class Span(Protocol):
    """One call under observation."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for the upstream, in place of the client's of the same names."""
        ...

    def end(self, relay: Relay | None, *, error: str | None = None) -> None:
        """The response was judged, or there was none; `error` is a class of error, never text."""
        ...


class Tracer(Protocol):
    """Where spans come from."""

    def begin(self, call: Call) -> Span:
        """Begin to observe a call; whoever begins one ends it."""
        ...


@dataclass(frozen=True, slots=True)
class _Unobserved:
    headers: Mapping[str, str] = field(default_factory=dict)

    def end(self, relay: Relay | None, *, error: str | None = None) -> None:
        """Tell nobody."""


class NoTracer:
    """Observes nothing: the client's own headers go to the upstream as they are."""

    def begin(self, call: Call) -> Span:
        """Do nothing."""
        del call
        return _Unobserved()
