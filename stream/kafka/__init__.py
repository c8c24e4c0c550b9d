"""Traces in, verdicts out, over Kafka; nothing else of Subtext knows Kafka."""
