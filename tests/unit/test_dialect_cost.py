"""The cost of reading grows with what is read, not with how it was cut. Counted, not timed."""

import json
import sys

import pytest

from monitor.dialects import dialect_for, read_saved
from monitor.dialects.traces import parts_of
from tests.unit.data_wire import BUILDERS, PATHS, event


def calls(work):
    """How many functions `work` calls, Python's own included."""
    count = 0

    def note(_frame, kind, _argument):
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def read(name, chunks, *, streaming=True):
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    frames = [f for c in chunks for f in reader.feed(c)]
    return frames + reader.close()


def grows_linearly(make):
    work = [make(n) for n in (300, 600)]
    small, large = (calls(w) for w in work)
    assert large < 2.5 * small


@pytest.mark.parametrize("name", PATHS)
def test_events_cost_the_same_each(name):
    def make(count):
        stream, _ = BUILDERS[name](["think "] * count, ["say "] * count, [{"a": "b" * count}])
        return lambda: read(name, [stream])

    grows_linearly(make)


@pytest.mark.parametrize("name", PATHS)
def test_bytes_that_come_one_by_one_cost_the_same_each(name):
    def make(count):
        stream, _ = BUILDERS[name](["think " * count], ["say " * count], [])
        return lambda: read(name, [stream[i : i + 1] for i in range(len(stream))])

    grows_linearly(make)


class Counting:
    """A pattern that counts the bytes it was asked to search."""

    def __init__(self, pattern):
        self.pattern, self.searched = pattern, 0

    def finditer(self, buffer, start):
        self.searched += len(buffer) - start
        return self.pattern.finditer(buffer, start)


def test_no_byte_of_an_event_is_searched_more_than_a_few_times(monkeypatch):
    from monitor.dialects import sse

    counting = Counting(sse._END_OF_EVENT)
    monkeypatch.setattr(sse, "_END_OF_EVENT", counting)
    data = event({"choices": [{"delta": {"content": "x" * 20_000}}]})
    read("chat", [data[i : i + 1] for i in range(len(data))])
    assert counting.searched <= 5 * len(data)


@pytest.mark.parametrize(
    "tag", ["<think>", "</think>", "<", "<|channel|>", "<|start|>a", "<|channel|>to=", "\ud83d"]
)
def test_tags_without_end_cost_the_same_each(tag):
    def make(count):
        content = json.dumps({"choices": [{"message": {"content": tag * count}}]}).encode()
        stream = b"".join(event({"choices": [{"delta": {"content": tag}}]}) for _ in range(count))
        return lambda: (read("chat", [content], streaming=False), read("chat", [stream]))

    grows_linearly(make)


def test_repeats_cost_the_same_each():
    def make(count):
        payloads = [
            {
                "type": "response.output_text.done",
                "output_index": 0,
                "content_index": 0,
                "text": str(n),
            }
            for n in range(count)
        ]
        stream = b"".join(map(event, payloads))
        return lambda: read("responses", [stream])

    grows_linearly(make)


@pytest.mark.parametrize("step", [0, 1])
def test_choices_with_echoes_cost_the_same_each(step):
    def make(count):
        said = {"reasoning": "a", "reasoning_content": "b", "content": "c"}
        tokens = {"content": [{"token": "d"}]}
        choices = [{"index": n * step, "message": said, "logprobs": tokens} for n in range(count)]
        body = json.dumps({"choices": choices}).encode()
        return lambda: read("chat", [body], streaming=False)

    grows_linearly(make)


@pytest.mark.parametrize("streaming", [True, False])
def test_ten_megabytes_in_one_piece_are_read(streaming):
    text = "I think about it. " * 600_000
    payload = {"choices": [{"index": 0, "delta" if streaming else "message": {"content": text}}]}
    data = event(payload) if streaming else json.dumps(payload).encode()
    (frame,) = read("chat", [data], streaming=streaming)
    assert parts_of(frame.deltas)[0][0].text == text
    assert frame.problem is None


def test_ten_megabytes_on_disk_are_read():
    lines = json.dumps({"thinking": "a" * 1000, "answer": "b"}) + "\n"
    assert sum(1 for _ in read_saved(lines.encode() * 10_000, source="f")) == 10_000
    (trace,) = read_saved(b"\0" * 10_000_000, source="f")
    assert len(trace.answer) == 10_000_000
