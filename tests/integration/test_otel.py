"""OpenTelemetry sees each judged response as a span with an event per check, and no text of it."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from typer.testing import CliRunner

from classifiers.errors import InferenceError
from stream.cli import app
from stream.otel import Exporting, OtelTracer
from stream.replay import events
from stream.server import listening
from tests.integration.test_sidecar import ASK, CLEAN, PAD, STREAM
from tests.support import fake
from tests.unit.test_gaps import chat, hidden

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"
CANARIES = {"thinking": PAD + "canary-t PLOT " + PAD, "answer": "canary-a " + PAD}
PROMPT = [{"role": "user", "content": "canary-p"}]


@dataclass
class Seen:
    """What was exported."""

    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    events: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)

    def __post_init__(self):
        spans, logs = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
        spans.add_span_processor(SimpleSpanProcessor(self.spans))
        logs.add_log_record_processor(SimpleLogRecordProcessor(self.events))
        self.tracer = OtelTracer(spans, logs)

    async def span(self):
        """The one span, once it has ended."""
        async with asyncio.timeout(30):
            while not self.spans.get_finished_spans():  # noqa: ASYNC110 -- ends in the background
                await asyncio.sleep(0.01)
        (span,) = self.spans.get_finished_spans()
        return span

    def evaluations(self):
        return [e.log_record for e in self.events.get_finished_logs()]

    def dump(self):
        spans = "".join(s.to_json() for s in self.spans.get_finished_spans())
        return spans + "".join(e.to_json() for e in self.events.get_finished_logs())


@pytest.fixture
def seen():
    return Seen()


async def test_a_blocked_stream_is_a_span_in_the_clients_trace_with_an_event_per_check(
    sidecar, seen
):
    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.streams(*list(events(CANARIES))[:-2], hang=True)
    asked = {**STREAM, "messages": PROMPT, "max_tokens": 4096, "user": "canary-u"}
    await setup.post(asked, traceparent=GIVEN, authorization="Bearer canary-k")
    span, verdict = await seen.span(), await setup.verdict()
    assert (span.name, span.kind) == ("chat m", SpanKind.CLIENT)
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.status.status_code is StatusCode.UNSET
    told = dict(span.attributes)
    assert told.pop("server.port") > 0
    assert told.pop("subtext.early_stop.tokens_generated") > 1
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 4096,
        "gen_ai.response.model": "replay",
        "gen_ai.response.finish_reasons": ("content_filter",),
        "server.address": "127.0.0.1",
        "subtext.verdict.id": verdict.verdict_id,
        "subtext.decision": "block",
        "subtext.mode": "hold",
        "subtext.unscored": verdict.unscored is not None,
        "subtext.failed_open": False,
        "subtext.policy.version": verdict.versions.policy,
        "subtext.coverage_gaps": (),
    }
    assert [e.event_name for e in seen.evaluations()] == 3 * ["gen_ai.evaluation.result"]
    assert {e.span_id for e in seen.evaluations()} == {span.context.span_id}
    first = dict(seen.evaluations()[0].attributes)
    assert first == {
        "gen_ai.evaluation.name": "deception",
        "gen_ai.evaluation.score.value": 0.95,
        "gen_ai.evaluation.score.label": "block",
        "subtext.verdict.id": verdict.verdict_id,
    }
    assert "canary" not in seen.dump()


async def test_the_upstream_continues_the_trace(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.replies(json.dumps(chat()).encode())
    await setup.post(ASK, traceparent=GIVEN, tracestate="vendor=1")
    span = await seen.span()
    (_, _, sent, _) = setup.upstream.requests[0]
    sent = {name.lower(): value for name, value in sent.items()}
    assert sent["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert sent["tracestate"] == "vendor=1"


async def test_without_a_tracer_the_clients_own_headers_pass(sidecar):
    setup = await sidecar()
    setup.upstream.replies(json.dumps(chat()).encode())
    await setup.post(ASK, traceparent=GIVEN)
    assert setup.upstream.requests[0][2]["traceparent"] == GIVEN


async def test_a_reply_tells_its_tokens_and_what_was_not_seen(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.replies(json.dumps(chat(hidden())).encode())
    await setup.post({**ASK, "conversation_id": "talk"})
    told = (await seen.span()).attributes
    assert told["gen_ai.usage.output_tokens"] == 140
    assert told["gen_ai.usage.reasoning.output_tokens"] == 128
    assert told["gen_ai.conversation.id"] == "talk"
    assert told["subtext.coverage_gaps"] == ("hidden_thinking",)
    labels = [e.attributes["gen_ai.evaluation.score.label"] for e in seen.evaluations()]
    assert labels == ["allow", "allow", "absent"]


async def test_what_could_not_be_judged_has_no_score(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer, classifier=fake(error=InferenceError("canary")))
    setup.upstream.replies(json.dumps(chat(reasoning="So.")).encode())
    await setup.post(ASK)
    await seen.span()
    for event in seen.evaluations():
        assert "gen_ai.evaluation.score.value" not in event.attributes
        assert event.attributes["gen_ai.evaluation.score.label"] == "unscored"
        assert event.attributes["error.type"] == "unscored"
    assert "canary" not in seen.dump()


async def test_errors_have_a_class(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.replies(b'{"error": {"message": "canary"}}', status=500)
    await setup.post(ASK)
    span = await seen.span()
    assert (span.attributes["error.type"], span.status.status_code) == ("500", StatusCode.ERROR)
    assert "canary" not in seen.dump()


async def test_an_upstream_that_cannot_be_reached_is_a_span_too(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer, url="http://127.0.0.1:1")
    await setup.post(ASK, "/v1/messages")
    span = await seen.span()
    assert span.attributes["error.type"] == "ClientConnectorError"
    assert span.attributes["gen_ai.provider.name"] == "anthropic"
    assert span.attributes["subtext.decision"] == "block"


async def test_a_client_that_leaves_before_the_answer_ends_its_span(sidecar, seen):
    asked = asyncio.Event()

    async def never(request):
        asked.set()
        await asyncio.Event().wait()

    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.handler = never
    asking = asyncio.create_task(setup.post(ASK))
    await asked.wait()
    asking.cancel()
    assert (await seen.span()).attributes["error.type"] == "client_left"


async def test_routes_without_text_of_a_model_have_no_span(sidecar, seen):
    setup = await sidecar(tracer=seen.tracer)
    setup.upstream.replies(b'{"data": []}')
    async with setup.client.get(setup.url + "/v1/models") as reply:
        await reply.read()
    assert seen.spans.get_finished_spans() == ()


async def test_the_environment_says_where_to_send_it(sidecar, monkeypatch):
    got = {}

    async def collect(request):
        got[request.path] = await request.read()
        return web.Response()

    collector = web.Application()
    collector.router.add_post("/{path:.*}", collect)
    async with listening(collector, "127.0.0.1", 0) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        exporting = Exporting.from_environment()
        setup = await sidecar(tracer=exporting.tracer)
        setup.upstream.streams(*events(CLEAN))
        await setup.post(
            {**STREAM, "model": "\ud800", "max_tokens": 10**300, "session_id": "\udfff"}
        )
        await setup.post(STREAM)
        await asyncio.to_thread(exporting.close)
    (spans,) = ExportTraceServiceRequest.FromString(got["/v1/traces"]).resource_spans
    (logs,) = ExportLogsServiceRequest.FromString(got["/v1/logs"]).resource_logs
    resource = {a.key: a.value.string_value for a in spans.resource.attributes}
    assert resource["service.name"] == "subtext"
    assert resource["deployment.environment.name"] == "test"
    assert [s.name for s in spans.scope_spans[0].spans] == ["chat ?", "chat m"]
    assert len(logs.scope_logs[0].log_records) == 6


def test_the_environment_can_name_the_service(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    exporting = Exporting.from_environment()
    assert exporting._spans.resource.attributes["service.name"] == "mine"
    exporting.close()


def test_what_cannot_be_exported_is_a_clear_error(monkeypatch):
    words = ["serve", "--upstream", "http://127.0.0.1:1", "--otel"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 64
    assert "http/protobuf" in refused.output
    monkeypatch.setitem(sys.modules, "stream.otel", None)
    missing = CliRunner().invoke(app, words)
    assert missing.exit_code == 64
    assert "subtext[otel]" in missing.output


def test_nothing_of_it_is_imported_when_it_is_off():
    code = "import sys, stream.cli, stream.server, stream.proxy; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    # FastAPI looks for the API by itself, and finds no provider behind it.
    ours = ("stream.otel", "opentelemetry.sdk", "opentelemetry.exporter")
    assert not [name for name in loaded.stdout.split() if name.startswith(ours)]
