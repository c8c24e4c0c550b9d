"""Stores to run the contract on, and samples to put into them."""

import sys

import pytest

from classifiers.port import Check
from monitor.store import Store
from monitor.types import (
    Assessment,
    Channel,
    Decision,
    Evidence,
    Mode,
    Part,
    Status,
    Step,
    StepScores,
    Trace,
    Verdict,
    Versions,
)


def make_sample(  # noqa: PLR0913 (a test names only what it is about)
    number,
    *,
    verdict_id=None,
    decision=Decision.FLAG,
    deception=0.8125,
    unscored=None,
    model="some-model",
    thinking="They must not notice. ",
    answer="All done.",
    **trace,
):
    """Return a verdict and its trace."""
    status = Status.UNSCORED if unscored else Status.SCORED
    probabilities = (None, None, None) if unscored else (deception, 0.25, 0.125)
    evidence = (
        () if unscored else (Evidence(channel=Channel.THINKING, start=0, end=9, probability=0.8),)
    )
    step = Step(index=0, channel=Channel.THINKING, start=0, end=9, text="They must", disguised=2)
    verdict = Verdict(
        verdict_id=verdict_id or f"verdict-{number}",
        trace_id=f"trace-{number}",
        decision=decision,
        mode=Mode.HOLD,
        assessments=tuple(
            Assessment(
                check=c, status=status, probability=p, reason=unscored or "", evidence=evidence
            )
            for c, p in zip(Check, probabilities, strict=True)
        ),
        steps=(StepScores(step=step, scores={Check.DECEPTION: 0.8}),),
        versions=Versions(subtext="1", model="m", calibration="c", policy="p"),
        created_at=f"2026-01-01T00:00:00.{number % 1000:03}Z",
        timings_ms={"total": 12.5},
    )
    parts = ((Channel.THINKING, thinking), (Channel.ANSWER, answer))
    fields = {"prompt": "Do it.", "tenant": "us", "conversation_id": "talk", **trace}
    return verdict, Trace(
        trace_id=verdict.trace_id,
        parts=tuple(Part(channel=c, text=t) for c, t in parts if t),
        model=model,
        **fields,
    )


@pytest.fixture(scope="session")
def sample():
    return make_sample


@pytest.fixture(scope="session")
def fill(sample):
    def put(store, size, **changes):
        return store.record_verdicts([sample(number, **changes) for number in range(size)])

    return put


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.db"


def _address(request):
    # Only who asks for PostgreSQL needs it.
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    path = request.getfixturevalue("path")
    return {"memory": "sqlite://", "file": f"sqlite:///{path}"}[request.param]


@pytest.fixture(params=["file", "memory", "postgres"])
def url(request):
    return _address(request)


@pytest.fixture(params=["file", "postgres"])
def shared_url(request):
    """Of a database that several processes can open."""
    return _address(request)


@pytest.fixture
def store(url):
    opened = Store.open(url)
    yield opened
    opened.close()


def write(url, name, size):
    """Record verdicts; print each that is acknowledged. What the processes of tests do."""
    store = Store.open(url)
    for number in range(int(size)):
        record = store.record_verdict(*make_sample(number, verdict_id=f"{name}-{number}"))
        sys.stdout.write(f"{record.seq} {name}-{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write(*sys.argv[1:])
