"""Every metric, declared in one place; docs/metrics.md says what each is for.

No label ever holds text of a model or a client: all label values are fixed here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from classifiers.batcher import Counters
from monitor.types import Decision, EarlyStop, Gap, Mode, Verdict

#: Seconds: what a step needs on a GPU up to the longest deadline that makes sense.
_SCORING: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
#: Seconds: a short answer up to a long chain of thought.
_TOTAL: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60, 120, 300, 600)


class Side(StrEnum):
    """Where TLS is spoken."""

    SIDECAR = "sidecar"
    DASHBOARD = "dashboard"
    UPSTREAM = "upstream"


#: What becomes of an edit of the policy file, and of certificates that were replaced.
RELOADS: Final = ("adopted", "refused", "not_recorded")
RENEWALS: Final = ("adopted", "refused")


@runtime_checkable
class Counted(Protocol):
    """A classifier that counts what it does."""

    @property
    def counters(self) -> Mapping[str, Counters]:
        """What has been done, by model."""
        ...

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait to be scored."""
        ...


class Metrics:
    """What one engine and its doors count."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.verdicts = self._counter(
            "subtext_verdicts", "Verdicts, one per choice of a response.", "decision", "mode"
        )
        self.unscored = self._counter(
            "subtext_unscored", "Verdicts on responses that could not be judged.", "decision"
        )
        self.failed_open = self._counter(
            "subtext_failed_open", "Verdicts by which the policy let pass what was not judged."
        )
        self.not_recorded = self._counter(
            "subtext_not_recorded", "Verdicts that could not be written to the audit store."
        )
        self.coverage_gaps = self._counter(
            "subtext_coverage_gaps", "Verdicts on responses that could not be seen in full.", "gap"
        )
        self.early_stops = self._counter(
            "subtext_early_stops", "Streams that were stopped because they were blocked."
        )
        self.generated_tokens = self._counter(
            "subtext_early_stop_tokens_generated_at_least",
            "Tokens that had been generated when streams were stopped: at least so many.",
        )
        self.saved_tokens = self._counter(
            "subtext_early_stop_tokens_saved_at_most",
            "Tokens that stopped streams could still have had: at most so many were saved.",
        )
        self.overloaded = self._counter(
            "subtext_overloaded", "Requests refused because too many responses were being judged."
        )
        self.unreachable = self._counter(
            "subtext_upstream_unreachable", "Requests that the upstream never began to answer."
        )
        self.policy_reloads = self._counter(
            "subtext_policy_reloads", "Edits of the policy file, by what became of them.", "outcome"
        )
        self.tls_renewals = self._counter(
            "subtext_tls_renewals",
            "Replaced certificates, by what became of them.",
            "side",
            "outcome",
        )
        self.tls_expiry = Gauge(
            "subtext_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that is shown ends, in seconds since 1970.",
            ["side"],
            registry=self._registry,
        )
        self.scoring_seconds = Histogram(
            "subtext_scoring_seconds",
            "Time that the classifiers took for a response, waiting for their turn included.",
            buckets=_SCORING,
            registry=self._registry,
        )
        self.total_seconds = Histogram(
            "subtext_total_seconds",
            "Time from the first text of a response to its verdict.",
            buckets=_TOTAL,
            registry=self._registry,
        )
        self.responses = Gauge(
            "subtext_responses", "Responses under judgement now.", registry=self._registry
        )
        self.held_bytes = Gauge(
            "subtext_held_bytes", "Bytes held back from clients now.", registry=self._registry
        )
        self._begin_at_zero()

    def judged(self, verdict: Verdict) -> None:
        """Count a verdict."""
        decision = verdict.decision.name.lower()
        self.verdicts.labels(decision, verdict.mode.value).inc()
        if verdict.unscored is not None:
            self.unscored.labels(decision).inc()
        if verdict.failed_open:
            self.failed_open.inc()
        for gap in verdict.gaps:
            self.coverage_gaps.labels(gap.value).inc()
        self.scoring_seconds.observe(verdict.timings_ms["scoring"] / 1000)
        self.total_seconds.observe(verdict.timings_ms["total"] / 1000)

    def stopped_early(self, stop: EarlyStop) -> None:
        """Count a stream that was stopped; without a limit in its request, nothing as saved."""
        self.early_stops.inc()
        self.generated_tokens.inc(stop.tokens_generated_at_least)
        self.saved_tokens.inc(stop.tokens_saved_at_most or 0)

    def watch(self, classifier: object) -> None:
        """Read the counters of a classifier, if it has any, whenever somebody asks."""
        if isinstance(classifier, Counted):
            self._registry.register(_Batches(classifier))

    def exposition(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _begin_at_zero(self) -> None:
        """Create every combination of labels, so that rates work from the first event on."""
        for outcome in RELOADS:
            self.policy_reloads.labels(outcome)
        for side in Side:
            for outcome in RENEWALS:
                self.tls_renewals.labels(side.value, outcome)
        for gap in Gap:
            self.coverage_gaps.labels(gap.value)
        for decision in Decision:
            self.unscored.labels(decision.name.lower())
            for mode in Mode:
                self.verdicts.labels(decision.name.lower(), mode.value)


#: What each counter of `classifiers.batcher.Counters` means, in rows unless it says tokens.
_BATCHES: Final = {
    "submitted": "Texts given to a model.",
    "completed": "Texts that a model scored.",
    "abandoned": "Texts dropped without work because nobody waited for them any more.",
    "rejected": "Texts turned away because the queue was full.",
    "failed": "Texts whose batch raised an error.",
    "batches": "Batches that a model ran.",
    "tokens": "Tokens that a model read.",
    "padded_tokens": "Tokens that a model computed, padding included.",
}


class _Batches(Collector):
    """Reads a classifier's counters at the moment of a scrape."""

    def __init__(self, classifier: Counted) -> None:
        self._classifier = classifier

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Give every counter by model, and the length of the queue."""
        counted = {model: asdict(c) for model, c in self._classifier.counters.items()}
        for name, meaning in _BATCHES.items():
            family = CounterMetricFamily(f"subtext_model_{name}", meaning, labels=["model"])
            for model, values in counted.items():
                family.add_metric([model], values[name])
            yield family
        queued = self._classifier.queued_tokens
        yield GaugeMetricFamily("subtext_queued_tokens", "Tokens that wait for a model.", queued)
