"""Spans and evaluation events for OpenTelemetry; imported only when they are wanted.

Names follow the semantic conventions for generative AI, which are still in development; what has no
name there begins with `subtext.`. No text of a prompt, a response or a reason is ever in one.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Final, Self

from opentelemetry import propagate
from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    set_span_in_context,
)

from monitor.policy import Policy, rule
from monitor.types import Assessment, Verdict
from monitor.types import Status as Judged
from stream.relay import Conclusion, Relay
from stream.tracing import Call

#: By wire format: whose API it is. Who really answers, a sidecar cannot know.
_PROVIDERS: Final = {"messages": "anthropic"}
_OPERATIONS: Final = {"completions": "text_completion", "": "generate_content"}

_Value = str | int | float | bool | list[str]


class OtelTracer:
    """Makes a span per judged response and an event per check, in the client's trace if any."""

    def __init__(self, spans: TracerProvider, events: LoggerProvider) -> None:
        self._spans = spans.get_tracer("subtext", version("subtext"))
        self._events = events.get_logger("subtext", version("subtext"))

    def begin(self, call: Call) -> "OtelSpan":
        """Begin a span, as a child of the one that the client's headers name."""
        attributes = dict(_asked(call))
        operation = str(attributes["gen_ai.operation.name"])
        span = self._spans.start_span(
            f"{operation} {_sendable(call.asked.model)}".strip(),
            context=propagate.extract(call.headers),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        return OtelSpan(span, self)

    def evaluated(self, context: Context, verdict: Verdict, policy: Policy) -> None:
        """Emit an event for each check."""
        for assessment in verdict.assessments:
            self._events.emit(
                event_name="gen_ai.evaluation.result",
                context=context,
                severity_number=SeverityNumber.INFO,
                attributes=dict(_evaluation(verdict, assessment, policy)),
            )


class OtelSpan:
    """One judged response."""

    def __init__(self, span: Span, tracer: OtelTracer) -> None:
        self._span = span
        self._tracer = tracer
        self._context = set_span_in_context(span)

    @property
    def headers(self) -> Mapping[str, str]:
        """What makes the upstream's own spans children of this one."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self._context)
        return carrier

    def end(self, relay: Relay | None, *, error: str | None = None) -> None:
        """Say what came of it."""
        conclusion = relay.conclusion if relay else None
        if relay and conclusion:
            self._span.set_attributes(dict(_answered(relay, conclusion)))
            for verdict in conclusion.verdicts:
                self._tracer.evaluated(self._context, verdict, relay.policy)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Exporting:
    """A tracer that sends what it sees over OTLP, as the environment's OTEL_* variables say."""

    def __init__(self, spans: sdk_trace.TracerProvider, events: sdk_logs.LoggerProvider) -> None:
        self.tracer = OtelTracer(spans, events)
        self._spans, self._events = spans, events

    @classmethod
    def from_environment(cls) -> Self:
        """Prepare to export; ValueError when the environment asks for what is not there."""
        wanted = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        if wanted != "http/protobuf":
            raise ValueError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL is {wanted!r}; only http/protobuf is spoken here."
            )
        resource = _resource()
        spans = sdk_trace.TracerProvider(resource=resource, shutdown_on_exit=False)
        spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        events = sdk_logs.LoggerProvider(resource=resource, shutdown_on_exit=False)
        events.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        return cls(spans, events)

    def close(self) -> None:
        """Send what waits, and stop; blocks for as long as the exporter's time-out."""
        self._spans.shutdown()
        self._events.shutdown()


def _resource() -> Resource:
    """What the environment says that this service is; "subtext" when it does not."""
    known = Resource.create({SERVICE_VERSION: version("subtext")})
    if str(known.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return known.merge(Resource({SERVICE_NAME: "subtext"}))
    return known


def _asked(call: Call) -> Iterator[tuple[str, _Value]]:
    yield "gen_ai.operation.name", _OPERATIONS.get(call.dialect, "chat")
    yield "gen_ai.provider.name", _PROVIDERS.get(call.dialect, "openai")
    yield "gen_ai.request.stream", call.asked.stream
    if call.asked.model:
        yield "gen_ai.request.model", _sendable(call.asked.model)
    if call.asked.max_tokens is not None:
        yield "gen_ai.request.max_tokens", call.asked.max_tokens
    if call.asked.conversation_id:
        yield "gen_ai.conversation.id", _sendable(call.asked.conversation_id)
    if call.upstream.host:
        yield "server.address", call.upstream.host
    if call.upstream.port:
        yield "server.port", call.upstream.port


def _sendable(text: str) -> str:
    """What a client wrote, without half characters: one of them would lose a whole batch."""
    return text.encode("utf-8", "replace").decode()


def _answered(relay: Relay, conclusion: Conclusion) -> Iterator[tuple[str, _Value]]:
    worst = conclusion.worst
    yield "subtext.verdict.id", worst.verdict_id
    yield "subtext.decision", worst.decision.name.lower()
    yield "subtext.mode", worst.mode.value
    yield "subtext.unscored", worst.unscored is not None
    yield "subtext.failed_open", relay.failed_open
    yield "subtext.policy.version", worst.versions.policy
    yield "subtext.coverage_gaps", [gap.value for gap in conclusion.gaps]
    if conclusion.refused:
        yield "gen_ai.response.finish_reasons", ["content_filter"]
    if relay.model:
        yield "gen_ai.response.model", relay.model
    if (output := worst.usage.output_tokens) is not None:
        yield "gen_ai.usage.output_tokens", output
    if (reasoning := worst.usage.reasoning_tokens) is not None:
        yield "gen_ai.usage.reasoning.output_tokens", reasoning
    if worst.early_stop is not None:
        yield "subtext.early_stop.tokens_generated", worst.early_stop.tokens_generated_at_least


def _evaluation(
    verdict: Verdict, assessment: Assessment, policy: Policy
) -> Iterator[tuple[str, _Value]]:
    yield "gen_ai.evaluation.name", assessment.check.value
    yield "subtext.verdict.id", verdict.verdict_id
    if assessment.status is Judged.SCORED and assessment.probability is not None:
        yield "gen_ai.evaluation.score.value", round(assessment.probability, 4)
        yield "gen_ai.evaluation.score.label", rule(policy, assessment).name.lower()
    else:
        yield "gen_ai.evaluation.score.label", "absent" if assessment.absent else "unscored"
        if not assessment.absent:
            yield "error.type", "unscored"
