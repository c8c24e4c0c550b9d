"""An event like the one before is not parsed again, and is read as if it were."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.dialects import Refusal, dialect_for, reading
from monitor.dialects.rows import Kind
from monitor.dialects.table import ANTHROPIC_EVENTS, CHAT, COMPLETIONS, RESPONSES_EVENTS
from tests.unit.data_wire import BUILDERS, PATHS, event

#: A comment: what comes after it is like no event before.
PAUSE = b": \n\n"
TEXT = "TEXT"
TOKEN = {"token": TEXT, "logprob": -1, "bytes": [84], "top_logprobs": []}


def _chat(choice, **more):
    return {"id": "i", "model": "m", "choices": [{"index": 0, **choice}], **more}


#: Events in which `TEXT` stands where a model writes, and where it should not.
PAYLOADS = {
    "chat": [
        _chat({"delta": {"content": TEXT}}),
        _chat({"delta": {"content": TEXT}}, usage={"completion_tokens": 5}),
        _chat({"delta": {"content": TEXT}, "finish_reason": "stop"}),
        _chat({"delta": {"reasoning_content": TEXT}}),
        _chat({"delta": {"reasoning": TEXT, "reasoning_content": TEXT}}),
        _chat({"delta": {"reasoning": "abc", "reasoning_content": TEXT}}),
        _chat({"delta": {"content": TEXT}, "logprobs": {"content": [TOKEN]}}),
        _chat({"delta": {"content": TEXT}, "logprobs": {"content": [{**TOKEN, "token": "abc"}]}}),
        _chat({"delta": {"content": TEXT}, "index": 1}),
        _chat({"delta": {"content": TEXT, "tool_calls": [{"index": 0, "id": "abc"}]}}),
        _chat({"delta": {"tool_calls": [{"index": 0, "function": {"arguments": TEXT}}]}}),
        _chat({"delta": {"tool_calls": [{"index": 0, "function": {"name": TEXT}}]}}),
        _chat({"message": {"content": TEXT}}),
        _chat({"delta": {"content": [{"type": "text", "text": TEXT}]}}),
        _chat({"delta": {"content": [{"type": TEXT, "text": "abc"}]}}),
        _chat({"delta": {"role": TEXT}}),
        _chat({"delta": {"content": TEXT, "stranger": "abc"}}),
        _chat({"delta": {"content": "abc", TEXT: 1}}),
        {**_chat({"delta": {"content": "abc"}}), "id": TEXT},
    ],
    "responses": [
        {"type": "response.output_text.delta", "delta": TEXT, "output_index": 0},
        {"type": "response.output_text.delta", "delta": TEXT, "output_index": 1},
        {"type": "response.output_text.done", "text": TEXT, "output_index": 0},
        {"type": "response.reasoning_text.delta", "delta": TEXT},
        {"type": "response.reasoning_text.delta", "delta": "abc", "item_id": TEXT},
    ],
    "messages": [
        {"type": "content_block_delta", "index": 0, "delta": {"thinking": TEXT}},
        {"type": "content_block_delta", "index": 1, "delta": {"text": TEXT}},
        {"type": "content_block_delta", "index": 1, "delta": {"partial_json": TEXT}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "text", "text": TEXT},
        },
    ],
}
TEXTS = st.sampled_from(
    [
        *("abc", "a", "m", "i", "id", ", ", ": ", "content", "delta", "two words", "é", "😀"),
        *("\ud83d", "<think>", "</think>", "<th", "ink>", '"', "\\", "\n", "", "[DONE]", "0"),
        *("\ufeff", "\x7f"),
    ]
) | st.text(max_size=4)
#: What may happen to an event on its way: the bytes of `Z` are not always text.
BYTES = st.sampled_from([b"Z", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\n", b"\x00", b'Z","x":"Z'])


@st.composite
def alike(draw):
    """A dialect, and raw events of which neighbours are often alike."""
    name, events = draw(st.sampled_from(sorted(PAYLOADS))), []
    head = draw(st.sampled_from([b"", b"event: chunk\n", b"event: this is more than a label\n"]))
    for payload in draw(st.lists(st.sampled_from(PAYLOADS[name]), min_size=1, max_size=3)):
        plain, escaped = json.dumps(payload), draw(st.booleans())
        for text in draw(st.lists(TEXTS | st.just("aZc"), min_size=1, max_size=4)):
            said = plain.replace('"TEXT"', json.dumps(text, ensure_ascii=escaped))
            raw = b"%bdata: %b\n\n" % (head, said.encode("utf-8", "surrogatepass"))
            events.append(raw.replace(b"Z", draw(BYTES)))
    return name, [draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + events[0], *events[1:]]


def read(name, data):
    """What is found in a stream, and what a refusal after it says."""
    reader = dialect_for(PATHS[name]).reader(streaming=True)
    frames = [*reader.feed(data), *reader.close()]
    for frame in frames:
        reader.released(frame)
    found = [(f.deltas, f.problem, f.final) for f in frames if f.raw != PAUSE]
    refusal = reader.refuse(Refusal(text="no", subtext={}))
    return found, refusal, reader.disclosure, reader.model, b"".join(f.raw for f in frames)


@given(alike())
@example(("chat", [event(PAYLOADS["chat"][0]).replace(b"TEXT", b) for b in (b"a", b"b", b"c")]))
def test_what_is_read_is_what_is_read_when_every_event_is_parsed(found):
    name, events = found
    *quick, raw = read(name, b"".join(events))
    *parsed, _ = read(name, PAUSE.join(events))
    assert quick == parsed
    assert raw == b"".join(events)


@pytest.mark.parametrize("name", ["chat", "messages"])
def test_a_run_of_events_is_parsed_once(name, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        reading, "parse", lambda text, do=reading.parse: parsed.append(1) or do(text)
    )
    few, many = (BUILDERS[name](["think "] * n, ["say "] * n, [])[0] for n in (5, 50))
    counts = []
    for stream in (few, many):
        parsed.clear()
        read(name, stream)
        counts.append(len(parsed))
    assert counts[0] == counts[1]


def test_nothing_but_its_text_is_read_from_where_text_stands():
    """Else the text of an event could say something that likeness does not hear."""
    rows = [
        *CHAT,
        *COMPLETIONS,
        *(
            row
            for events in (RESPONSES_EVENTS, ANTHROPIC_EVENTS)
            for some in events.values()
            for row in some
        ),
    ]
    keys = {row.path.split(".")[-1] for row in rows if row.kind in (Kind.TEXT, Kind.INLINE)}
    assert keys.isdisjoint(
        {
            "id",
            "model",
            "type",
            "index",
            "object",
            "usage",
            "finish_reason",
            "created",
            "created_at",
            "system_fingerprint",
        }
    )
