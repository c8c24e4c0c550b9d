"""No text reaches a client unread: a canary in every place where text can stand is found once."""

import json

import pytest

from monitor.dialects import dialect_for
from monitor.dialects.rows import Kind
from monitor.dialects.table import (
    ANTHROPIC,
    ANTHROPIC_EVENTS,
    CHAT,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_EVENTS,
)
from monitor.dialects.traces import parts_of
from monitor.types import Channel
from tests.unit.data_wire import PATHS, event

CANARY = "canary in a coal mine"
TABLES = {"chat": CHAT, "completions": COMPLETIONS, "messages": ANTHROPIC, "responses": RESPONSES}
EVENTS = {"messages": ANTHROPIC_EVENTS, "responses": RESPONSES_EVENTS}
LEAVES = {
    Kind.ALL: {"type": "x", "anything": [CANARY]},
    Kind.LABELS: {"x": CANARY},
    Kind.TOKENS: {"content": [{"token": CANARY}]},
}


def standing_at(path, value):
    for token in reversed(path.replace("[", ".[").split(".")):
        if token == "[]":
            value = [value]
        elif token.startswith("["):
            value = [{**value, "type": token[1:-1]}]
        else:
            value = {token: value}
    return value


def merged(value, **more):
    return {**more, **value}


def read(name, payload, *, streaming):
    data = event(payload) if streaming else json.dumps(payload).encode()
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    frames = [*reader.feed(data), *reader.close()]
    assert b"".join(f.raw for f in frames) == data
    return frames


def times_found(frames):
    text = "\0".join(
        p.text for parts in parts_of(d for f in frames for d in f.deltas).values() for p in parts
    )
    return text.count("canary")


def rows(kinds):
    for name, table in TABLES.items():
        for row in table:
            if kinds(row):
                yield pytest.param(name, row, id=f"{name}-{row.path}")


def event_rows():
    for name, events in EVENTS.items():
        for kind, table in events.items():
            for row in table:
                if row.kind is not Kind.MOUNT:
                    yield pytest.param(name, kind, row, id=f"{name}-{kind}-{row.path}")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("name", "row"), list(rows(lambda r: r.kind is not Kind.REQUEST)))
def test_text_at_every_place_of_the_table_is_judged_once(name, row, streaming):
    payload = standing_at(row.path, LEAVES.get(row.kind, CANARY))
    if streaming and name == "chat":
        payload = json.loads(json.dumps(payload).replace('"message"', '"delta"'))
    if streaming and name == "responses":
        payload = {"type": "response.completed", "response": payload}
    if streaming and name == "messages":
        payload = {"type": "message_start", "message": payload}
    frames = read(name, payload, streaming=streaming)
    assert times_found(frames) == 1
    if row.kind in (Kind.TEXT, Kind.ECHO, Kind.JSON):
        assert {d.channel for f in frames for d in f.deltas} == {row.channel}


@pytest.mark.parametrize(("name", "kind", "row"), list(event_rows()))
def test_text_in_every_event_of_the_table_is_judged_once(name, kind, row):
    payload = merged(standing_at(row.path, LEAVES.get(row.kind, CANARY)), type=kind)
    assert times_found(read(name, payload, streaming=True)) == 1


UNKNOWN = {
    "chat": [
        "choices[].message.soul",
        "choices[].soul",
        "soul",
        "choices[].message.tool_calls[].soul.deep[]",
        "choices[].message.content[].soul.id",
        "choices[].message.soul.id",
        "choices[].logprobs.content[].soul",
        "choices[].logprobs.soul",
        "choices[].logprobs.content[].top_logprobs[].soul",
        "error.message",
        "error",
        "choices[].message.role",
        "id",
        "choices[].finish_reason",
        "usage.service_tier",
        "choices[].message[].content",
    ],
    "completions": [
        "choices[].soul",
        "choices[].logprobs.tokens[]",
        "choices[].logprobs.soul",
        "choices[].message.content",
        "error.code",
    ],
    "messages": [
        "content[soul].words",
        "content[text].soul",
        "soul",
        "content[tool_use].soul",
        "content[].content[].text",
        "error.message",
        "stop_reason",
    ],
    "responses": [
        "output[soul].words",
        "output[message].soul",
        "output[message].content[soul].text",
        "output[message].content[soul].soul",
        "soul",
        "output[reasoning].soul",
        "output[program].code",
        "output[web_search_call].action.query",
        "error.message",
    ],
}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("name", "path"), [(n, p) for n, paths in UNKNOWN.items() for p in paths])
def test_text_at_a_place_nobody_knows_is_judged(name, path, streaming):
    assert times_found(read(name, standing_at(path, CANARY), streaming=streaming)) == 1


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    "kind",
    [
        "ping",
        "response.new.delta",
        "content_block_delta",
        "response.output_text.delta",
        "error",
        5,
        ["x"],
    ],
)
def test_text_in_an_event_nobody_knows_is_judged(name, kind):
    for payload in (
        {"type": kind, "soul": CANARY},
        {"type": kind, "delta": {"soul": [CANARY]}},
        {"type": kind, "item": {"a": {"type": CANARY}}},
    ):
        assert times_found(read(name, payload, streaming=True)) == 1


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("streaming", [True, False])
def test_a_key_that_is_a_sentence_is_judged(name, streaming):
    assert times_found(read(name, {"soul": {CANARY: 1}}, streaming=streaming)) == 1


def test_a_key_that_stands_twice_hides_nothing():
    text = '{"choices": [{"delta": {"content": "canary one", "content": "canary two"}}]}'
    frames = (
        dialect_for("/chat/completions").reader(streaming=True).feed(f"data: {text}\n\n".encode())
    )
    assert times_found(frames) == 2
    assert "repeated" in frames[0].problem
    text = '{"choices": [{"logprobs": {"content": [{"token": "canary", "token": "a"}]}}]}'
    assert (
        times_found(
            dialect_for("/chat/completions")
            .reader(streaming=True)
            .feed(f"data: {text}\n\n".encode())
        )
        == 1
    )


LOGPROBS = [
    (
        {"content": [{"token": "All", "bytes": [65, 108, 108]}, {"token": " good", "bytes": None}]},
        0,
    ),
    ({"content": [{"token": "All"}, {"token": " canary"}]}, 1),
    ({"content": [{"token": "All good", "bytes": list(b"canary")}]}, 1),
    (
        {
            "content": [
                {"token": "\\x41\\x6c", "bytes": [0x41, 0x6C]},
                {"token": "l good", "bytes": None},
            ]
        },
        0,
    ),
    ({"content": [{"token": "bytes:\\x63", "bytes": list(b"canary")}]}, 1),
    (
        {
            "content": [
                {"token": "All good", "top_logprobs": [{"token": " fine"}, {"token": "Most"}]}
            ]
        },
        0,
    ),
    (
        {
            "content": [
                {
                    "token": "All good",
                    "top_logprobs": [{"token": "a " + CANARY + " here", "bytes": None}],
                }
            ]
        },
        1,
    ),
    (
        {
            "tokens": ["All", " good"],
            "token_logprobs": [0, 0],
            "top_logprobs": [{"All": 0}],
            "text_offset": [0],
        },
        0,
    ),
    ({"tokens": ["All", " canary"]}, 1),
    ({"tokens": ["All good"], "top_logprobs": [{CANARY: 0}]}, 1),
    ([{"token": "All good"}], 0),
    (CANARY, 1),
]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("logprobs", "times"), LOGPROBS)
def test_tokens_are_judged_only_where_they_say_something_else(logprobs, times, streaming):
    choice = {"delta" if streaming else "message": {"content": "All good"}, "logprobs": logprobs}
    frames = read("chat", {"choices": [choice]}, streaming=streaming)
    assert times_found(frames) == times
    assert len([d for f in frames for d in f.deltas]) == 1 + (times > 0)


def test_the_same_thinking_under_two_names_is_judged_once():
    delta = {
        "reasoning": CANARY,
        "reasoning_content": CANARY,
        "reasoning_details": [
            {"type": "reasoning.text", "text": CANARY, "index": 0, "format": "unknown"}
        ],
        "thinking_blocks": [{"type": "thinking", "thinking": CANARY, "signature": "abc="}],
    }
    assert times_found(read("chat", {"choices": [{"delta": delta}]}, streaming=True)) == 1
    assert times_found(read("chat", {"choices": [{"message": delta}]}, streaming=False)) == 1


def test_different_thinking_under_two_names_is_judged_twice():
    delta = {"reasoning": CANARY, "reasoning_content": CANARY + "s"}
    assert times_found(read("chat", {"choices": [{"delta": delta}]}, streaming=True)) == 2


@pytest.mark.parametrize("text", ["<canary>", " ", "\n\n", "</s>"])
def test_thinking_that_looks_like_noise_is_judged(text):
    (frame,) = read("chat", {"choices": [{"delta": {"reasoning_content": text}}]}, streaming=True)
    assert [d.text for d in frame.deltas] == [text]


def test_a_token_that_looks_like_a_tag_is_judged():
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "<canary>"}]}}
    assert times_found(read("chat", {"choices": [choice]}, streaming=True)) == 1


def test_every_choice_is_judged_apart():
    choices = [{"index": n, "delta": {"reasoning": "r", "content": CANARY}} for n in (0, 3, 1)]
    (frame,) = read("chat", {"choices": choices}, streaming=True)
    assert sorted(parts_of(frame.deltas)) == [0, 1, 3]
    assert times_found([frame]) == 3


def test_a_repeat_that_says_more_or_something_else_is_judged():
    at = {"output_index": 0, "content_index": 0}
    said = {"type": "response.output_text.delta", **at, "delta": "All good."}
    for more, expected in (
        ("All good.", "All good."),
        ("All good. No", "All good. No"),
        ("Bad.", "All good.Bad."),
    ):
        done = {"type": "response.output_text.done", **at, "text": more}
        reader = dialect_for("/responses").reader(streaming=True)
        frames = reader.feed(event(said) + event(done) + event(done))
        assert parts_of(d for f in frames for d in f.deltas)[0][0].text == expected


def test_thinking_between_tool_calls_keeps_its_place():
    kinds = ["thinking", "tool_use", "thinking", "text"]
    keys = {"thinking": "thinking", "tool_use": "input", "text": "text"}
    content = [{"type": k, keys[k]: f"say {n}"} for n, k in enumerate(kinds)]
    frames = read("messages", {"content": content}, streaming=False)
    (parts,) = parts_of(frames[0].deltas).values()
    assert [p.channel for p in parts] == [
        Channel.THINKING,
        Channel.TOOL_CALL,
        Channel.THINKING,
        Channel.ANSWER,
    ]


def test_what_is_structural_is_not_judged():
    usage = {"prompt_tokens": 1, "service_tier": "standard", "details": {"cached": 3}}
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "Qwen/Qwen3-8B",
        "provider": "Amazon Bedrock",
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "choices": [choice],
        "usage": usage,
    }
    (frame,) = read("chat", chunk, streaming=True)
    assert frame.deltas == ()
    assert frame.problem is None


def test_what_is_encrypted_is_not_judged_but_plain_text_in_its_place_is():
    opaque = {
        "type": "redacted_thinking",
        "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpPkNRj2YfWXGmKDxH4mPnZ5sQ7vB9URj2pLmN3kF8/dW5hR7xJ0aP1oLs9yTcMnVKf2wRpEGH9XZaBD4zM=",
    }
    (frame,) = read("messages", {"content": [opaque]}, streaming=False)
    assert frame.deltas == ()
    assert (
        times_found(read("messages", {"content": [{**opaque, "data": CANARY}]}, streaming=False))
        == 1
    )


def test_the_clients_own_request_is_the_only_text_that_is_let_through():
    keys = {r.path for t in TABLES.values() for r in t if r.kind is Kind.REQUEST}
    given_ = {"input_transformations", "instructions", "metadata", "prompt", "text.format", "tools"}
    assert keys == given_
