"""The dashboard answers to its own names and pages only, and its errors quote nothing."""

import logging

import httpx2 as httpx
import pytest

from dashboard.app import create_app
from dashboard.guard import Guard, host_name
from monitor.health import Health
from monitor.store import Store
from tests.support import Recorded, engine, rulebook

CANARY = "CANARY-7b1d-text-under-review"
JSON = {"content-type": "application/json"}


@pytest.fixture
def store():
    opened = Store.open("sqlite://")
    yield opened
    opened.close()


def client(app, host="localhost"):
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


def build(store, judge=None, **options):
    return create_app(
        store=store,
        judge=judge or engine().judge,
        policy=rulebook,
        health=Health({}),
        **options,
    )


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8800", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8800", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example:8800", 421),
        ("localhost@evil.example", 421),
        ("evil.example@localhost", 421),
        ("localhost/evil", 421),
        ("::1", 421),
        ("", 421),
    ],
)
async def test_only_its_own_host_names_are_served(store, header, status):
    async with client(build(store)) as http:
        for path in ("/healthz", "/", "/v1/verdicts", "/static/base.css"):
            response = await http.get(path, headers={"host": header})
            assert response.status_code == status


async def test_other_names_can_be_allowed(store):
    async with client(build(store, allowed_hosts=["monitor.internal"]), "monitor.internal") as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/healthz", headers={"host": "localhost"})).status_code == 421


def test_two_host_headers_are_not_one():
    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")] * 2}
    refusal = Guard(None, allowed_hosts=["localhost"])._refusal(scope)
    assert refusal.status_code == 421
    assert host_name("[::1]:80") == "[::1]"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://localhost"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "made-up"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, 403),
    ],
)
async def test_another_sites_page_cannot_send_traces(store, headers, status):
    record = Recorded()
    async with client(build(store, engine(record=record).judge)) as http:
        body = b'{"thinking": "a", "answer": "b"}'
        response = await http.post("/v1/score", content=body, headers={**JSON, **headers})
    assert response.status_code == status
    assert bool(record.verdicts) == (status == 200)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
)
async def test_what_a_plain_form_can_send_is_not_a_trace(store, kind):
    async with client(build(store)) as http:
        body = b'{"thinking": "a", "answer": "b"}'
        response = await http.post("/v1/score", content=body, headers={"content-type": kind})
    assert response.status_code == 415


@pytest.mark.parametrize("path", ["/", "/live", "/nowhere", "/verdicts/none", "/v1/verdicts", "/v1/score",
                                  "/static/list.js", "/openapi.json", "/readyz", "/?decision=maybe"])  # fmt: skip
async def test_every_response_carries_the_headers(store, path):
    async with client(build(store)) as http:
        response = await http.get(path)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_the_documentation_that_needs_another_origin_is_off(store):
    async with client(build(store)) as http:
        assert (await http.get("/docs")).status_code == 404
        assert (await http.get("/redoc")).status_code == 404
        assert "/v1/score" in (await http.get("/openapi.json")).json()["paths"]


BAD_BODIES = [
    f'{{"thinking": "{CANARY}"',
    f'{{"thinking": ["{CANARY}"]}}',
    f'{{"{CANARY}": "x", "thinking": "x"}}',
    f'{{"parts": [{{"channel": "{CANARY}", "text": "x"}}]}}',
    f'{{"parts": [{{"channel": "answer", "text": "x", "{CANARY}": 1}}]}}',
    f'{{"parts": "{CANARY}"}}',
    f'"{CANARY}"',
    f'{{"traces": "{CANARY}"}}',
    f'{{"traces": [{{"thinking": {{"{CANARY}": 1}}}}]}}',
    f'{{"model": "{CANARY}", "prompt": "{CANARY}"}}',
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_refused_trace_is_not_quoted(store, body, caplog, capsys):
    async with client(build(store)) as http:
        response = await http.post("/v1/score", content=body.encode(), headers=JSON)
    assert response.status_code in (200, 422)
    assert '"error"' in response.text
    assert CANARY not in response.text + caplog.text + "".join(capsys.readouterr())


async def test_a_failing_judge_is_not_quoted(store, caplog, capsys):
    async def judge(trace):
        raise RuntimeError(f"cannot judge {trace.thinking}")

    async with client(build(store, judge)) as http:
        response = await http.post("/v1/score", json={"thinking": CANARY})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_judged"
    assert CANARY not in response.text + caplog.text + "".join(capsys.readouterr())


class Broken:
    """A store whose every answer is an error that quotes a trace."""

    def __getattr__(self, name):
        def fail(*args):
            raise LookupError(CANARY)

        return fail


@pytest.mark.parametrize("path", ["/", "/live", "/verdicts/x", "/v1/verdicts", "/v1/verdicts/x"])
async def test_an_unforeseen_failure_says_nothing_and_keeps_the_headers(path, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    async with client(build(Broken())) as http:
        response = await http.get(path)
    assert response.status_code == 500
    assert "content-security-policy" in response.headers
    logged = caplog.text + "".join(capsys.readouterr())
    assert CANARY not in response.text + logged


async def test_a_query_that_does_not_fit_is_not_quoted(store):
    async with client(build(store)) as http:
        for path in ("/", "/live", "/v1/verdicts"):
            response = await http.get(path, params={"decision": CANARY, CANARY: "1"})
            assert response.status_code == 422
            assert CANARY not in response.text
