"""Certificates that are replaced while the monitor runs: new connections use the new ones."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from monitor.metrics import Metrics, Side
from stream.tls import TlsError, asking, period, serving
from stream.watching import Settling, state_of

_log = structlog.get_logger(__name__)


class Renewable:
    """One side of TLS: `context` is made of the newest of its files that will do."""

    def __init__(
        self,
        side: Side,
        make: Callable[[], ssl.SSLContext],
        certificate: Path | None,
        *others: Path | None,
    ) -> None:
        """`certificate` is what is shown, `others` what `make` reads besides. Raises TlsError."""
        self.side, self.certificate = side, certificate
        self._make, self._files = make, tuple(filter(None, (certificate, *others)))
        #: The files that `context` was made of, or some before a change that is seen later.
        self.taken = self.state()
        self.context = make()
        #: When the certificate that is shown ends.
        self.until = period(certificate)[1] if certificate else None

    @classmethod
    def door(
        cls, side: Side, certificate: Path, key: Path | None, client_ca: Path | None
    ) -> "Renewable":
        """A side that others come to, as `serving` shows it."""
        return cls(side, lambda: serving(certificate, key, client_ca), certificate, key, client_ca)

    @classmethod
    def towards(
        cls, side: Side, ca: Path | None, certificate: Path | None, key: Path | None
    ) -> "Renewable":
        """A side that asks others, as `asking` checks them and shows itself."""
        return cls(side, lambda: asking(ca, certificate, key), certificate, key, ca)

    def state(self) -> object:
        """Another value whenever one of the files was written or replaced."""
        return tuple(map(state_of, self._files))

    def renew(self, now: datetime) -> None:
        """Read the files again; TlsError, and all stays as it is, where they will not do `now`."""
        context, until = self._make(), None
        if self.certificate:
            since, until = period(self.certificate)
            if not since <= now < until:
                raise TlsError(f"{self.certificate} is valid from {since} to {until}, not now.")
        self.context, self.until = context, until

    def lasting(self) -> ssl.SSLContext:
        """What a listener keeps: each connection to it begins with the newest context."""
        found = _Newest(ssl.PROTOCOL_TLS_SERVER)
        found.of = self
        return found


class _Newest(ssl.SSLContext):
    """Leaves every handshake to the context of the moment.

    A context that was changed in place would trust what it trusted before, and let clients go on
    with sessions that it began.
    """

    of: Renewable

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 -- the signature of the standard library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self.of.context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _now() -> datetime:
    return datetime.now(UTC)


class Renewal:
    """Keeps one side of TLS what its files say; what will not do changes nothing and is told once.

    Connections that are open keep what they began with.
    """

    def __init__(
        self, tls: Renewable, metrics: Metrics, now: Callable[[], datetime] = _now
    ) -> None:
        self._tls, self._metrics, self._now = tls, metrics, now
        self._settling = Settling(tls.state, tls.taken)
        self._tell_until()

    async def look(self, *, asked: bool = False) -> None:
        """Take the files up when they changed; `asked` takes them up as they are."""
        if await self._settling.changed(asked=asked):
            await self._take()
            self._settling.take()

    async def _take(self) -> None:
        side = self._tls.side.value
        try:
            await asyncio.to_thread(self._tls.renew, self._now())
        except TlsError as error:
            _log.error("certificate_refused", side=side, reason=str(error))
            self._metrics.tls_renewals.labels(side, "refused").inc()
        else:
            _log.info("certificate_adopted", side=side, until=str(self._tls.until or ""))
            self._metrics.tls_renewals.labels(side, "adopted").inc()
            self._tell_until()

    def _tell_until(self) -> None:
        if self._tls.until:
            told = self._metrics.tls_expiry.labels(self._tls.side.value)
            told.set(self._tls.until.timestamp())
