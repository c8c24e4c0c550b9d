"""Logs of every tool that we name are read: nothing the model said is lost, and nothing raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects.logs import FieldMap, MapError, read_logged
from monitor.types import Channel
from tests.unit.data_wire import BUILDERS, REPLY

USER = {"role": "user", "content": "Hi?"}
CHAT = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
REPLIED = {"id": "c", "model": "m", "choices": [{"index": 0, "message": CHAT}]}
SPOKEN = [("thinking", "Hm."), ("answer", "Yes.")]
PARTS = [
    {"type": "reasoning", "content": "Hm."},
    {"type": "text", "content": "Yes."},
]
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}]


def span(**attributes):
    listed = [
        {"key": k, "value": {"stringValue": v if isinstance(v, str) else json.dumps(v)}}
        for k, v in attributes.items()
    ]
    return {"traceId": "t", "spanId": "i", "name": "chat m", "attributes": listed}


def exported(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


GEN_AI = {
    "gen_ai.request.model": "m",
    "gen_ai.input.messages": ASKED,
    "gen_ai.output.messages": [{"role": "assistant", "parts": PARTS, "finish_reason": "stop"}],
}

#: Name, record, shape, id and model of the one trace in it. All say SPOKEN after "Hi?".
RECORDS = [
    ("ours", {"id": 7, "prompt": "Hi?", "thinking": "Hm.", "answer": "Yes.", "model": "m"}, "trace", "7", "m"),
    ("reasoning and answer", {"question": "Hi?", "reasoning": "Hm.", "answer": "Yes."}, "request and reply", None, ""),
    ("chat reply", {**REPLIED, "messages": [USER]}, "reply", "c", "m"),
    (
        "anthropic reply",
        {
            "id": "msg", "type": "message", "role": "assistant", "model": "m", "prompt": "Hi?",
            "content": [{"type": "thinking", "thinking": "Hm.", "signature": "QUJD"}, {"type": "text", "text": "Yes."}],
        },
        "reply", "msg", "m",
    ),
    (
        "litellm",
        {"id": "call", "trace_id": "many calls", "call_type": "acompletion", "model": "m", "messages": [USER], "response": REPLIED},
        "request and reply", "call", "m",
    ),
    ("litellm spend log", {"request_id": "call", "messages": [USER], "response": json.dumps(REPLIED)}, "request and reply", "call", "m"),
    (
        "vllm batch",
        {"id": "b", "custom_id": "q", "request": {"body": {"messages": [USER]}}, "response": {"status_code": 200, "body": REPLIED}},
        "request and reply", "b", "m",
    ),
    (
        "responses pair",
        {
            "request": {"input": "Hi?"},
            "response": {
                "object": "response", "model": "m",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "Yes."}]},
                ],
            },
        },
        "request and reply", None, "m",
    ),
    ("ollama", {"model": "m", "messages": [USER], "message": {"role": "assistant", "thinking": "Hm.", "content": "Yes."}}, "request and reply", None, "m"),
    (
        "langfuse generation",
        {"id": "o", "traceId": "t", "type": "GENERATION", "model": "m", "input": {"messages": [USER]}, "output": CHAT},
        "langfuse", "o", "m",
    ),
    (
        "langfuse trace with JSON in strings",
        {
            "id": "t", "sessionId": "s", "input": "Hi?", "output": "Yes.",
            "observations": [
                {"id": "o", "type": "GENERATION", "model": "m", "input": json.dumps([USER]), "output": json.dumps(CHAT)},
                {"id": "x", "type": "SPAN", "input": "Hi?", "output": "Yes."},
            ],
        },
        "langfuse", "o", "m",
    ),
    ("page of the Langfuse API", {"data": [{"id": "o", "traceId": "t", "type": "GENERATION", "model": "m", "input": [USER], "output": CHAT}], "meta": {}}, "page", "o", "m"),
    ("opentelemetry", exported(span(**GEN_AI), span(**{"db.system": "sqlite"})), "opentelemetry", "i", "m"),
    ("one span", {"name": "chat m", "context": {"span_id": "i"}, "attributes": GEN_AI}, "opentelemetry", "i", "m"),
    (
        "opentelemetry choice events",
        {
            "name": "chat m", "span_id": "i", "attributes": {"gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(ASKED)},
            "events": [{"name": "gen_ai.choice", "attributes": {"index": 0, "message": json.dumps(CHAT)}}],
        },
        "opentelemetry", "i", "m",
    ),
    (
        "numbered attributes",
        exported(
            span(**{
                "gen_ai.request.model": "m", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi?",
                "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "<think>Hm.</think>Yes.",
            })
        ),
        "opentelemetry", "i", "m",
    ),
    ("chat with tags", {"messages": [USER, {"role": "assistant", "content": "<think>Hm.</think>Yes."}], "model": "m"}, "conversation", None, "m"),
    ("sharegpt", {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "<think>Hm.</think>Yes."}]}, "conversation", None, ""),
    ("prompt and completion", {"prompt": "Hi?", "completion": "Hm.</think>Yes."}, "request and reply", None, ""),
]  # fmt: skip


def spoken(trace):
    return [(p.channel.value, p.text) for p in trace.parts]


@pytest.mark.parametrize("case", RECORDS, ids=[r[0] for r in RECORDS])
def test_a_record_of_a_known_shape_is_understood(case):
    _, record, shape, identity, model = case
    logged = read_logged(record)
    assert (logged.shape, logged.problems) == (shape, ())
    (trace,) = logged.traces
    assert spoken(trace) == SPOKEN
    assert trace.prompt == "Hi?"
    assert trace.model == model
    assert trace.trace_id == (identity or trace.trace_id)


@given(REPLY)
def test_a_logged_reply_says_what_it_said_alone(reply):
    name, *words = reply
    whole = json.loads(BUILDERS[name](*words)[1])
    alone, paired = read_logged(whole), read_logged({"messages": [USER], "response": whole})
    assert [t.parts for t in alone.traces] == [t.parts for t in paired.traces]
    assert alone.problems == paired.problems


def test_every_turn_of_a_conversation_is_judged_after_what_stood_before_it():
    calls = [{"function": {"name": "ls", "arguments": "{}"}}]
    turns = [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "<think>a</think>One."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "file.txt"},
        {"role": "assistant", "content": "Two."},
    ]
    first, second, third = read_logged({"id": "x", "messages": turns}).traces
    assert spoken(first) == [("thinking", "a"), ("answer", "One.")]
    assert first.prompt == "Be brief.\nHi?"
    assert second.text(Channel.TOOL_CALL) == "ls\n{}"
    assert third.prompt == "Be brief.\nAnd?\nfile.txt"
    assert len({t.trace_id for t in (first, second, third)}) == 3


def test_every_choice_and_every_span_is_a_trace():
    choices = [{"index": n, "message": {"content": f"{n}"}} for n in range(3)]
    found = read_logged({"id": "c", "response": {"choices": choices}}).traces
    assert [(t.trace_id, t.choice, t.answer) for t in found] == [
        ("c", 0, "0"), ("c.1", 1, "1"), ("c.2", 2, "2"),
    ]  # fmt: skip
    spans = [{**span(**GEN_AI), "spanId": str(n)} for n in range(4)]
    assert [t.trace_id for t in read_logged(exported(*spans)).traces] == ["0", "1", "2", "3"]


def test_a_part_that_nobody_knows_is_judged_as_answer():
    messages = [{"role": "assistant", "parts": [{"type": "novel", "words": "secret plan"}]}]
    (trace,) = read_logged(exported(span(**{"gen_ai.output.messages": messages}))).traces
    assert "secret plan" in trace.answer


def test_an_answer_that_is_json_stays_an_answer():
    (trace,) = read_logged({"prompt": "p", "response": '{"content": "x", "score": 3}'}).traces
    assert spoken(trace) == [("answer", '{"content": "x", "score": 3}')]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"foo": 1}, "--map"),
        ([1], "--map"),
        (5, "--map"),
        ({"response": None, "messages": [USER]}, "without text"),
        ({"thinking": 3}, "`thinking` is a string"),
        (exported(span(**{"gen_ai.request.model": "m"})), "content capture"),
    ],
)
def test_what_cannot_be_read_says_why(record, reason):
    logged = read_logged(record)
    assert logged.traces == ()
    assert reason in logged.problems[0]


@pytest.mark.parametrize(
    "record", [exported(span(**{"db.system": "x"})), {"id": "o", "traceId": "t", "type": "SPAN", "input": "a", "output": "b"}]
)  # fmt: skip
def test_records_of_other_things_are_passed_over(record):
    logged = read_logged(record)
    assert (logged.traces, logged.problems) == ((), ())
    assert logged.shape


def test_a_map_finds_fields_anywhere():
    record = {
        "a": {"b": [{"t": "Hm."}]},
        "out": '{"text": "Yes."}',
        "who": {"model": "m"},
        "q": "Hi?",
        "n": 5,
    }
    fields = ["thinking=a.b[0].t", "answer=out.text", "model=who.model", "prompt=q", "trace_id=n"]
    (trace,) = read_logged(record, FieldMap.parse(fields)).traces
    assert spoken(trace) == SPOKEN
    assert (trace.prompt, trace.model, trace.trace_id) == ("Hi?", "m", "5")
    (trace,) = read_logged({"log": [0, REPLIED]}, FieldMap.parse(["reply=log[-1]"])).traces
    assert spoken(trace) == SPOKEN


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["thinking"], "field=path"),
        (["thinking="], "field=path"),
        (["soul=a"], "fields are"),
        (["answer=a", "answer=b"], "twice"),
        (["model=a"], "at least one"),
    ],
)
def test_a_map_that_cannot_be_followed_is_refused(entries, said):
    with pytest.raises(MapError, match=said):
        FieldMap.parse(entries)


WORDS = ["messages", "role", "assistant", "content", "parts", "type", "thinking", "text", "output",
         "response", "choices", "message", "attributes", "gen_ai.output.messages", "observations",
         "input", "resourceSpans", "scopeSpans", "spans", "events", "data", "body", "from", "value",
         "conversations", "reasoning", "GENERATION", "traceId", "key", "stringValue", "[]", '{"role": 1}']  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_no_record_makes_it_raise(value):
    logged = read_logged(value)
    assert all(t.trace_id for t in logged.traces)
    read_logged(
        value, FieldMap.parse(["answer=messages[0].content", "reply=response", "request=input"])
    )
