"""No text that the policy blocks reaches a client, however it is cut, spelt or misplaced."""

import json

import pytest

from monitor.types import Mode
from tests.integration.data_places import LAST, ORDINARY, PATHS, event
from tests.integration.test_leaks import CANARY, GATING, blocked

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOMB = CANARY.encode()
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}


def chat(text, index=0, *, ascii_only=True, **more):
    choice = {"index": index, "delta": {"content": text}, **more}
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=ascii_only)}\n\n".encode()


def said(dialect, text):
    """One streamed event of `dialect` that says `text`."""
    ordinary = ORDINARY[dialect]
    return event(json.loads(json.dumps(ordinary).replace(_ordinary(ordinary), text)))


def _ordinary(payload):
    return next(s for s in _strings(payload) if "ordinary" in s)


def _strings(value):
    if isinstance(value, str):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _strings(inner)


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


ACCENTS = chat("é" * 40 + CANARY, ascii_only=False)
ESCAPES = [chat(text) for text in ("fine \ud83d", "\ude00 " + CANARY)]
LINES = json.dumps({"choices": [{"delta": {"content": CANARY}}]}, indent=1)
TWICE = '{"choices": [{"delta": {"content": "' + CANARY + '", "content": "fine"}}]}'
DONE = event("[DONE]")

STREAMS = {
    "bytes-one-by-one": cut(chat(CANARY), 1),
    "bytes-by-seven": cut(chat(CANARY), 7),
    "split-utf-8-character": cut(ACCENTS, 61),
    "split-surrogate-escape": [*ESCAPES, DONE],
    "escaped-letters": [b'data: {"choices":[{"delta":{"content":"\\u0042OMB \\u0063anary"}}]}\n\n'],
    "text-letter-by-letter": [*map(chat, CANARY), DONE],
    "text-word-by-word": [*(chat(word + " ") for word in CANARY.split()), DONE],
    "second-choice": [chat("Fine."), chat(CANARY, 1), DONE],
    "two-choices-mixed": [e for c in CANARY for e in (chat("a", 0), chat(c, 1))],
    "several-data-lines": ["".join(f"data: {x}\n" for x in LINES.split("\n")).encode() + b"\n"],
    "carriage-returns": [chat(CANARY).replace(b"\n", b"\r")],
    "no-empty-line-at-the-end": [chat("Fine."), chat(CANARY).rstrip()],
    "no-done": [chat(CANARY)],
    "event-after-finish-reason": [chat("Fine."), event(FINISH), chat(CANARY), DONE],
    "with-finish-reason": [chat(CANARY, finish_reason="stop"), DONE],
    "event-after-done": [chat("Fine."), DONE, chat(CANARY)],
    "bytes-after-done": [chat("Fine."), DONE, BOMB],
    "in-the-event-of-done": [chat("Fine."), b"data: [DONE]\ndata: " + BOMB + b"\n\n"],
    "twice-done": [chat("Fine."), DONE, DONE, chat(CANARY), DONE],
    "no-json": [chat("Fine."), b"data: " + BOMB + b"\n\n"],
    "cut-json": [chat("Fine."), b'data: {"choices":[{"delta":{"content":"' + BOMB + b"\n\n"],
    "a-json-string": [event(json.dumps(CANARY)), DONE],
    "a-json-list": [event(json.dumps([CANARY])), DONE],
    "comment": [chat("Fine."), b": " + BOMB + b"\n\n", DONE],
    "long-comment": [chat("Fine."), b": " + BOMB * 40 + b"\n\n", DONE],
    "event-name": [b"event: " + BOMB + b"\n" + chat("Fine."), DONE],
    "event-id": [b"id: " + BOMB + b"\n" + chat("Fine."), DONE],
    "field-nobody-knows": [b"soul: " + BOMB + b"\n" + chat("Fine."), DONE],
    "line-without-a-colon": [BOMB + b"\n" + chat("Fine."), DONE],
    "key-that-is-a-sentence": [event({"soul": {CANARY: 1}}), DONE],
    "key-that-stands-twice": [event(TWICE), DONE],
    "unknown-field": [event({"choices": [{"delta": {"soul": {"of": [CANARY]}}}]}), DONE],
    "unknown-event": [event({"type": "soul.delta", "delta": CANARY}), DONE],
    "harmony-header": [*map(chat, ("<|channel|>", CANARY, "<|message|>", "Fine.")), DONE],
    "after-a-cut-tag": [*map(chat, ("Fine. <thi", "nk", "> " + CANARY)), DONE],
    "byte-order-mark": [b"\xef\xbb\xbf" + chat(CANARY), DONE],
    "utf-16": [chat(CANARY).decode().encode("utf-16"), DONE],
}  # fmt: skip
OTHERS = {
    "responses-after-completed": (
        "responses", [event(LAST["responses"]), said("responses", CANARY)],
    ),
    "responses-letter-by-letter": ("responses", [said("responses", c) for c in CANARY]),
    "messages-after-stop": ("messages", [event(LAST["messages"]), said("messages", CANARY)]),
    "messages-after-stop-reason": ("messages", [event(STOP), said("messages", CANARY)]),
    "messages-letter-by-letter": ("messages", [said("messages", c) for c in CANARY]),
    "completions-second-choice": (
        "completions", [event({"choices": [{"index": 1, "text": c}]}) for c in CANARY],
    ),
}  # fmt: skip
EDGES = {**{name: ("chat", chunks) for name, chunks in STREAMS.items()}, **OTHERS}


@pytest.mark.parametrize("mode", GATING)
@pytest.mark.parametrize("name", EDGES)
async def test_no_edge_of_a_stream_leaks(gating, name, mode):
    dialect, chunks = EDGES[name]
    gating[mode].upstream.streams(event(ORDINARY[dialect]), *chunks)
    await blocked(gating[mode], dialect)


MESSAGE = {"choices": [{"index": 0, "message": {"content": "Fine."}}]}
BODIES = {
    "plain-text": BOMB,
    "cut-json": json.dumps({"choices": [{"message": {"content": CANARY}}]}).encode()[:-3],
    "two-json-values": json.dumps(MESSAGE).encode() + json.dumps([CANARY]).encode(),
    "a-json-string": json.dumps(CANARY).encode(),
    "invalid-utf-8": b'{"choices":[{"message":{"content":"\xff' + BOMB + b'"}}]}',
    "utf-16": json.dumps({"choices": [{"message": {"content": CANARY}}]}).encode("utf-16"),
    "a-stream-without-its-content-type": chat(CANARY) + DONE,
    "unknown-field": json.dumps({**MESSAGE, "soul": {"of": [CANARY]}}).encode(),
    "second-choice": json.dumps({"choices": [*MESSAGE["choices"],
                                             {"index": 1, "message": {"content": CANARY}}]}).encode(),
    "lone-surrogate": json.dumps({"choices": [{"message": {"content": "\ud83d" + CANARY}}]}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("mode", GATING)
@pytest.mark.parametrize("name", BODIES)
async def test_no_edge_of_a_whole_response_leaks(gating, name, mode):
    gating[mode].upstream.replies(BODIES[name])
    await blocked(gating[mode], "chat")


ERRORS = {
    "failed-generation": {"error": {"message": "No tool.", "failed_generation": CANARY}},
    "message": {"error": {"message": f"Failed to parse input at pos 0: {CANARY}"}},
    "detail": {"detail": [{"msg": CANARY}]},
}


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("name", ERRORS)
async def test_a_server_that_quotes_the_model_in_an_error_does_not_leak(gating, name, status):
    gating[Mode.HOLD].upstream.replies(json.dumps(ERRORS[name]).encode(), status=status)
    got, body, _ = await gating[Mode.HOLD].post({}, PATHS["chat"])
    assert got == status
    assert b"canary" not in body
    assert json.loads(body)["error"]["message"]


ROUTES = ["/generate", "/completion", "/api/chat", "/v1/chat/completions/x/y", "/invocations"]
ANSWERS = {
    "json": (json.dumps({"generated_text": CANARY}).encode(), "application/json"),
    "lines": (json.dumps({"response": CANARY}).encode() + b"\n", "application/x-ndjson"),
    "text": (BOMB, "text/plain"),
    "stream": (event({"token": {"text": CANARY}}), "text/event-stream"),
    "bytes": (BOMB, "application/octet-stream"),
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", ANSWERS)
async def test_a_route_that_nobody_knows_does_not_leak(gating, path, name):
    body, kind = ANSWERS[name]
    gating[Mode.HOLD].upstream.replies(body, content_type=kind)
    status, body, _ = await gating[Mode.HOLD].post({}, path)
    assert b"canary" not in body
    assert status == 403


STORED = [
    "/v1/files/f/content",
    "/v1/messages/batches/b/results",
    "/v1/responses/r/input_items",
    "/v1/conversations/c/items/i",
    "/v1/responses/r",
    "/v1/chat/completions/c",
]


@pytest.mark.parametrize("path", STORED)
async def test_what_the_server_has_stored_does_not_leak(gating, path):
    setup = gating[Mode.HOLD]
    setup.upstream.replies(json.dumps({"response": CANARY}).encode() + b"\n")
    async with setup.client.get(setup.url + path) as reply:
        assert b"canary" not in await reply.read()


async def test_routes_without_text_of_a_model_pass_untouched(gating):
    setup = gating[Mode.HOLD]
    setup.record.verdicts.clear()
    for path in ("/v1/embeddings", "/tokenize", "/v1/messages/count_tokens"):
        setup.upstream.replies(b"[1, 2]")
        assert (await setup.post({}, path))[1] == b"[1, 2]"
    setup.upstream.replies(b"fine", content_type="text/plain")
    assert (await setup.post({}, "/v1/load_lora_adapter"))[1] == b"fine"
    assert [t.answer for _, t in setup.record.verdicts] == ["fine"]


@pytest.mark.parametrize(
    "said", [b": keep-alive", b": ping - 2026-01-01 00:00:00.1+00:00", b"id: 7"]
)
async def test_signs_of_life_are_not_judged(gating, said):
    chunks = [said + b"\n\n", chat("Fine."), DONE]
    gating[Mode.HOLD].upstream.streams(*chunks)
    gating[Mode.HOLD].record.verdicts.clear()
    _, body, _ = await gating[Mode.HOLD].post({}, PATHS["chat"])
    assert body == b"".join(chunks)
    assert gating[Mode.HOLD].record.verdicts[0][1].answer == "Fine."
