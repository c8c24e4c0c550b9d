"""A worker process as `subtext worker` starts it, but for scores that cost nothing."""

import asyncio
import sys

from classifiers.fake import FakeClassifier
from classifiers.port import Check, Thresholds
from monitor.logs import configure
from monitor.policy import Policy
from monitor.rulebook import Rulebook
from monitor.store import Store
from stream.kafka.client import Kafka
from stream.kafka.docket import Limits
from stream.kafka.service import Service
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics

#: Words of the authored traces: some block, some flag, most do neither.
MARKERS = {"secretly": {"deception": 0.95}, "pretend": {"deception": 0.6}}
SESSION_SECONDS = 3.0


def classifier(delay: float = 0.0) -> FakeClassifier:
    return FakeClassifier(MARKERS, delay=delay, i_know_this_is_fake=True)


def policy() -> Rulebook:
    return Rulebook(top=Policy(thresholds={c: Thresholds(flag=0.5, block=0.9) for c in Check}))


def main(bootstrap: str, database: str) -> None:
    configure()
    service = Service(
        classifier=classifier(delay=0.002),
        store=Store.open(database),
        policy=policy(),
        key=None,
        transport=Kafka(
            Settings(bootstrap=bootstrap, session_seconds=SESSION_SECONDS, delivery_seconds=60)
        ),
        topics=Topics(),
        group="chaos",
        member="",
        limits=Limits(commit_seconds=0.2),
        host="127.0.0.1",
        port=0,
    )
    asyncio.run(service.run())


if __name__ == "__main__":
    main(*sys.argv[1:])
