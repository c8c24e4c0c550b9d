"""What holds for every response, whoever sent it and however it was cut."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.dialects import Refusal, dialect_for
from monitor.dialects.traces import parts_of
from tests.unit.data_wire import BUILDERS, PATHS, REPLY, event, pieces

CUTS = st.lists(st.integers(min_value=0), max_size=20)
NAMES = st.sampled_from(sorted(PATHS))
LINES = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"data:",
        b": hi",
        b"event: x",
        b"\xff",
        b"\xef\xbb\xbf",
        b"{}",
        b"data: {}",
        b'data: {"choices":[{"delta":{"content":"a"}}]}',
        b"data: [DONE]",
        b"data: {",
    ]
)
GARBAGE = st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=12).map(b"".join))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "index",
                    "type",
                    "text",
                    "logprobs",
                    "token",
                    "bytes",
                    "top_logprobs",
                    "tool_calls",
                    "function",
                    "arguments",
                    "output",
                    "item",
                    "response",
                    "part",
                    "error",
                    "reasoning_details",
                    "content_block",
                    "model",
                    "id",
                    "x y",
                ]
            ),
            inner
            | st.sampled_from(
                [
                    "response.completed",
                    "response.output_item.added",
                    "content_block_start",
                    "content_block_delta",
                    "message",
                    "text",
                    "reasoning",
                    "message_start",
                ]
            ),
            max_size=4,
        )
    ),
    max_leaves=20,
)


def read(name, data, cuts=(), *, streaming=True):
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    frames = [f for piece in pieces(data, cuts) for f in reader.feed(piece)]
    return [*frames, *reader.close()]


def parts(frames):
    return parts_of(d for f in frames for d in f.deltas)


def problems(frames):
    return [f.problem for f in frames if f.problem]


@given(NAMES, GARBAGE, CUTS, st.booleans())
@example(name="chat", data=b"\r\n\r\n\xff", cuts=[1, 2, 3], streaming=True)
def test_the_frames_joined_are_the_bytes_that_came(name, data, cuts, streaming):
    frames = read(name, data, cuts, streaming=streaming)
    assert b"".join(f.raw for f in frames) == data


@given(NAMES, GARBAGE, CUTS)
def test_how_garbage_is_cut_changes_nothing_that_is_read(name, data, cuts):
    whole, cut = read(name, data), read(name, data, cuts)
    assert parts(whole) == parts(cut)
    assert bool(problems(whole)) == bool(problems(cut))


@given(NAMES, VALUES, st.booleans())
def test_no_json_makes_a_reader_raise(name, value, streaming):
    data = event(value) if streaming else json.dumps(value).encode()
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    for frame in [*reader.feed(data), *reader.close()]:
        reader.released(frame)
    reader.refuse(Refusal(text="No.", subtext={}))


@given(REPLY, CUTS, st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_how_a_stream_is_cut_and_how_its_lines_end_changes_nothing(reply, cuts, end):
    name, *words = reply
    stream, _ = BUILDERS[name](*words)
    other = stream.replace(b"\n", end)
    assert parts(read(name, stream)) == parts(read(name, other, cuts))
    assert not problems(read(name, other, cuts))


@given(REPLY)
def test_a_streamed_reply_says_what_the_whole_one_says(reply):
    name, *words = reply
    stream, whole = BUILDERS[name](*words)
    assert parts(read(name, stream)) == parts(read(name, whole, streaming=False))


@given(REPLY)
def test_a_whole_reply_is_one_final_frame_without_problems(reply):
    name, *words = reply
    _, whole = BUILDERS[name](*words)
    (frame,) = read(name, whole, streaming=False)
    assert frame.final
    assert frame.problem is None


@given(REPLY)
def test_only_the_last_word_of_a_stream_is_final(reply):
    name, *words = reply
    stream, _ = BUILDERS[name](*words)
    finals = [f.final for f in read(name, stream)]
    assert finals == [False] * (len(finals) - 1) + [True]


@pytest.mark.parametrize("name", PATHS)
def test_a_byte_order_mark_comments_and_keep_alives_are_no_problem(name):
    stream, _ = BUILDERS[name](["a"], ["b"], [])
    noisy = b"\xef\xbb\xbf: hi\n\n\n\n" + stream.replace(
        b"\n\n", b"\n\n: keep-alive\n\nretry: 5\nid: 3\n\n"
    )
    frames = read(name, noisy)
    assert parts(frames) == parts(read(name, stream))
    assert not problems(frames)


@pytest.mark.parametrize("name", PATHS)
def test_data_may_stand_on_several_lines(name):
    value = {"error": {"message": "first"}}
    data = json.dumps(value, indent=1).replace("\n", "\ndata: ")
    (frame,) = read(name, f"data: {data}\n\n".encode())
    assert [d.text for d in frame.deltas] == ["first"]
    assert frame.problem is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'data: {"choices": [\n\n', "malformed JSON"),
        (b'data: {"a": "\xff"}\n\n', "invalid UTF-8"),
        (b'data: {"a": NaN}\n\n', "a number that is not one"),
        (b'data: {"a": -Infinity}\n\n', "a number that is not one"),
        (b'data: {"a": ' + b"9" * 5000 + b"}\n\n", "a number that is not one"),
        (b'data: {"a":' + b"[" * 70 + b"]" * 70 + b"}\n\n", "nested too deeply"),
        (b'data: {"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n", "nested too deeply"),
        (b'data: {"id": "a", "id": "b"}\n\n', "repeated key"),
        (b"data: [1, 2]\n\n", "does not have"),
        (b"data: hello\n\n", "malformed JSON"),
        (b"hello\n\n", "no server-sent event"),
        (b'{"choices": []}', "no server-sent event"),
        (b": " + b"x" * 1000 + b"\n\n", "beside the data"),
        (b'data: {"choices": [{"delta": {"content": {"a": "b"}}}]}\n\n', "does not have"),
        (b'data: {"choices": "b"}\n\n', "does not have"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_says_which(data, problem):
    found = problems(read("chat", data))
    assert len(found) == 1
    assert problem in found[0]


def test_a_value_that_was_cut_off_is_a_problem_at_the_end():
    frames = read("chat", b'data: {"choices"')
    assert problems(frames)
    assert b"".join(f.raw for f in frames) == b'data: {"choices"'


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "malformed"),
        (b"\xff", "UTF-8"),
        (b"null", "no JSON object"),
        (b"[]", "does not have"),
        (b"", None),
    ],
)
def test_a_whole_body_that_cannot_be_read_is_a_problem(body, problem):
    found = problems(read("chat", body, streaming=False))
    assert (problem is None and found == []) or problem in found[0]


def test_an_event_over_the_cap_is_passed_on_unread_and_said_so(monkeypatch):
    monkeypatch.setattr("monitor.dialects.sse.MAX_EVENT", 100)
    data = event({"choices": [{"delta": {"content": "x" * 200}}]})
    frames = read("chat", data, range(len(data)))
    assert problems(frames)
    assert b"".join(f.raw for f in frames) == data


def test_a_body_over_the_cap_is_passed_on_unread_and_said_so(monkeypatch):
    monkeypatch.setattr("monitor.dialects.reading.MAX_BODY", 100)
    frames = read("chat", b"x" * 300, range(300), streaming=False)
    assert all(f.problem for f in frames)
    assert b"".join(f.raw for f in frames) == b"x" * 300


def test_a_character_that_json_cut_in_two_is_whole_again():
    halves = [
        event(f'{{"choices":[{{"index":0,"delta":{{"content":"{half}"}}}}]}}')
        for half in ("\\ud83d", "\\ude00!", "\\ud83d")
    ]
    frames = read("chat", b"".join(halves))
    assert parts(frames)[0][0].text == "😀!\ufffd"


def test_the_model_is_known_once_it_was_named():
    for name, builder in BUILDERS.items():
        for streaming, data in zip((True, False), builder(["a"], ["b"], []), strict=True):
            reader = dialect_for(PATHS[name]).reader(streaming=streaming)
            assert reader.model == ""
            reader.feed(data)
            reader.close()
            assert reader.model == "m"
