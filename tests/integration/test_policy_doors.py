"""Every door finds the same rule for the same response, and the verdict says which."""

import asyncio
import json

import httpx2 as httpx
import pytest
from aiohttp import web
from typer.testing import CliRunner

from dashboard.app import create_app
from dashboard.trace_view import trace_view
from monitor.health import Health
from monitor.policy_file import parse
from monitor.recording import recorder
from monitor.store import Store
from monitor.store.content import pack, unpack
from monitor.store.rows import StoredVerdict
from monitor.types import Check, Decision
from stream.cli import app, check
from stream.replay import events, reply
from tests.support import THRESHOLDS, Recorded, engine, fake, trace

FILE = """
[[rules]]
name = "acme"
when = { tenant = "acme", route = "/v1/chat/*" }
mode = "observe"

[[rules]]
name = "small models"
when.model = "tiny-*"
refusal = "Not from a small model."

[rules.thresholds.deception]
flag = 0.1
block = 0.5
"""
BOOK = parse(FILE, THRESHOLDS)
HINTING = {"thinking": "A HINT of something. ", "answer": "Fine."}
CHAT = "/v1/chat/completions"
#: What chooses a rule, and the rule.
CASES = [
    ({"tenant": "acme", "route": CHAT, "requested_model": "tiny-1"}, "acme", Decision.FLAG),
    ({"tenant": "", "route": CHAT, "requested_model": "tiny-1"}, "small models", Decision.BLOCK),
    ({"tenant": "zeta", "route": CHAT, "requested_model": "big"}, "", Decision.FLAG),
]


@pytest.mark.parametrize(("fields", "rule", "decision"), CASES)
async def test_the_sidecar_resolves_by_route_model_and_tenant(sidecar, fields, rule, decision):
    setup = await sidecar(rules=BOOK, tenant_header="x-tenant")
    setup.upstream.replies(json.dumps(reply(HINTING)).encode())
    tenant = {"x-tenant": fields["tenant"]} if fields["tenant"] else {}
    _, body, headers = await setup.post({"model": fields["requested_model"]}, **tenant)
    verdict, origin = await setup.verdict(), setup.record.verdicts[0][1]
    assert (verdict.policy_rule, verdict.decision) == (rule, decision)
    assert (
        headers["x-subtext-mode"] == verdict.mode.value == ("observe" if rule == "acme" else "hold")
    )
    assert (b"Not from a small model." in body) is (decision is Decision.BLOCK)
    assert {name: getattr(origin, name) for name in fields} == fields
    assert origin.model == "replay"
    assert verdict.versions.policy == BOOK.version


@pytest.mark.parametrize(("fields", "rule", "decision"), CASES)
async def test_the_api_resolves_likewise_and_tells(fields, rule, decision):
    store = Store.open("sqlite://")
    mind = engine(rules=BOOK, record=recorder(store))
    door = create_app(store=store, judge=mind.judge, policy=lambda: mind.policy, health=Health({}))
    transport = httpx.ASGITransport(app=door)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        made = (await http.post("/v1/score", json={**HINTING, **fields, "model": "replay"})).json()
        kept = (await http.get(f"/v1/verdicts/{made['verdict_id']}")).json()
        again = (await http.post("/v1/score", json=kept["trace"])).json()
        page = (await http.get(f"/verdicts/{made['verdict_id']}")).text
    store.close()
    assert made["policy_rule"] == (rule or None)
    assert made["decision"] == decision.name.lower()
    assert kept["verdict"]["policy_rule"] == again["policy_rule"] == made["policy_rule"]
    limits = made["checks"]["deception"]
    assert (limits["flags_from"], limits["blocks_from"]) == (
        (0.1, 0.5) if rule == "small models" else (0.5, 0.9)
    )
    assert ("Policy rule" in page) is bool(rule)
    assert ("flag 0.10" in page) is (rule == "small models")
    assert BOOK.version in page


@pytest.mark.parametrize(("fields", "rule", "decision"), CASES)
def test_the_command_line_resolves_likewise(monkeypatch, tmp_path, fields, rule, decision):
    monkeypatch.setattr(check, "open_classifier", lambda _folder: fake())
    file = tmp_path / "policy.toml"
    file.write_text(FILE)
    words = ["check", "-", "--policy", str(file), "--route", fields["route"]]
    words += ["--tenant", fields["tenant"]]
    text = json.dumps({**HINTING, "requested_model": fields["requested_model"]})
    shown = CliRunner().invoke(app, words, input=text)
    assert shown.exit_code == int(decision), shown.output
    assert (f"By rule {rule}" in shown.output) is bool(rule)
    told = CliRunner().invoke(app, [*words, "--json"], input=text)
    assert json.loads(told.stdout)["policy_rule"] == (rule or None)


@pytest.mark.parametrize(("fields", "rule", "decision"), CASES)
def test_validate_explains_which_rule_a_response_gets(tmp_path, fields, rule, decision):
    file = tmp_path / "policy.toml"
    file.write_text(FILE)
    words = ["--route", fields["route"], "--model", fields["requested_model"]]
    words += ["--tenant", fields["tenant"]]
    told = CliRunner().invoke(app, ["policy", "validate", str(file), *words])
    assert told.exit_code == 0, told.output
    assert "2 rules" in told.output
    assert (f"rule {rule!r}" if rule else "no rule matches") in told.output
    assert ("blocks from 0.5" in told.output) is (rule == "small models")


def test_show_prints_rules_as_a_file(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(FILE)
    shown = CliRunner().invoke(app, ["policy", "show", "--policy", str(file)])
    file.write_text(shown.output)
    again = CliRunner().invoke(app, ["policy", "validate", str(file)])
    assert shown.output.split("version ")[1][:12] in again.output


async def test_a_tenant_header_is_believed_only_where_it_is_configured(sidecar):
    setup = await sidecar(rules=BOOK, tenant="home")
    setup.upstream.replies(json.dumps(reply(HINTING)).encode())
    await setup.post({"model": "big"}, **{"x-tenant": "acme"})
    await setup.verdict()
    assert setup.record.verdicts[0][1].tenant == "home"
    assert setup.record.verdicts[0][0].policy_rule == ""


async def test_a_tenant_that_is_named_twice_is_nobody(sidecar):
    setup = await sidecar(tenant_header="x-tenant")
    headers = [("x-tenant", "a"), ("x-tenant", "b")]
    async with setup.client.post(setup.url + CHAT, json={}, headers=headers) as got:
        assert got.status == 400
    assert not setup.upstream.requests


async def test_a_tenant_in_odd_bytes_is_recorded_without_them(sidecar):
    setup = await sidecar(tenant_header="x-tenant")
    setup.upstream.replies(json.dumps(reply(HINTING)).encode())
    async with setup.client.post(setup.url + CHAT, json={}, headers={"x-tenant": "é" * 300}):
        pass
    await setup.verdict()
    assert setup.record.verdicts[0][1].tenant == "é" * 256


STRICT = 'refusal = "The new one."\n[thresholds.deception]\nflag = 0.1\nblock = 0.2'


async def test_a_response_under_way_keeps_the_policy_that_it_began_with(sidecar):
    setup, edited = await sidecar(rules=BOOK), asyncio.Event()
    chunks = list(events(HINTING))

    async def answer(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunks[0])
        await edited.wait()
        for chunk in chunks[1:]:
            await response.write(chunk)
        return response

    setup.upstream.handler = answer
    async with setup.client.post(setup.url + CHAT, json={"stream": True}) as got:
        first = await got.content.readany()
        setup.engine.policy = parse(STRICT, THRESHOLDS)
        edited.set()
        assert first + await got.read() == b"".join(chunks)
    assert (await setup.verdict()).versions.policy == BOOK.version
    _, body, _ = await setup.post({"stream": True})
    assert b"The new one." in body
    assert setup.record.verdicts[1][0].versions.policy == setup.engine.policy.version


async def test_a_record_from_before_there_were_rules_can_be_read():
    record = Recorded()
    verdict = await engine(record=record).judge(trace("So.", "Fine."))
    stored = pack(verdict, record.verdicts[0][1])
    body = {k: v for k, v in stored.body.items() if k not in ("route", "requested_model")}
    kept, _ = unpack(body, stored.data)
    assert (kept.route, kept.requested_model, kept.answer) == ("", "", "Fine.")


def test_a_verdict_from_before_there_were_rules_is_shown_with_the_thresholds_of_now():
    document = {"checks": {c.value: {"probability": 0.1, "reason": ""} for c in Check}}
    stored = StoredVerdict(row=None, document=document, trace=None)
    view = trace_view(stored, THRESHOLDS, {})
    assert [c.thresholds for c in view.checks] == list(THRESHOLDS.values())
