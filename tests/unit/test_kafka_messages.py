"""What is sent is documented, versioned and read back."""

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.types import Channel, Part, Trace, coalesce
from stream.kafka import messages
from stream.kafka.messages import SCHEMAS, Reason, TraceMessage, Unreadable
from stream.kafka.port import Message, Partition

texts = st.text(st.characters(exclude_categories=[]), max_size=60)  # lone surrogates too
parts = st.lists(st.builds(Part, channel=st.sampled_from(Channel), text=texts), max_size=5)


def received(value, headers=()):
    return Message(
        partition=Partition("t", 0), offset=0, timestamp=0, key=b"k", value=value, headers=headers
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_files_are_what_is_checked_at_the_door(name):
    """After a change: write `stream.kafka.messages.schema(NAME)` to the file; mind the version."""
    document = files("stream.kafka") / "schemas" / f"{name}.json"
    assert document.read_text(encoding="utf-8") == messages.schema(name)


@given(parts, texts)
def test_a_trace_is_read_back_as_it_was_sent(some, prompt):
    trace = Trace(trace_id="a", parts=coalesce(some), prompt=prompt, choice=2, problem="cut")
    read = messages.read_trace(received(messages.encode(messages.whole(trace))))
    clean = [Part(channel=p.channel, text=messages.clean(p.text)) for p in trace.parts]
    assert read.text() == coalesce(clean)
    assert read.origin() == Trace(trace_id="a", parts=(), prompt=messages.clean(prompt), choice=2)
    assert (read.number, read.last, read.problem) == (0, True, "cut")


def test_a_trace_in_pieces_says_who_it_is_once():
    trace = Trace(trace_id="a", parts=(), prompt="p", model="m", choice=1)
    texts = [(Part(channel=Channel.ANSWER, text=t),) for t in "abc"]
    first, second, third = messages.pieces(trace, texts)
    assert (first.prompt, second.prompt, third.model) == ("p", "", "")
    assert [(p.number, p.last, p.choice) for p in (first, second, third)] == [
        (0, False, 1),
        (1, False, 1),
        (2, True, 1),
    ]


GOOD = {"trace_id": "a", "number": 0, "last": True, "parts": []}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"trace_id": ""}, "trace_id"),
        ({"number": -1}, "number"),
        ({"number": "0"}, "number"),
        ({"parts": [{"channel": "SECRET", "text": ""}]}, "parts.0.channel"),
        ({"parts": [{"channel": "answer", "text": 5}]}, "parts.0.text"),
        ({"SECRET": 1}, r"\?"),
    ],
)
def test_what_does_not_fit_is_named_without_its_text(change, where):
    with pytest.raises(Unreadable, match=f"^{where}: ") as caught:
        messages.read_trace(received(json.dumps({**GOOD, **change}).encode()))
    assert caught.value.reason is Reason.WRONG_SCHEMA
    assert "SECRET" not in str(caught.value)


def test_a_minimal_message_is_a_trace():
    assert messages.read_trace(received(json.dumps(GOOD).encode())) == TraceMessage(**GOOD)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-01-01T00:00:00Z", 1767225600.0), ("2026-01-01", None), ("yesterday", None), ("", None)],
)
def test_a_time_that_cannot_be_read_is_no_time(text, seconds):
    assert messages.seconds_since_1970(text) == seconds
