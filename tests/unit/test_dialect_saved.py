"""What people have on disk is read, whatever of it: bad records are named, the rest goes on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects import BadRecord, BadTraceError, read_saved, trace_from_json, trace_to_json
from monitor.dialects.traces import parts_of
from monitor.types import Channel, Part, Trace, coalesce
from tests.unit.data_wire import BUILDERS, REPLY
from tests.unit.test_dialect_invariants import read as read_live

PARTS = st.lists(st.builds(Part, channel=st.sampled_from(Channel), text=st.text(max_size=20))).map(
    coalesce
)
NAMES = st.text(max_size=10)
TRACES = st.builds(
    Trace,
    trace_id=st.text(min_size=1, max_size=9),
    parts=PARTS,
    prompt=NAMES,
    model=NAMES,
    tenant=NAMES,
    conversation_id=NAMES,
    choice=st.integers(0, 9),
    problem=st.none() | NAMES,
)


def saved(data):
    return list(read_saved(data.encode() if isinstance(data, str) else data, source="file"))


def texts(trace):
    return [(p.channel.value, p.text) for p in trace.parts]


OURS = {
    "trace_id": "t1",
    "prompt": "p",
    "thinking": "I will lie",
    "answer": "Yes",
    "model": "m",
    "tenant": "a",
    "conversation_id": "c",
}


@given(TRACES)
def test_a_trace_survives_its_json(trace):
    assert trace_from_json(json.loads(json.dumps(trace_to_json(trace)))) == trace


def test_a_trace_is_read():
    (trace,) = saved(json.dumps(OURS))
    assert (trace.trace_id, trace.prompt, trace.model, trace.tenant, trace.conversation_id) == (
        "t1",
        "p",
        "m",
        "a",
        "c",
    )
    assert texts(trace) == [("thinking", "I will lie"), ("answer", "Yes")]


def test_tool_calls_of_a_trace_are_read():
    calls = [
        "ls",
        {"name": "rm", "arguments": "x"},
        {"function": {"name": "cp", "arguments": "y"}},
        {"a": 1},
    ]
    (trace,) = saved(
        json.dumps({"thinking": None, "answer": "<think>a</think>b", "tool_calls": calls})
    )
    assert texts(trace) == [
        ("thinking", "a"),
        ("answer", "b"),
        ("tool_call", 'ls\nrm\nx\ncp\ny\n{"a": 1}'),
    ]


@given(REPLY)
def test_a_saved_reply_or_stream_says_what_it_said_live(reply):
    name, *words = reply
    stream, whole = BUILDERS[name](*words)
    live = parts_of(d for f in read_live(name, stream) for d in f.deltas)
    for data in (stream, whole):
        found = [t for t in saved(data) if isinstance(t, Trace)]
        assert {t.choice: t.parts for t in found} == live
        assert all(t.model == "m" for t in found)


def test_a_reply_gives_a_trace_per_choice_each_with_its_own_id():
    choices = [{"index": n, "message": {"content": "same"}} for n in range(3)]
    for given_id in ({}, {"trace_id": "t"}):
        found = saved(json.dumps({"choices": choices, "prompt": "p", **given_id}))
        assert [t.choice for t in found] == [0, 1, 2]
        assert len({t.trace_id for t in found}) == 3
        assert {t.prompt for t in found} == {"p"}


def test_ids_come_from_the_content():
    one, two, other = saved(json.dumps([{"answer": "a"}, {"answer": "a"}, {"answer": "b"}]))
    assert one.trace_id == two.trace_id != other.trace_id
    assert len(one.trace_id) == 16


def test_a_file_of_lines_may_mix_every_kind_and_bad_lines_are_named():
    replies = [
        BUILDERS[n](["t"], ["a"], [])[1].decode()
        for n in ("chat", "completions", "messages", "responses")
    ]
    lines = [
        json.dumps(OURS),
        "{bad",
        *replies,
        "",
        "prose",
        '"<think>x</think>y"',
        "5",
        "{}",
        "[]",
        '{"thinking": 3}',
    ]
    found = saved("\n".join(lines))
    assert len([t for t in found if isinstance(t, Trace)]) == 6
    bad = {b.line: b.reason for b in found if isinstance(b, BadRecord)}
    assert sorted(bad) == [2, 8, 10, 11, 12, 13]
    assert "malformed JSON" in bad[2]
    assert "`thinking` is a string" in bad[13]
    assert all(b.source == "file" for b in found if isinstance(b, BadRecord))


def test_lines_that_are_not_utf8_are_named_and_the_rest_goes_on():
    found = saved(b'{"answer": "a"}\n{"answer": "\xff"}\n{"answer": "b"}')
    assert [isinstance(f, Trace) for f in found] == [True, False, True]
    assert found[1].line == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", [("answer", "Hello")]),
        ("<think>a</think>b", [("thinking", "a"), ("answer", "b")]),
        ("a</think>b", [("thinking", "a"), ("answer", "b")]),
        (
            "<thinking>a</thinking>b<think>c",
            [("thinking", "a"), ("answer", "b"), ("thinking", "c")],
        ),
        ("[Note] {x} is prose", [("answer", "[Note] {x} is prose")]),
        ("{x} is prose", [("answer", "{x} is prose")]),
        ("[1] is prose", [("answer", "[1] is prose")]),
        ("event: none of it", [("answer", "event: none of it")]),
        ("\ufeffHello", [("answer", "Hello")]),
        ("a\x00b", [("answer", "a\x00b")]),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
            [("thinking", "a"), ("answer", "b")],
        ),
    ],
)
def test_plain_text_is_an_answer_with_thinking_between_tags(text, expected):
    (trace,) = saved(text)
    assert texts(trace) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"answer": "a', "malformed JSON at line 1"),
        (b'{\n "answer": "a",\n}', "malformed JSON at line 3"),
        (b'{"answer": "a"', "malformed JSON"),
        (b'{"answer": NaN}', "number"),
        (b'{"answer": "a", "answer": "b"}', "repeated key"),
        (b'{"answer": ' + b"[" * 100_000, "nested"),
        (b'{"question": "a"}', "expected a trace"),
        (b'{"choices": []}', "without text"),
        (b"[]", "expected a trace"),
        (b'{"parts": [{"channel": "soul", "text": "a"}]}', "`channel`"),
        (b'{"parts": "a"}', "`parts`"),
        (b'{"answer": "a", "tool_calls": "b"}', "`tool_calls`"),
        (b'{"answer": "a", "choice": "b"}', "`choice`"),
        (b"data: [DONE]\n\n", "without text"),
    ],
)
def test_what_is_no_trace_is_said_in_one_record(data, reason):
    found = [b for b in saved(data) if isinstance(b, BadRecord)]
    assert len(found) == 1
    assert reason in found[0].reason
    assert found[0].line == 1


def test_a_saved_stream_that_was_cut_off_says_so():
    stream, _ = BUILDERS["chat"](["think"], ["answer"], [])
    (trace,) = saved(stream + b'data: {"cho')
    assert "malformed" in trace.problem


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=100).map(str.encode),
        st.lists(
            st.sampled_from(
                [
                    b'{"answer": "a"}',
                    b"[",
                    b"{",
                    b'"',
                    b"\n",
                    b"data: {}",
                    b"\xff",
                    b"null",
                    b"\r",
                    b'{"choices": [{}]}',
                    b'{"content": [{}]}',
                    b"[[]]",
                    b'{"output": [5]}',
                ]
            )
        ).map(b"".join),
    )
)
def test_no_bytes_make_it_raise(data):
    assert all(isinstance(f, Trace | BadRecord) for f in saved(data))


@pytest.mark.parametrize("value", [None, 5, "a", [], {}, {"thinking": 5}, {"answer": {"a": 1}}])
def test_what_is_no_trace_json_is_refused(value):
    with pytest.raises(BadTraceError):
        trace_from_json(value)
