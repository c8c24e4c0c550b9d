"""A refused response ends in its protocol's own words; the real clients read it."""

import json

import anthropic
import openai
import pytest
from anthropic.types import Message
from openai import _base_client
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from monitor.dialects import Refusal, dialect_for
from tests.unit.data_wire import BUILDERS, PATHS, event

#: The HTTP library that the installed clients use.
httpx = getattr(_base_client, "httpx2", None) or _base_client.httpx
REFUSAL = Refusal(text="Withheld.", subtext={"verdict_id": "v1", "decision": "block"})
WORDS = (["I will ", "hide it"], ["All ", "good"], [{"a": "b"}])


def stopped_after(name, count):
    """What a client receives when `count` frames were released before the refusal."""
    reader = dialect_for(PATHS[name]).reader(streaming=True)
    stream, _ = BUILDERS[name](*WORDS)
    frames = reader.feed(stream)
    for frame in frames[:count]:
        reader.released(frame)
    return b"".join(f.raw for f in frames[:count]) + reader.refuse(REFUSAL), len(frames)


def whole(name):
    reader = dialect_for(PATHS[name]).reader(streaming=False)
    reader.feed(BUILDERS[name](*WORDS)[1])
    reader.close()
    return reader.refuse(REFUSAL)


def transport(body, kind):
    return httpx.MockTransport(
        lambda _: httpx.Response(200, content=body, headers={"content-type": kind})
    )


def openai_client(body, kind="text/event-stream"):
    return openai.OpenAI(
        api_key="k",
        base_url="http://x/v1",
        http_client=httpx.Client(transport=transport(body, kind)),
    )


def anthropic_client(body, kind="text/event-stream"):
    return anthropic.Anthropic(
        api_key="k", base_url="http://x", http_client=httpx.Client(transport=transport(body, kind))
    )


COUNTS = range(12)


@pytest.mark.parametrize("count", COUNTS)
def test_openai_reads_a_refused_chat_stream(count):
    body, _ = stopped_after("chat", count)
    with openai_client(body) as client:
        chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].choices[0].delta.content == "Withheld."
    assert chunks[-1].subtext == {"verdict_id": "v1", "decision": "block"}
    assert {(c.id, c.model, c.created) for c in chunks} == {("c1", "m", 7)}
    assert [c.choices[0].delta.role for c in chunks].count("assistant") == 1
    assert body.endswith(b"data: [DONE]\n\n")
    ChatCompletionChunk.model_validate(chunks[-1].model_dump(), strict=True)


@pytest.mark.parametrize("count", range(3))
def test_openai_reads_a_refused_completion_stream(count):
    body, _ = stopped_after("completions", count)
    with openai_client(body) as client:
        chunks = list(client.completions.create(model="m", prompt="", stream=True))
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].choices[0].text == "Withheld."
    assert chunks[-1].subtext["verdict_id"] == "v1"


@pytest.mark.parametrize("count", range(20))
def test_openai_accumulates_a_refused_response_stream(count):
    body, _ = stopped_after("responses", count)
    with openai_client(body) as client, client.responses.stream(model="m", input="") as stream:
        events = list(stream)
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "content_filter"
    assert last.response.output_text == "Withheld."
    assert last.response.subtext["decision"] == "block"
    numbers = [e.sequence_number for e in events]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("count", range(20))
def test_anthropic_accumulates_a_refused_message_stream(count):
    body, _ = stopped_after("messages", count)
    with anthropic_client(body) as client:
        call = client.messages.stream(model="m", messages=[], max_tokens=1)
        with call as stream:
            events = [e for e in stream if e.type.startswith(("message", "content_block_st"))]
            message = stream.get_final_message()
    assert message.stop_reason == "refusal"
    assert message.content[-1].text == "Withheld."
    deltas = [e for e in events if e.type == "message_delta"]
    assert deltas[-1].subtext["verdict_id"] == "v1"
    kinds = [e.type for e in events if e.type.startswith("content_block")]
    assert kinds == ["content_block_start", "content_block_stop"] * (len(kinds) // 2)


@pytest.mark.parametrize(
    ("name", "model", "ending"),
    [
        ("chat", ChatCompletion, lambda r: r.choices[0].finish_reason),
        ("completions", Completion, lambda r: r.choices[0].finish_reason),
        ("responses", Response, lambda r: r.incomplete_details.reason),
        ("messages", Message, lambda r: r.stop_reason),
    ],
)
def test_a_refused_whole_reply_is_one_that_the_published_types_allow(name, model, ending):
    reply = model.model_validate_json(whole(name), strict=True)
    assert ending(reply) == ("refusal" if name == "messages" else "content_filter")
    assert json.loads(whole(name))["subtext"]["decision"] == "block"
    assert b"Withheld." in whole(name)
    assert b"hide" not in whole(name)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_nothing_follows_the_last_word(name, streaming):
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    for frame in [*reader.feed(BUILDERS[name](*WORDS)[not streaming]), *reader.close()]:
        assert reader.refuse(REFUSAL)
        reader.released(frame)
    assert reader.refuse(REFUSAL) == b""


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_a_response_of_which_nothing_was_read_can_be_refused(name, streaming):
    refused = dialect_for(PATHS[name]).reader(streaming=streaming).refuse(REFUSAL)
    assert b"Withheld." in refused


def test_every_open_choice_is_ended_and_no_other():
    reader = dialect_for("/chat/completions").reader(streaming=True)
    choices = [{"index": n, "delta": {"content": "x"}} for n in (0, 1, 2)]
    ended = [{"index": 1, "delta": {}, "finish_reason": "stop"}]
    for frame in reader.feed(event({"choices": choices}) + event({"choices": ended})):
        reader.released(frame)
    chunks = [json.loads(line[6:]) for line in reader.refuse(REFUSAL).split(b"\n\n")[:-2]]
    assert [c["choices"][0]["index"] for c in chunks] == [0, 2]
