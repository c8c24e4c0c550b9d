"""A server and a client on bare sockets: cheap, so that what stands between them is measured.

The server writes the time (CLOCK_MONOTONIC, the same for all processes of a machine) into the text
of each event; the client subtracts it from the time of arrival.
"""

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field

#: Tokens per second of each stream.
PACE = 20.0
TIMED = re.compile(rb"t=([0-9.]+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_COMMON = {"id": "x", "created": 1, "model": "m"}


@dataclass
class Stream:
    """What a client saw of one streamed response; all in seconds."""

    first: float
    #: Between the sending and the arrival of each event.
    delays: list[float] = field(default_factory=list)
    #: It came to its end in time.
    ended: bool = False


async def serve(events: int) -> str:
    """Start the server; a stream has `events` events, of which two thirds are thinking.

    With 0 events, it is thinking and then one step of an answer, at once.
    """

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while body := await _request(reader):
                if b'"stream":true' in body.replace(b" ", b""):
                    await (_stream(writer, events) if events else _one_step(writer))
                else:
                    writer.write(_whole())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


async def _stream(writer: asyncio.StreamWriter, events: int) -> None:
    writer.write(_STREAM_HEAD)
    for number in range(events):
        key = "reasoning_content" if number < events * 2 // 3 else "content"
        writer.write(_chunk(_event({key: f"word t={time.monotonic():.6f} "})))
        await writer.drain()
        await asyncio.sleep(1 / PACE)
    writer.write(_chunk(_event({}, finish="stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def _one_step(writer: asyncio.StreamWriter) -> None:
    """Ends with 205 characters that are one step, so that nothing is to be waited for but scores."""
    writer.write(_STREAM_HEAD)
    for _ in range(40):
        writer.write(_chunk(_event({"reasoning_content": "We count the days once more. "})))
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.5)  # all of that is scored by now, but for a last unfinished step
    text = f"t={time.monotonic():.6f} ".ljust(200, "x") + "day. "
    writer.write(_chunk(_event({"content": text})))
    await asyncio.sleep(0.5)
    writer.write(_chunk(_event({}, finish="stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {**_COMMON, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _whole() -> bytes:
    message = {"role": "assistant", "reasoning_content": "Two and two.", "content": "Four."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    value = {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": usage}
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def _ask(*, stream: bool) -> bytes:
    value = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Well?"}]}
    body = json.dumps(value).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"authorization: Bearer none\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )


async def stream(url: str, most: float = 600.0) -> Stream:
    """Ask for one stream and time its events, for `most` seconds at most."""
    seen = Stream(first=most)
    with suppress(TimeoutError):
        async with asyncio.timeout(most):
            await _watch(url, seen)
    if seen.ended and not seen.delays:
        raise RuntimeError(f"{url} sent no events")
    return seen


async def _watch(url: str, seen: Stream) -> None:
    reader, writer = await _connect(url)
    asked = time.monotonic()
    try:
        writer.write(_ask(stream=True))
        while data := await reader.read(65536):
            now = time.monotonic()
            seen.first = min(seen.first, now - asked)
            seen.delays += [now - float(found[1]) for found in TIMED.finditer(data)]
            if b"[DONE]" in data or b" 503 " in data:
                break
        seen.ended = True
    finally:
        writer.close()


async def requests(url: str, seconds: float) -> int:
    """Ask for whole responses, one after the other on one connection; how many there were."""
    reader, writer = await _connect(url)
    count = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                writer.write(_ask(stream=False))
                await _whole_reply(reader)
                count += 1
    except TimeoutError:
        return count
    finally:
        writer.close()


async def _whole_reply(reader: asyncio.StreamReader) -> None:
    data = b""
    while b"Four." not in data or not data.endswith((b"}", b"0\r\n\r\n")):
        more = await reader.read(65536)
        if not more:
            raise RuntimeError(f"the server hung up: {data[:200]!r}")
        data += more


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))
