"""The sidecar: a reverse proxy that releases what the policy allows."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp import web
from yarl import URL

from monitor.budget import Budget, OverBudget, Share
from monitor.dialects import Dialect, Reader, Request
from monitor.health import Health, liveness, readiness
from monitor.judging import Judge
from monitor.types import Mode, Trace
from stream import headers
from stream.admission import Limits, RefusedRequest, body_of, examine
from stream.conversations import Conversations
from stream.overload import Refusals
from stream.plain import OpaqueReader, PlainReader
from stream.relay import Relay, UpstreamBroke
from stream.renewal import Renewable
from stream.routes import dialect_of, is_known
from stream.slots import Slots
from stream.tracing import Call, NoTracer, Span, Tracer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the sidecar stands and what it bears."""

    #: The server whose answers are judged; the only address that is ever contacted.
    upstream: str
    #: Seconds without a byte from the upstream before its response counts as broken off.
    upstream_timeout: float = 300.0
    connect_timeout: float = 10.0
    max_request_bytes: int = 32 * 1024 * 1024
    #: Responses under judgement at once; more are refused with 503.
    max_responses: int = 256
    #: Bytes of requests and responses that are held together at once; more are refused with 503,
    #: or broken off.
    max_held_bytes: int = 1024 * 1024 * 1024
    #: Seconds that a client gets to send a request's head, then its body, and to take each piece
    #: of its response.
    client_timeout: float = 60.0
    tenant: str = ""
    #: Header that names the tenant instead, and one that names the conversation. Whoever sends
    #: them is believed, so something in front of the sidecar must set them; "" heeds none.
    tenant_header: str = ""
    conversation_header: str = ""
    #: How the upstream's certificate is checked, and what is shown to it; None: as the system does.
    upstream_tls: Renewable | None = None
    #: The chat template opens the thinking itself, so plain text is thinking until `</think>`.
    starts_in_thinking: bool = False


_JUDGE: web.AppKey[Judge] = web.AppKey("judge")
_SETTINGS = web.AppKey("settings", Settings)
_CLIENT = web.AppKey("client", aiohttp.ClientSession)
_SLOTS = web.AppKey("slots", Slots)
_CONVERSATIONS = web.AppKey("conversations", Conversations)
_HEALTH = web.AppKey("health", Health)
_TRACER: web.AppKey[Tracer] = web.AppKey("tracer")
_LIMITS = web.AppKey("limits", Limits)
_BUDGET = web.AppKey("budget", Budget)
_REFUSALS = web.AppKey("refusals", Refusals)
#: Seconds that running responses get at shutdown before they are cut off.
DRAIN_SECONDS = 5.0
#: Bytes that asyncio takes from a writer without letting it wait, whatever it still has to send.
SMALL = 32 * 1024


def create_app(
    judge: Judge,
    settings: Settings,
    *,
    health: Health | None = None,
    tracer: Tracer | None = None,
) -> web.Application:
    """The sidecar as an aiohttp application; run it with `handler_cancellation=True`.

    It answers `/subtext/healthz` and `/subtext/readyz` itself, with `health`; all else is for the
    upstream, whose own health paths stay what they are.
    """
    app = web.Application(client_max_size=settings.max_request_bytes)
    app[_JUDGE], app[_SETTINGS], app[_SLOTS] = judge, settings, Slots()
    app[_CONVERSATIONS] = Conversations()
    app[_LIMITS] = Limits(body=settings.max_request_bytes, seconds=settings.client_timeout)
    app[_BUDGET], app[_REFUSALS] = Budget(settings.max_held_bytes), Refusals(judge)
    app.cleanup_ctx.append(_client)
    app.on_shutdown.append(_drain)
    app[_HEALTH], app[_TRACER] = health or Health({}), tracer or NoTracer()
    app.router.add_get("/subtext/healthz", _healthz)
    app.router.add_get("/subtext/readyz", _readyz)
    app.router.add_route("*", "/{path:.*}", _handle)
    return app


async def _client(app: web.Application) -> AsyncIterator[None]:
    settings = app[_SETTINGS]
    timeout = aiohttp.ClientTimeout(
        total=None,
        connect=settings.connect_timeout,  # looking the name up included
        sock_read=settings.upstream_timeout,
    )
    app[_CLIENT] = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    yield
    await app[_CLIENT].close()


async def _drain(app: web.Application) -> None:
    """Let responses end; cut off those that take longer, and record all of them."""
    slots = app[_SLOTS]
    if slots.tasks:
        await asyncio.wait(slots.tasks, timeout=DRAIN_SECONDS)
    for relay in slots.tasks.values():
        relay.client_left()
    if slots.tasks:
        deadline = max(relay.policy.deadline_seconds for relay in slots.tasks.values())
        await asyncio.wait(slots.tasks, timeout=2 * deadline)
    await app[_REFUSALS].close()


async def _healthz(request: web.Request) -> web.Response:
    status, answer = liveness(await request.app[_HEALTH].look(wait=False))
    return web.json_response(answer, status=status)


async def _readyz(request: web.Request) -> web.Response:
    status, answer = readiness(await request.app[_HEALTH].look())
    return web.json_response(answer, status=status)


async def _handle(request: web.Request) -> web.StreamResponse:
    try:
        examine(request, request.app[_LIMITS])
        return await _answer(request)
    except RefusedRequest as refused:
        return _error(refused.status, refused.message)
    except OverBudget:
        return _overloaded(request, "Too much is being held for other requests.")


def _overloaded(request: web.Request, message: str) -> web.Response:
    verdict_id = request.app[_REFUSALS].add()
    return _error(503, message, {"retry-after": "1", "x-subtext-verdict-id": verdict_id})


async def _answer(request: web.Request) -> web.StreamResponse:
    dialect = _dialect(request)
    if dialect is None:
        async with _body(request) as body:
            return await _pass_through(request, body)
    if twice := headers.repeated(request.headers, _named(request.app[_SETTINGS])):
        return _error(400, f"The header {twice} must not be sent twice.")
    slots = request.app[_SLOTS]
    if slots.taken >= request.app[_SETTINGS].max_responses:
        return _overloaded(request, "Too many responses are being judged.")
    slots.requests += 1
    try:
        async with _body(request) as body:
            return await _judged(request, dialect, body)
    finally:
        slots.requests -= 1


def _dialect(request: web.Request) -> Dialect | None:
    """The format of the answer, if `/` in the path and `%2F` are taken for the same or are not."""
    method = request.method
    return dialect_of(method, request.path) or dialect_of(method, request.rel_url.raw_path)


def _body(request: web.Request) -> AbstractAsyncContextManager[bytes]:
    return body_of(request, request.app[_LIMITS], request.app[_BUDGET])


async def _judged(request: web.Request, dialect: Dialect, body: bytes) -> web.StreamResponse:
    asked = dialect.request(body)
    origin = _origin(request, asked)
    span = request.app[_TRACER].begin(_call(request, dialect, asked))
    try:
        reply = await _forward(request, body, span.headers)
    except (aiohttp.ClientError, TimeoutError) as error:
        return await _unreachable(request, origin, dialect, error, span)
    except asyncio.CancelledError:
        span.end(None, error="client_left")
        raise
    reader = _reader(request, reply, dialect)
    relay = Relay(
        request.app[_JUDGE],
        origin,
        reader,
        _chunks(reply),
        streaming=_streams(reply),
        room=Share(request.app[_BUDGET]),
        max_tokens=asked.max_tokens,
        context=headers.context(request.headers, span.headers),
    )

    def remember() -> None:
        conversations, named = request.app[_CONVERSATIONS], origin.conversation_id
        conversations.remember(origin.tenant, reader.response_id, named)

    def ended() -> None:
        span.end(relay, error=_error_class(reply, relay))
        remember()  # what comes in one piece may be read only now

    running = request.app[_SLOTS].start(relay, ended)
    try:
        return await _send(request, reply, relay)
    finally:
        relay.client_left()
        reply.close()
        remember()  # a client may go on at once
        running.add_done_callback(lambda _: relay.room.close())


def _call(request: web.Request, dialect: Dialect, asked: Request) -> Call:
    return Call(
        dialect=dialect.name if is_known(request.path) else "",
        asked=asked,
        upstream=URL(request.app[_SETTINGS].upstream),
        headers=request.headers,
    )


def _error_class(reply: aiohttp.ClientResponse, relay: Relay) -> str | None:
    """What went wrong, for statistics; a blocked response is no error."""
    if relay.conclusion is None:
        return "monitor_failed"
    if relay.broke_off:
        return "upstream_broke_off"
    return str(reply.status) if reply.status >= 400 else None


def _reader(request: web.Request, reply: aiohttp.ClientResponse, dialect: Dialect) -> Reader:
    thinks = request.app[_SETTINGS].starts_in_thinking and reply.status < 400
    reader = dialect.reader(streaming=_streams(reply), starts_in_thinking=thinks)
    if reply.headers.get("content-encoding", "identity") != "identity":
        return OpaqueReader(reader, "the upstream compressed its response although told not to")
    if _streams(reply) or (reply.status < 400 and is_known(request.path)):
        return reader
    return PlainReader(reader, is_text=reply.content_type.startswith("text/"))


def _streams(reply: aiohttp.ClientResponse) -> bool:
    return reply.content_type == "text/event-stream"


async def _send(
    request: web.Request, reply: aiohttp.ClientResponse, relay: Relay
) -> web.StreamResponse:
    """Send what the relay releases; the headers go out with the first of it."""
    async with aclosing(relay.output()) as output:
        first = await anext(output, b"")
        response = _response(request, reply, relay)
        with suppress(ConnectionResetError):  # the client left; the verdict is recorded even so
            await response.prepare(request)
            await _write(request, response, first)
            async for data in output:
                await _write(request, response, data)
            if relay.cut_short:
                _abort(request)
            await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Send a piece; a client that does not take it in time loses its connection."""
    if _takes(request, len(data)):
        await response.write(data)
        return
    try:
        async with asyncio.timeout(request.app[_SETTINGS].client_timeout):
            await response.write(data)
    except TimeoutError:
        _abort(request)
        raise ConnectionResetError("the client takes nothing") from None


def _takes(request: web.Request, size: int) -> bool:
    """Whether a client has taken all so far, and a piece is so small that nobody waits for it."""
    transport = request.transport
    return size <= SMALL and transport is not None and not transport.get_write_buffer_size()


def _abort(request: web.Request) -> None:
    """Close the connection: a client must not take half a response for a whole one."""
    if request.transport is not None:
        request.transport.abort()


def _response(
    request: web.Request, reply: aiohttp.ClientResponse, relay: Relay
) -> web.StreamResponse:
    mode = relay.policy.mode
    kept = headers.to_client(reply.headers, request.app[_SETTINGS].upstream)
    if mode is not Mode.OBSERVE:
        kept.popall("content-length", None)  # a refusal has another length
    kept["x-subtext-mode"] = mode.value
    kept["x-subtext-verdict-id"] = relay.verdict_id
    kept["x-subtext-decision"] = "pending"
    if relay.conclusion:
        kept["x-subtext-decision"] = relay.conclusion.worst.decision.name.lower()
        if relay.conclusion.gaps:
            kept["x-subtext-coverage"] = ", ".join(relay.conclusion.gaps)
    if relay.failed_open:
        kept["x-subtext-failed-open"] = "true"
    status, reason = reply.status, _reason(reply)
    if relay.conclusion and relay.conclusion.refused:
        kept.popall("content-encoding", None)
        kept["content-type"] = "text/event-stream" if _streams(reply) else "application/json"
        if status < 400 and not is_known(request.path):
            status, reason = 403, "Forbidden"
    return web.StreamResponse(status=status, reason=reason, headers=kept)


def _reason(reply: aiohttp.ClientResponse) -> str | None:
    return reply.reason if headers.is_clean(reply.reason) else None


async def _chunks(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The upstream's bytes; the connection is closed when reading stops early."""
    try:
        async for data in reply.content.iter_any():
            yield data
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UpstreamBroke(f"the upstream broke off: {type(error).__name__}") from error
    finally:
        reply.close()


async def _unreachable(
    request: web.Request, origin: Trace, dialect: Dialect, error: Exception, span: Span
) -> web.Response:
    """Answer for an upstream that did not, and record that nothing could be judged."""
    problem = f"the upstream could not be reached: {type(error).__name__}"
    request.app[_JUDGE].metrics.unreachable.inc()
    room, reader = Share(request.app[_BUDGET]), dialect.reader(streaming=False)
    relay = Relay(request.app[_JUDGE], origin, reader, _broken(problem), streaming=False, room=room)
    running = request.app[_SLOTS].start(relay, lambda: span.end(relay, error=type(error).__name__))
    async for _ in relay.output():
        pass  # a refusal at most, which the answer below says better
    await asyncio.shield(running)
    status = 504 if isinstance(error, TimeoutError) else 502
    return _error(
        status, f"{problem[0].upper()}{problem[1:]}.", {"x-subtext-verdict-id": relay.verdict_id}
    )


async def _broken(problem: str) -> AsyncIterator[bytes]:
    if problem:
        raise UpstreamBroke(problem)
    yield b""


async def _pass_through(request: web.Request, body: bytes) -> web.StreamResponse:
    try:
        reply = await _forward(request, body, {})
    except (aiohttp.ClientError, TimeoutError) as error:
        return _error(502, f"The upstream could not be reached: {type(error).__name__}.")
    try:
        return await _relay_plainly(request, reply)
    finally:
        reply.close()


async def _relay_plainly(request: web.Request, reply: aiohttp.ClientResponse) -> web.StreamResponse:
    """Bytes of routes that are answered without text of a model."""
    kept = headers.to_client(reply.headers, request.app[_SETTINGS].upstream)
    response = web.StreamResponse(status=reply.status, reason=_reason(reply), headers=kept)
    await response.prepare(request)
    with suppress(ConnectionResetError):
        try:
            async for data in reply.content.iter_any():
                await _write(request, response, data)
        except (aiohttp.ClientPayloadError, TimeoutError):
            _abort(request)
        await response.write_eof()
    return response


async def _forward(
    request: web.Request, body: bytes, extra: Mapping[str, str]
) -> aiohttp.ClientResponse:
    """Send the request on, to the configured upstream only; redirects are not followed."""
    settings = request.app[_SETTINGS]
    target = URL(settings.upstream.rstrip("/") + request.raw_path, encoded=True)
    reply = await request.app[_CLIENT].request(
        request.method,
        target,
        headers=headers.to_upstream(request.headers, extra),
        data=io.BytesIO(body) if body else None,  # sent in pieces, so that others get their turn
        allow_redirects=False,
        ssl=settings.upstream_tls.context if settings.upstream_tls else True,
    )
    if reply.status < 200:  # such as 101, after which anything could follow
        reply.close()
        raise aiohttp.ClientPayloadError(f"status {reply.status}")
    return reply


def _origin(request: web.Request, asked: Request) -> Trace:
    judge, settings = request.app[_JUDGE], request.app[_SETTINGS]
    tenant = headers.label(request.headers, settings.tenant_header) or settings.tenant
    named = headers.label(request.headers, settings.conversation_header)
    conversation = named or asked.conversation_id
    if not conversation and asked.previous_response_id:
        known = request.app[_CONVERSATIONS]
        conversation = known.continued(tenant, asked.previous_response_id)
    return Trace(
        trace_id=_request_id(request) or judge.world.new_id(),
        parts=(),
        prompt=asked.prompt,
        model=asked.model,
        requested_model=asked.model,
        route=request.path,
        tenant=tenant,
        conversation_id=conversation,
    )


def _named(settings: Settings) -> tuple[str, ...]:
    return tuple(filter(None, (settings.tenant_header, settings.conversation_header)))


def _request_id(request: web.Request) -> str:
    """What the client calls its request, if every store and log can hold it."""
    given = request.headers.get("x-request-id", "")[:200]
    return given if given.isascii() and given.isprintable() else ""


def _error(status: int, message: str, extra: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "subtext_error", "code": status}}
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/json", headers=extra
    )
