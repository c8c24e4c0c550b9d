"""Every metric is documented, counts what it says, and holds no text of a model."""

import asyncio
import json
import re
from dataclasses import fields
from pathlib import Path

import httpx2 as httpx

from classifiers.batcher import Counters
from dashboard.app import create_app
from monitor.health import Health
from monitor.metrics import Metrics
from monitor.store import Store
from monitor.types import Decision, Mode
from stream.kafka.metrics import GateMetrics, WorkerMetrics
from stream.replay import events, reply
from tests.support import fake, policy, rulebook

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PLOT = {"thinking": "A PLOT with a canary in it. ", "answer": "Fine."}


class Counting:
    """What the shipped classifier shows of its batchers."""

    counters = {"step": Counters(batches=3, tokens=40, padded_tokens=50)}  # noqa: RUF012
    queued_tokens = 7


def watching() -> Metrics:
    metrics = Metrics()
    metrics.watch(Counting())
    metrics.tls_expiry.labels("sidecar").set(1)
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {k: float(v) for k, _, v in (x.rpartition(" ") for x in lines if x[0] != "#")}


def test_every_metric_is_documented_with_its_kind_and_labels():
    every = (watching(), WorkerMetrics(), GateMetrics())
    text = b"".join(metrics.exposition() for metrics in every).decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    kinds = {n: k for n, k in kinds.items() if not n.endswith("_created")}
    told = re.findall(r"^\| `(\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", DOCUMENT, re.MULTILINE)
    assert {name: kind for name, _, kind in told} == kinds
    for name, labels, _ in told:
        found = re.search(rf"^{name}(?:_bucket)?\{{(.*?)\}} ", text, re.MULTILINE)
        used = re.findall(r'(\w+)="', found[1]) if found else []
        assert [label for label in used if label != "le"] == list(filter(None, labels.split(",")))


def test_every_counter_of_the_batcher_is_shown():
    shown = samples(watching())
    assert shown["subtext_queued_tokens"] == 7
    for field in fields(Counters):
        want = getattr(Counting.counters["step"], field.name)
        assert shown[f'subtext_model_{field.name}_total{{model="step"}}'] == want


async def test_responses_are_counted_by_decision_and_mode(sidecar):
    setup = await sidecar(rules=policy(Mode.BUFFER))
    setup.upstream.replies(json.dumps(reply(PLOT)).encode())
    await setup.post({})
    setup.upstream.replies(json.dumps(reply({"thinking": "So.", "answer": "Fine."})).encode())
    await setup.post({})
    shown = samples(setup.engine.metrics)
    assert shown['subtext_verdicts_total{decision="block",mode="buffer"}'] == 1
    assert shown['subtext_verdicts_total{decision="allow",mode="buffer"}'] == 1
    assert shown['subtext_verdicts_total{decision="flag",mode="hold"}'] == 0
    assert shown["subtext_scoring_seconds_count"] == shown["subtext_total_seconds_count"] == 2
    assert shown["subtext_failed_open_total"] == shown["subtext_held_bytes"] == 0
    assert shown["subtext_responses"] == 0
    assert b"canary" not in setup.engine.metrics.exposition()


async def test_what_is_held_and_under_judgement_is_shown_while_it_lasts(sidecar):
    setup = await sidecar(rules=policy(Mode.BUFFER))
    chunks = list(events(PLOT))[:3]
    setup.upstream.streams(*chunks, hang=True)
    asking = asyncio.create_task(setup.post({}))
    held = sum(map(len, chunks))
    async with asyncio.timeout(5):
        while samples(setup.engine.metrics)["subtext_held_bytes"] < held:  # noqa: ASYNC110 -- a number
            await asyncio.sleep(0.01)
    assert samples(setup.engine.metrics)["subtext_held_bytes"] == held
    assert samples(setup.engine.metrics)["subtext_responses"] == 1
    asking.cancel()
    await setup.verdict()
    await asyncio.sleep(0.05)
    assert samples(setup.engine.metrics)["subtext_held_bytes"] == 0
    assert samples(setup.engine.metrics)["subtext_responses"] == 0


async def test_refusals_for_overload_and_unreachable_upstreams_are_counted(sidecar):
    full = await sidecar(max_responses=0)
    await full.post({})
    assert samples(full.engine.metrics)["subtext_overloaded_total"] == 1
    away = await sidecar(url="http://127.0.0.1:1")
    await away.post({})
    assert samples(away.engine.metrics)["subtext_upstream_unreachable_total"] == 1
    assert samples(away.engine.metrics)['subtext_unscored_total{decision="block"}'] == 1


async def test_the_dashboard_serves_them():
    given = watching().exposition
    store = Store.open("sqlite://")
    app = create_app(store=store, judge=None, policy=rulebook, health=Health({}), metrics=given)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        got = await http.get("/metrics")
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert got.content == given()
    store.close()


def test_a_classifier_that_counts_nothing_is_no_problem():
    metrics = Metrics()
    metrics.watch(fake())
    assert "subtext_queued_tokens" not in samples(metrics)


def test_every_label_begins_at_zero():
    shown = samples(Metrics())
    for decision in Decision:
        for mode in Mode:
            name = decision.name.lower()
            assert shown[f'subtext_verdicts_total{{decision="{name}",mode="{mode}"}}'] == 0
