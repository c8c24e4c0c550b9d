"""Asks a server one small question and looks at how its answer is made."""

import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from monitor.dialects import Dialect, Reader, dialect_for
from monitor.dialects.jsontext import parse
from monitor.dialects.sse import parse_event
from monitor.dialects.table import STRUCTURAL
from monitor.types import Channel, Disclosure, Frame, Part, Trace, coalesce

QUESTION = "What is 17 times 23? Think it through, then answer in one short sentence."
#: Enough for a short chain of thought.
MAX_TOKENS = 4096
#: Addresses below the server's own that are tried in turn while the server has none there.
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


class ProbeError(Exception):
    """The server could not be asked; the message says why."""


@dataclass(kw_only=True)
class Finding:
    """What a server's answer looked like."""

    url: str
    dialect: str
    #: Whether it came as an event stream.
    streamed: bool
    #: The model that was asked, and the one that answered.
    asked: str = ""
    model: str = ""
    #: Seconds until the first text, and until the end.
    first_text: float | None = None
    total: float = 0.0
    #: Places in the JSON that carried text, by channel.
    fields: dict[Channel, list[str]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    #: What the answer told besides its text.
    disclosure: Disclosure = field(default_factory=Disclosure)
    #: Why part of the answer could not be read, if so.
    problem: str | None = None

    @property
    def trace(self) -> Trace:
        """The answer as the monitor judges it."""
        parts = coalesce(self.parts)
        return Trace(
            trace_id="doctor",
            parts=parts,
            prompt=QUESTION,
            model=self.model,
            requested_model=self.asked,
            route=URL(self.url).path,
            problem=self.problem,
            disclosure=self.disclosure,
        )

    def take(self, frame: Frame, after: float) -> None:
        """Note what a frame says and where it says it."""
        self.problem = self.problem or frame.problem
        value = _payload(frame.raw, streamed=self.streamed)
        leaves = list(_leaves(value))
        for delta in frame.deltas:
            self.first_text = after if self.first_text is None else self.first_text
            self.parts.append(Part(channel=delta.channel, text=delta.text))
            self._note(delta.channel, _place(delta.text.strip(), leaves))

    def _note(self, channel: Channel, place: str | None) -> None:
        places = self.fields.setdefault(channel, [])
        if place and place not in places:
            places.append(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question to one server."""

    upstream: str
    #: The model to ask; "" asks the first that the server lists.
    model: str = ""
    key: str = field(default="", repr=False)
    #: The chat template opens the thinking itself.
    starts_in_thinking: bool = False
    #: How the server's certificate is checked, and what is shown to it; None: as the system does.
    tls: ssl.SSLContext | None = None
    timeout: float = 120.0

    async def run(self) -> Finding:
        """Ask; raises ProbeError when there is no answer to look at."""
        timeout = aiohttp.ClientTimeout(total=self.timeout, sock_connect=10)
        try:
            async with aiohttp.ClientSession(
                timeout=timeout,
                headers=self._headers(),
                connector=aiohttp.TCPConnector(ssl=self.tls or True),
            ) as client:
                return await self._ask(client, self.model or await self._listed(client))
        except TimeoutError as error:
            raise ProbeError(f"{self.upstream} did not answer in time.") from error
        except (aiohttp.ClientError, ValueError, RecursionError) as error:
            name = type(error).__name__
            raise ProbeError(f"{self.upstream} could not be reached: {name}.") from error

    def _headers(self) -> dict[str, str]:
        given = {"authorization": f"Bearer {self.key}", "x-api-key": self.key} if self.key else {}
        return {**given, "anthropic-version": "2023-06-01", "accept-encoding": "identity"}

    async def _listed(self, client: aiohttp.ClientSession) -> str:
        """The first model that the server lists."""
        async with client.get(_url(self.upstream, "/v1/models"), allow_redirects=False) as reply:
            value = parse((await reply.read()).decode(errors="replace")).value
        listed = value.get("data") if isinstance(value, dict) else None
        first = listed[0] if isinstance(listed, list) and listed else None
        return str(first.get("id", "")) if isinstance(first, dict) else "default"

    async def _ask(self, client: aiohttp.ClientSession, model: str) -> Finding:
        for path in PATHS:
            url, dialect = _url(self.upstream, path), dialect_for(path)
            began = time.monotonic()
            body = _body(path, model)
            async with client.post(url, json=body, allow_redirects=False) as reply:
                if dialect is None or reply.status in (404, 405):
                    continue
                if reply.status != 200:
                    raise ProbeError(f"{url} answered with status {reply.status}.")
                return await self._look(reply, dialect, began, model)
        raise ProbeError(f"{self.upstream} has none of {', '.join(PATHS)}.")

    async def _look(
        self, reply: aiohttp.ClientResponse, dialect: Dialect, began: float, asked: str
    ) -> Finding:
        streamed = reply.content_type == "text/event-stream"
        reader = dialect.reader(streaming=streamed, starts_in_thinking=self.starts_in_thinking)
        finding = Finding(url=str(reply.url), dialect=dialect.name, streamed=streamed, asked=asked)
        async for frame in _frames(reply, reader):
            finding.take(frame, time.monotonic() - began)
        finding.total, finding.model = time.monotonic() - began, reader.model
        finding.disclosure = reader.disclosure
        return finding


async def _frames(reply: aiohttp.ClientResponse, reader: Reader) -> AsyncIterator[Frame]:
    async for data in reply.content.iter_any():
        for frame in reader.feed(data):
            yield frame
    for frame in reader.close():
        yield frame


def _url(upstream: str, path: str) -> URL:
    """Where `path` is; an upstream that ends in `/v1`, as clients are given it, is fine too."""
    return URL(upstream.rstrip("/").removesuffix("/v1") + path)


def _body(path: str, model: str) -> dict[str, Any]:
    asked = [{"role": "user", "content": QUESTION}]
    if path.endswith("/responses"):
        return {"model": model, "stream": True, "input": asked, "max_output_tokens": MAX_TOKENS}
    if path.endswith("/messages"):
        return {"model": model, "stream": True, "messages": asked, "max_tokens": MAX_TOKENS}
    return {
        "model": model,
        "stream": True,
        "messages": asked,
        "max_completion_tokens": MAX_TOKENS,
        "stream_options": {"include_usage": True},
    }


def _payload(raw: bytes, *, streamed: bool) -> object:
    text = parse_event(raw).data if streamed else raw.decode(errors="replace")
    return parse(text).value if text else None


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string and where it stands, without the protocol's own."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in STRUCTURAL or not isinstance(inner, str):
                yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    elif isinstance(value, str):
        yield path, value


def _place(text: str, leaves: list[tuple[str, str]]) -> str | None:
    same = [path for path, leaf in leaves if leaf.strip() == text]
    around = [path for path, leaf in leaves if text in leaf]
    return next(iter([*same, *around] if text else []), None)
