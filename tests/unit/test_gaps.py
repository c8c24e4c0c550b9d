"""What of a response could not be seen is noticed; what is summarised counts as seen."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects import dialect_for, read_saved, trace_from_json, trace_to_json
from monitor.gaps import MEANING, NO_THOUGHT, gaps
from monitor.types import Disclosure, Gap, Trace, Usage
from tests.support import trace
from tests.unit.data_wire import PATHS, anthropic_events, event, pieces


def chat(usage=None, **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": "It is 391.", **message}}
    return {"id": "c", "model": "m", "choices": [choice], "usage": usage}


def hidden(tokens=128, outer="completion_tokens_details", inner="reasoning_tokens"):
    return {"completion_tokens": 140, outer: {inner: tokens}}


def message(*blocks, **usage):
    text = {"type": "text", "text": "It is 391."}
    return {"type": "message", "content": [*blocks, text], "usage": {"output_tokens": 9, **usage}}


def response(*items, tokens=128):
    said = {"type": "message", "content": [{"type": "output_text", "text": "It is 391."}]}
    usage = {"output_tokens": 140, "output_tokens_details": {"reasoning_tokens": tokens}}
    return {"object": "response", "output": [*items, said], "usage": usage}


def thinking(text, signature="c2ln"):
    return {"type": "thinking", "thinking": text, "signature": signature}


REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
SUMMARY = {"type": "summary_text", "text": "I multiplied."}
ENCRYPTED = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABo"}
SUMMARISED = {**ENCRYPTED, "summary": [SUMMARY]}
SEALED_DETAIL = {"type": "reasoning.encrypted", "data": "gAAAAABo"}

CASES = {
    "no-thinking-and-no-report": (chat(), ()),
    "no-tokens-of-thinking": (chat(hidden(0)), ()),
    "the-empty-tags-alone": (chat(hidden(NO_THOUGHT)), ()),
    "openai": (chat(hidden()), (Gap.HIDDEN_THINKING,)),
    "sglang": (chat({"reasoning_tokens": 128}), (Gap.HIDDEN_THINKING,)),
    "groq": ({**chat(), "x_groq": {"usage": hidden()}}, (Gap.HIDDEN_THINKING,)),
    "white-space-is-no-thinking": (chat(hidden(), reasoning=" \n"), (Gap.HIDDEN_THINKING,)),
    "shown": (chat(hidden(), reasoning="17 times 23."), ()),
    "shown-under-the-older-name": (chat(hidden(), reasoning_content="17 times 23."), ()),
    "shown-between-tags": (chat(hidden(), content="<think>So.</think>It is 391."), ()),
    "openrouter-encrypted": (
        chat(hidden(), reasoning_details=[SEALED_DETAIL]),
        (Gap.SEALED_THINKING,),
    ),
    "openrouter-summarised": (
        chat(
            hidden(),
            reasoning="I multiplied.",
            reasoning_details=[
                {"type": "reasoning.summary", "summary": "I multiplied."},
                SEALED_DETAIL,
            ],
        ),
        (),
    ),
    "the-template-opened-it": (
        chat(hidden(), content="17 times 23.</think>It is 391."),
        (Gap.MISPLACED_THINKING,),
    ),
    "responses": (response(), (Gap.HIDDEN_THINKING,)),
    "responses-encrypted": (response(ENCRYPTED), (Gap.SEALED_THINKING,)),
    "responses-summarised": (response(SUMMARISED), ()),
    "responses-one-of-two-summarised": (response(ENCRYPTED, SUMMARISED), ()),
    "responses-without-thinking": (response(tokens=0), ()),
    "anthropic": (message(thinking("17 times 23.")), ()),
    "anthropic-left-out": (message(thinking("")), (Gap.SEALED_THINKING,)),
    "anthropic-redacted": (message(REDACTED), (Gap.SEALED_THINKING,)),
    "anthropic-redacted-beside-more": (
        message(thinking("17 times 23."), REDACTED),
        (Gap.SEALED_THINKING,),
    ),
    "anthropic-billed": (
        message(output_tokens_details={"thinking_tokens": 128}),
        (Gap.HIDDEN_THINKING,),
    ),
    "litellm-redacted": (
        chat(reasoning_content="So.", thinking_blocks=[REDACTED]),
        (Gap.SEALED_THINKING,),
    ),
    "a-number-where-text-belongs": (chat(reasoning=391), (Gap.UNKNOWN_SHAPE,)),
    "an-object-where-text-belongs": (chat(reasoning={"v": "17"}), (Gap.UNKNOWN_SHAPE,)),
    "counts-that-are-none": (chat({"reasoning_tokens": "128", "completion_tokens": -1}), ()),
    "a-count-beyond-belief": (chat({"reasoning_tokens": 10**30}), ()),
    "true-is-no-count": (chat({"reasoning_tokens": True}), ()),
}


def only(value) -> Trace:
    (found,) = read_saved(json.dumps(value).encode(), source="x")
    assert isinstance(found, Trace), found
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_a_reply_does_not_show_is_noticed(name):
    reply, expected = CASES[name]
    assert gaps(only(reply)) == expected


def test_every_gap_is_met_and_explained():
    assert {gap for _, found in CASES.values() for gap in found} == set(Gap) == set(MEANING)


CHUNK = {"id": "c", "model": "m", "object": "chat.completion.chunk"}
USAGE_LAST = b"".join(
    [
        event({**CHUNK, "choices": [{"index": 0, "delta": {"content": "It is 391."}}]}),
        event({**CHUNK, "choices": [], "usage": hidden()}),
        event("[DONE]"),
    ]
)
LEFT_OUT = anthropic_events(
    [
        {"type": "message_start", "message": {**message(), "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": thinking("", "")},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "signature_delta", "signature": "c2ln"},
        },
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "text", "text": "391"},
        },
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 140}},
        {"type": "message_stop"},
    ]
)
ITEM_DONE = anthropic_events(
    [
        {"type": "response.created", "response": {**response(), "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": ENCRYPTED},
        {"type": "response.output_item.done", "output_index": 0, "item": ENCRYPTED},
        {"type": "response.completed", "response": response(ENCRYPTED)},
    ]
)
STREAMS = {
    "chat": (USAGE_LAST, Gap.HIDDEN_THINKING, 128),
    "messages": (LEFT_OUT, Gap.SEALED_THINKING, None),
    "responses": (ITEM_DONE, Gap.SEALED_THINKING, 128),
}


@pytest.mark.parametrize("name", STREAMS)
@given(cuts=st.lists(st.integers(0, 5000), max_size=6))
def test_a_stream_is_read_the_same_however_it_is_cut(name, cuts):
    stream, gap, tokens = STREAMS[name]
    reader = dialect_for(PATHS[name]).reader(streaming=True)
    for piece in pieces(stream, cuts):
        reader.feed(piece)
    reader.close()
    told = reader.disclosure
    assert gaps(trace(answer="It is 391.", disclosure=told)) == (gap,)
    assert told.usage == Usage(output_tokens=140, reasoning_tokens=tokens)


BILLED = Disclosure(usage=Usage(reasoning_tokens=128))


def test_of_a_response_that_was_not_read_to_its_end_nothing_is_missing_for_sure():
    for told in (BILLED, Disclosure(sealed=True)):
        assert gaps(trace(answer="So.", disclosure=told))
        assert gaps(trace(answer="So.", disclosure=replace(told, complete=False))) == ()
    redacted = Disclosure(redacted=True, complete=False)
    assert gaps(trace(answer="So.", disclosure=redacted)) == (Gap.SEALED_THINKING,)


def test_thinking_of_another_choice_counts_because_tokens_are_counted_together():
    two = chat(hidden(), reasoning="17 times 23.")
    two["choices"].append({"index": 1, "message": {"content": "391"}})
    first, second = read_saved(json.dumps(two).encode(), source="x")
    assert gaps(first) == gaps(second) == ()


def test_a_trace_keeps_what_its_response_told():
    told = Disclosure(usage=Usage(output_tokens=3), sealed=True, complete=False)
    given = trace(answer="So.", disclosure=told)
    assert trace_from_json(json.loads(json.dumps(trace_to_json(given)))) == given
