"""Both ends of the sidecar by hand: bytes in, and a server behind it that keeps the bytes it got."""

import asyncio
import json
from dataclasses import dataclass, field

import h11

from stream.replay import reply

#: What the server behind the sidecar says unless told otherwise.
ANSWER = json.dumps(reply({"thinking": "It is so.", "answer": "Yes."})).encode()


def response(*headers: bytes, body: bytes = ANSWER, status: bytes = b"200 OK") -> bytes:
    """A whole response; `headers` come besides content-type and content-length."""
    lines = [
        b"HTTP/1.1 " + status,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass
class Behind:
    """A server whose parser (h11) is another one than the sidecar's (llhttp)."""

    #: Sent as they are in answer to every request.
    says: bytes = field(default_factory=response)
    #: Everything that was received, by connection.
    received: list[bytearray] = field(default_factory=list)
    #: Methods and targets, as this side understands them.
    targets: list[str] = field(default_factory=list)
    #: Why this side could not understand what came.
    errors: list[str] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    @property
    def bytes_seen(self) -> bytes:
        """All that the sidecar sent on."""
        return b"".join(self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        connection = h11.Connection(h11.SERVER)
        seen = bytearray()
        self.received.append(seen)
        try:
            while data := await reader.read(65536):
                seen += data
                connection.receive_data(data)
                while self._take(connection):
                    writer.write(self.says)
        except h11.RemoteProtocolError as error:
            self.errors.append(str(error))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _take(self, connection: h11.Connection) -> bool:
        """Read on; True when a request has come to its end."""
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return False
            if isinstance(event, h11.Request):
                self.targets.append(f"{event.method.decode()} {event.target.decode()}")
                self.headers.append(list(event.headers))
                self.bodies.append(b"")
            elif isinstance(event, h11.Data):
                self.bodies[-1] += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                # It answers by hand, so h11 is told a plain answer to be ready for the next request.
                connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                    connection.start_next_cycle()
                return True


async def exchange(url: str, *pieces: bytes, patience: float = 10.0) -> bytes:
    """Send bytes to the sidecar; what comes back until it closes or falls silent."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    got = bytearray()
    try:
        async with asyncio.timeout(patience):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while data := await reader.read(65536):
                got += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return bytes(got)
