"""A server behind the sidecar that answers with anything: nothing of it splits a response."""

import gzip
import json
import re

import pytest

from monitor.types import Mode
from tests.security.raw import ANSWER, exchange, response
from tests.security.test_hostile_http import ask
from tests.support import policy

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ANSWER), ANSWER)
EVIL = b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"

#: What is sent back in their place is an error of the sidecar.
BROKEN = {
    "length and chunks": HEAD
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    + IN_CHUNKS,
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER,
    "negative length": HEAD + b"content-length: -5\r\n\r\n" + ANSWER,
    "a length that is too short": HEAD + b"content-length: 5\r\n\r\n" + ANSWER,
    "more than it said": response() + b"EVIL",
    "broken chunks": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + ANSWER,
    "bare CR in a header": response(b"x-a: b\rx-evil: 1"),
    "NUL in a header": response(b"x-a: b\0c"),
    "a name with a space": response(b"x-evil : b"),
    "bare CR in the reason": response(status=b"200 OK\rx-evil: 1"),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n"
    b"connection: upgrade\r\n\r\nevil",
    "no HTTP": ANSWER,
    "status of two digits": response(status=b"99 Nope"),
    "status zero": response(status=b"000 Nope"),
    "no content with content": response(status=b"204 No Content"),
    "header of 9000 bytes": response(b"x-evil: " + b"b" * 9000),
    "500 headers": response(*(b"x-evil-%d: 1" % number for number in range(500))),
    "nothing": b"",
}


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.OBSERVE])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_response_becomes_an_error_and_a_record(wire, name, mode):
    setup = await wire(rules=policy(mode), upstream_timeout=1.0)
    setup.behind.says = BROKEN[name]
    got = await exchange(setup.url, ask())
    assert got[:12] in (b"HTTP/1.1 502", b"HTTP/1.1 504")
    assert len(re.findall(rb"HTTP/1\.\d \d{3} ", got)) == 1
    assert b"evil" not in got.lower()
    assert [verdict.unscored is not None for verdict, _ in setup.record.verdicts] == [True]
    await _still_serves(setup)


async def _still_serves(setup):
    setup.behind.says = response()
    assert ANSWER in await exchange(setup.url, ask())


MEEK = {
    "forged verdicts": response(b"x-subtext-decision: evil", b"X_Subtext_Evil: 1"),
    "headers of one connection": response(
        b"connection: keep-alive, x-evil", b"x-evil: 1", b"keep-alive: evil", b"upgrade: evil"
    ),
    "connection takes ours away": response(b"connection: x-subtext-mode, content-length"),
    "another way to the server": response(b'alt-svc: h2="evil:443"'),
    "control characters": response(b"x-a: \x01evil", b"x-b: \x1b[31mevil", b"x-c: evil\x7f"),
    "control characters in the reason": response(status=b"200 \x1b[31mevil"),
    "bytes in a header": response(b"x-a: caf\xe9"),
    "trailers": HEAD
    + b"transfer-encoding: chunked\r\n\r\n"
    + IN_CHUNKS[:-2]
    + b"x-evil: 1\r\n\r\n",
    "a second response": response() + EVIL[2:],
    "many responses before": b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + response(),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nx-evil: 1\r\n\r\n" + response(),
}


@pytest.mark.parametrize("name", MEEK)
async def test_only_what_belongs_to_the_response_is_passed_on(wire, name):
    setup = await wire()
    setup.behind.says = MEEK[name]
    got = await exchange(setup.url, ask())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1") == 1
    assert ANSWER in got
    assert b"evil" not in got.lower()
    assert got.count(b"x-subtext-decision: allow\r\n") == 1
    assert b"x-subtext-mode: hold\r\n" in got
    await _still_serves(setup)


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/embeddings"])
async def test_a_redirect_is_not_followed_and_leads_back_to_the_sidecar(wire, path):
    setup = await wire()
    for target, seen in (
        (setup.behind.url + "/v1/x?y=1", "/v1/x?y=1"),
        ("http://169.254.169.254/latest", "http://169.254.169.254/latest"),
        ("/v1/x", "/v1/x"),
        ("http://[", "http://["),
    ):
        setup.behind.says = response(f"location: {target}".encode(), status=b"307 Look there")
        got = await exchange(setup.url, ask(path=path))
        assert got.startswith(b"HTTP/1.1 307 ")
        assert f"\r\nlocation: {seen}\r\n".encode() in got.replace(b"Location", b"location")
    assert len(setup.behind.targets) == 4


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"GZIP", b"gzip, gzip"])
async def test_a_packed_response_is_not_unpacked_and_not_passed_on(wire, coding):
    setup = await wire(max_held_bytes=2**22)
    packed = gzip.compress(bytes(2**26), 9)
    setup.behind.says = response(b"content-encoding: " + coding, body=packed)
    got = await exchange(setup.url, ask())
    assert packed[:100] not in got
    verdict, trace = setup.record.verdicts[0]
    assert "compressed" in verdict.unscored
    assert not trace.parts
    await _still_serves(setup)


async def test_a_response_that_never_ends_is_cut_off(wire):
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"word " * 2000)
    setup = await wire(max_held_bytes=2**20, rules=policy(Mode.BUFFER))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    setup.behind.says = head + event * 500
    got = await exchange(setup.url, ask())
    assert b"content_filter" in got
    assert b"word" not in got
    assert "held already" in setup.record.verdicts[0][0].unscored
    assert json.loads(ANSWER)
    await _still_serves(setup)
