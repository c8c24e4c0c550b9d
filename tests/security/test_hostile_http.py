"""Bytes that try to make the sidecar and the server behind it read different requests.

Each is refused, or arrives there as one plain request; and the sidecar goes on serving.
"""

import gzip
import json
import re
import zlib

import pytest

from tests.security.raw import ANSWER, exchange, response

ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Well?"}]}).encode()
PATH = b"/v1/chat/completions"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
SIZE = b"content-length: %d" % len(ASK)
CHUNKED = b"transfer-encoding: chunked"
IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ASK), ASK)


def raw(*headers: bytes, body: bytes = ASK, line: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    """A request with exactly these headers, and a host."""
    return b"\r\n".join([line, b"host: x", *headers]) + b"\r\n\r\n" + body


def ask(*headers: bytes, body: bytes = ASK, path: bytes = PATH, method: bytes = b"POST") -> bytes:
    """A request that is well framed, and the last on its connection."""
    size = b"content-length: %d" % len(body)
    line = method + b" " + path + b" HTTP/1.1"
    return raw(b"connection: close", size, *headers, body=body, line=line)


def chunked(chunks: bytes, *headers: bytes) -> bytes:
    return raw(CHUNKED, *headers, body=chunks)


REFUSED = {
    "length and chunks": raw(SIZE, CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": raw(CHUNKED, b"content-length: 3", body=IN_CHUNKS + SMUGGLED),
    "two lengths": raw(b"content-length: 3", SIZE),
    "the same length twice": raw(SIZE, SIZE),
    "a list of lengths": raw(SIZE + b", " + SIZE[16:]),
    "length with sign": raw(b"content-length: +%d" % len(ASK)),
    "negative length": raw(b"content-length: -1"),
    "length in hex": raw(b"content-length: 0x42"),
    "length with underscore": raw(b"content-length: 6_6"),
    "length with space": raw(b"content-length : %d" % len(ASK)),
    "endless length": raw(b"content-length: 999999999999", body=b""),
    "coding with space": raw(b"transfer-encoding : chunked", body=IN_CHUNKS),
    "coding nobody knows": raw(b"transfer-encoding: xchunked", body=IN_CHUNKS + SMUGGLED),
    "chunked not last": raw(b"transfer-encoding: chunked, identity", body=IN_CHUNKS + SMUGGLED),
    "coding under chunked": raw(b"transfer-encoding: gzip, chunked", body=IN_CHUNKS),
    "two codings": raw(CHUNKED, b"transfer-encoding: identity", body=IN_CHUNKS + SMUGGLED),
    "two codings, turned": raw(b"transfer-encoding: identity", CHUNKED, body=IN_CHUNKS),
    "coding behind a tab": raw(b"transfer-encoding: \x0bchunked", body=IN_CHUNKS + SMUGGLED),
    "folded header": raw(SIZE, b"x-a: b\r\n c: d"),
    "folded coding": raw(b"transfer-encoding:\r\n chunked", body=IN_CHUNKS),
    "bare LF everywhere": raw(SIZE).replace(b"\r\n", b"\n"),
    "bare LF in a header": raw(b"x-a: b\n" + SIZE),
    "bare CR in a header": raw(b"x-a: b\r" + SIZE),
    "CR LF in a request id": raw(SIZE, b"x-request-id: a\rx-evil: 1"),
    "NUL in a header": raw(SIZE, b"x-a: b\0c"),
    "a name that is none": raw(SIZE, b"x(a: b"),
    "no name": raw(SIZE, b": b"),
    "no colon": raw(SIZE, b"xab"),
    "LF in a chunk extension": chunked(b"42;a\nb\r\n" + IN_CHUNKS[4:] + SMUGGLED),
    "chunk size with 0x": chunked(b"0x" + IN_CHUNKS),
    "negative chunk size": chunked(b"-1\r\n" + ASK),
    "huge chunk size": chunked(b"fffffffffffffffff1\r\n" + ASK),
    "space behind a chunk size": chunked(IN_CHUNKS.replace(b"\r\n", b" \r\n", 1)),
    "chunks with bare LF": chunked(IN_CHUNKS.replace(b"\r\n", b"\n")),
    "a chunk longer than it says": chunked(IN_CHUNKS.replace(ASK, ASK + b"XX") + SMUGGLED),
    "a length in the trailers": chunked(IN_CHUNKS[:-2] + b"content-length: 3\r\n\r\n"),
    "no host": b"POST %s HTTP/1.1\r\n%s\r\n\r\n" % (PATH, SIZE) + ASK,
    "two hosts": raw(SIZE, b"host: y"),
    "address as target": ask(path=b"http://evil.example/", method=b"GET"),
    "own address as target": ask(path=b"http://x/v1/models", method=b"GET"),
    "target of a tunnel": ask(path=b"evil.example:443", method=b"CONNECT", body=b""),
    "target without slash": ask(path=b"@evil.example/x", method=b"GET"),
    "asterisk": ask(path=b"*", method=b"OPTIONS"),
    "dots": ask(path=b"/v1/../admin", method=b"GET", body=b""),
    "encoded dots": ask(path=b"/v1/%2e%2E/admin", method=b"GET", body=b""),
    "dots to a quiet route": ask(path=PATH + b"/../embeddings"),
    "one dot": ask(path=b"/v1/responses/resp_1/.", method=b"GET", body=b""),
    "backslash": ask(path=b"/v1/chat\\..\\embeddings"),
    "encoded backslash": ask(path=b"/v1/chat%5Cembeddings"),
    "encoded NUL": ask(path=PATH + b"%00/embeddings"),
    "encoded question mark": ask(path=PATH + b"%3f/embeddings"),
    "encoded number sign": ask(path=PATH + b"%23/embeddings"),
    "encoded twice": ask(path=b"/v1/chat%252fcompletions"),
    "encoded CR LF": ask(path=b"/v1/models%0d%0ax-evil:%201", method=b"GET", body=b""),
    "bytes in the target": ask(path=b"/v1/\xff\xfe"),
    "target of 9000 bytes": ask(path=b"/" + b"a" * 9000),
    "header of 9000 bytes": ask(b"x-a: " + b"b" * 9000),
    "500 headers": ask(*(b"x-%d: 1" % number for number in range(500))),
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/9.9": raw(SIZE, line=b"POST " + PATH + b" HTTP/9.9"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200,
    "a method that is none": ask(method=b"BREW"),
    "an expectation nobody knows": ask(b"expect: 200-ok"),
    "broken gzip": ask(b"content-encoding: gzip", body=b"\x1f\x8bxx"),
    "gzip in gzip": ask(
        b"content-encoding: gzip, gzip", body=gzip.compress(gzip.compress(ASK, 1), 1)
    ),
    "an encoding nobody knows": ask(b"content-encoding: x-secret"),
    "a bomb": ask(b"content-encoding: gzip", body=gzip.compress(bytes(2**20), 1)),
    "a bomb in deflate": ask(b"content-encoding: deflate", body=zlib.compress(bytes(2**20), 1)),
    "a large body": ask(body=bytes(2**17)),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_with_two_meanings_is_refused_and_nothing_reaches_the_server(wire, name):
    setup = await wire(max_request_bytes=2**16, patience=2.0)
    got = await exchange(setup.url, REFUSED[name])
    assert got[:5] == b"HTTP/"
    assert got[9:12] in (b"400", b"404", b"413", b"415", b"417", b"501", b"505")
    assert len(re.findall(rb"HTTP/1\.\d \d{3} ", got)) <= 1
    assert not setup.behind.targets
    assert not setup.behind.bytes_seen
    await _still_serves(setup)


async def _still_serves(setup):
    assert ANSWER in await exchange(setup.url, ask())
    assert setup.behind.targets[-1] == "POST /v1/chat/completions"
    assert setup.behind.bodies[-1] == ASK
    assert not setup.behind.errors


PLAIN = {
    "chunks": chunked(IN_CHUNKS, b"connection: close"),
    "chunk extensions": chunked(IN_CHUNKS.replace(b"\r\n", b";a=b\r\n", 1), b"connection: close"),
    "trailers": chunked(
        IN_CHUNKS[:-2] + b"x-evil: 1\r\n\r\n", b"connection: close", b"trailer: x-evil"
    ),
    "gzip": ask(b"content-encoding: gzip", body=gzip.compress(ASK)),
    "deflate": ask(b"content-encoding: Deflate", body=zlib.compress(ASK)),
    "underscores": ask(b"content_length: 3", b"transfer_encoding: chunked"),
    "another host": ask().replace(b"host: x", b"host: evil.example"),
    "a host with a user": ask().replace(b"host: x", b"host: a@169.254.169.254"),
    "an upgrade to HTTP/2": ask(
        b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__"
    ),
    "an upgrade to a socket": ask(b"connection: upgrade", b"upgrade: websocket"),
    "an override of the method": ask(b"x-http-method-override: DELETE", b"x-method-override: PUT"),
    "an override of the target": ask(b"x-original-url: /admin", b"X_Rewrite_Url: /admin"),
    "headers of one connection": ask(
        b"connection: x-evil", b"x-evil: 1", b"te: trailers", b"proxy-authorization: Basic eA=="
    ),
    "an expectation": ask(b"expect: 100-continue"),
    "empty lines before": b"\r\n\r\n" + ask(),
    "HTTP/1.0": ask().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a number sign": ask(path=PATH + b"#/embeddings"),
}
ARRIVES = {
    b"host",
    b"accept",
    b"user-agent",
    b"accept-encoding",
    b"content-type",
    b"content-length",
}


@pytest.mark.parametrize("name", PLAIN)
async def test_what_is_taken_arrives_as_one_plain_request(wire, name):
    setup = await wire()
    got = await exchange(setup.url, PLAIN[name])
    assert ANSWER in got
    behind = setup.behind
    assert behind.targets == ["POST /v1/chat/completions"]
    assert behind.bodies == [ASK]
    assert not behind.errors
    headers = dict(behind.headers[0])
    assert set(headers) <= ARRIVES
    assert headers[b"host"] == behind.url.removeprefix("http://").encode()
    assert headers[b"content-length"] == str(len(ASK)).encode()
    assert len(setup.record.verdicts) == 1  # judged as what it is
    await _still_serves(setup)


async def test_a_large_body_arrives_whole(wire):
    setup = await wire()
    body = ASK + b" " * 3_000_000
    assert ANSWER in await exchange(setup.url, ask(body=body))
    assert setup.behind.bodies == [body]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"POST", b"/v1/chat/completions%2Fembeddings"),
        (b"POST", b"/v1/Embeddings/x"),
        (b"POST", b"//v1//chat//completions//"),
        (b"POST", b"/V1/CHAT/COMPLETIONS"),
        (b"POST", b"/v1/chat/completions?x=/v1/embeddings"),
        (b"POST", b"/v1/chat/completions;/v1/embeddings;x"),
        (b"GET", b"/v1//responses//resp_1"),
        (b"GET", b"/v1/Responses/resp_1"),
        (b"GET", b"/v1/responses%2Fresp_1"),
        (b"DELETE", b"/v1/responses/resp_1"),
    ],
)
async def test_no_spelling_of_a_path_goes_past_the_judges(wire, method, path):
    setup = await wire()
    setup.behind.says = response(body=b'{"choices": [{"message": {"content": "BOMB"}}]}')
    got = await exchange(setup.url, ask(path=path, method=method))
    assert b"BOMB" not in got
    assert setup.record.verdicts


async def test_a_request_id_that_no_store_can_hold_is_replaced(wire):
    setup = await wire()
    for value in (b"\xff\xfe", "\u202ecafé".encode(), b"tab\there", b"fine-1"):
        assert ANSWER in await exchange(setup.url, ask(b"x-request-id: " + value))
    ids = [trace.trace_id for _, trace in setup.record.verdicts]
    assert ids[3] == "fine-1"
    assert all(name.isascii() and name.isprintable() and name for name in ids)
    assert len(set(ids)) == 4
