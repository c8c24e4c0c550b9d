"""What a worker counts, beside the metrics of its engine; docs/metrics.md says what each is for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream.kafka.messages import Reason

_LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class GateMetrics:
    """What a sidecar counts whose responses are judged elsewhere."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.waiting = Gauge(
            "subtext_gate_waiting_messages",
            "Messages that the broker has not taken yet and that are not on disk.",
            registry=self._registry,
        )
        self.spooled = Gauge(
            "subtext_gate_spooled_bytes",
            "Bytes on disk that wait for the broker.",
            registry=self._registry,
        )
        self.dropped = Counter(
            "subtext_gate_dropped",
            "Messages given up: no room on disk, or refused by the broker for good.",
            registry=self._registry,
        )
        self.damaged = Counter(
            "subtext_gate_damaged",
            "Files on disk that could be read only in part.",
            registry=self._registry,
        )
        self.late = Counter(
            "subtext_gate_late",
            "Responses whose verdict did not come in time.",
            registry=self._registry,
        )
        self.policy_differs = Counter(
            "subtext_gate_policy_differs",
            "Verdicts that a worker reached under another policy than this process has.",
            registry=self._registry,
        )
        self.lag = Histogram(
            "subtext_gate_seconds",
            "Time from the end of a response's text to its verdict from a worker.",
            buckets=_LATENCY,
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)


class WorkerMetrics:
    """No label holds text of a model or a sender."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.rejected = Counter(
            "subtext_worker_rejected",
            "Messages that became dead letters.",
            ["reason"],
            registry=self._registry,
        )
        self.repeated = Counter(
            "subtext_worker_repeated",
            "Messages of traces that were repeated or came after the verdict.",
            registry=self._registry,
        )
        self.latency = Histogram(
            "subtext_worker_latency_seconds",
            "Time from the beginning of a response to its published verdict.",
            buckets=_LATENCY,
            registry=self._registry,
        )
        self.open = Gauge(
            "subtext_worker_open_traces", "Traces without a verdict now.", registry=self._registry
        )
        self.waiting = Gauge(
            "subtext_worker_waiting_characters",
            "Text that waits to be judged.",
            registry=self._registry,
        )
        self.lag = Gauge(
            "subtext_worker_lag_messages",
            "Messages of this worker's partitions that wait to be read.",
            registry=self._registry,
        )
        self.uncommitted = Gauge(
            "subtext_worker_uncommitted_messages",
            "Messages that were read and would be read again after a crash.",
            registry=self._registry,
        )
        self.partitions = Gauge(
            "subtext_worker_partitions", "Partitions of this worker now.", registry=self._registry
        )
        self.paused = Gauge(
            "subtext_worker_paused",
            "1 while the worker reads nothing because too much text waits.",
            registry=self._registry,
        )
        for reason in Reason:
            self.rejected.labels(reason.value)

    def exposition(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)
