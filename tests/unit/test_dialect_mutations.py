"""A canary put anywhere into a real reply, in any shape, is judged: no place is forgotten."""

import json
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects import dialect_for
from tests.unit.data_wire import BUILDERS, PATHS

TEXT = "a canary in a coal mine"
SHAPES = [
    TEXT,
    [TEXT],
    {"a": TEXT},
    {"type": "text", "text": TEXT},
    [{"type": "x", "y": {"z": TEXT}}],
]
KEYS = [
    "soul",
    "text",
    "content",
    "thinking",
    "delta",
    "message",
    "reasoning",
    "index",
    "id",
    "type",
]
#: What the client itself wrote.
OWN = {"instructions", "tools", "metadata"}


def places(value):
    """Every object and list with a key of it that could be another value."""
    if isinstance(value, dict):
        here = [(value, key) for key in (*KEYS, *value)]
        inner = [v for k, v in value.items() if k not in OWN]
        here = [(v, k) for v, k in here if k not in OWN]
    else:
        inner = value if isinstance(value, list) else []
        here = [(value, n) for n in range(len(inner))]
    return [*here, *chain.from_iterable(places(v) for v in inner)]


def payloads(name, *, streaming):
    stream, whole = BUILDERS[name](["one", "two"], ["three", "four"], [{"k": "v"}])
    if not streaming:
        return [whole]
    return [e.partition(b"data: ")[2] for e in stream.split(b"\n\n") if b"data: {" in e]


@given(st.sampled_from(sorted(BUILDERS)), st.booleans(), st.data())
def test_a_canary_anywhere_is_judged(name, streaming, data):
    found = payloads(name, streaming=streaming)
    number = data.draw(st.integers(0, len(found) - 1))
    changed = json.loads(found[number])
    container, key = data.draw(st.sampled_from(places(changed)))
    container[key] = data.draw(st.sampled_from(SHAPES))
    found[number] = json.dumps(changed).encode()
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    chunks = [b"data: " + f + b"\n\n" for f in found] if streaming else found
    frames = [f for chunk in chunks for f in reader.feed(chunk)] + reader.close()
    assert "canary" in "".join(d.text for f in frames for d in f.deltas)
