"""An allowed response leaves as it came: to the byte, in every dialect and however it was cut."""

import asyncio
import json
import random
from collections import Counter
from itertools import pairwise, zip_longest

from monitor.budget import Budget, Share
from monitor.dialects import dialect_for
from monitor.gate import Event, Gate
from monitor.types import Decision, Mode, Trace
from stream.relay import Relay
from stream.replay import events, recorded, reply
from tests.support import engine, fake, policy
from tests.unit.data_wire import BUILDERS, PATHS

STREAMS = 10_000
#: Of ten, one goes down the whole road, the others through reader and gate alone.
WHOLE_ROAD = 10
#: So many of a hundred come byte by byte, the others whole or in slices.
BYTEWISE = 5
WORDS = [
    *("<think>", "</think>", "<th", "ink>", "<|channel|>analysis<|message|>", "<|end|>", "\r\n"),
    *(
        "\u2028",
        "😀",
        "data: ",
        "\n\n",
        "\x00",
        '"}',
        "[DONE]",
        "中文",
        "a word ",
        "and more. ",
    ),
]
ENDS = [b"\n", b"\r\n", b"\r"]
NOISE = [b": keep-alive\n\n", b"\n", b"retry: 5\n\n", b"event: ping\n\n", b"id: 3\n"]


def generated(chance):
    """Return (dialect, bytes, streaming) of a reply that a server could send."""
    name = chance.choice(sorted(BUILDERS))
    thinking, answer = ([_word(chance) for _ in range(chance.randint(1, 2))] for _ in range(2))
    calls = [{_word(chance): _word(chance)[:9]} for _ in range(int(chance.random() < 0.05))]
    stream, whole = BUILDERS[name](thinking, answer, calls)
    if chance.random() < 0.2:
        return name, json.dumps(json.loads(whole), indent=chance.choice([None, 2])).encode(), False
    if chance.random() < 0.3:
        stream = chance.choice(NOISE) + stream.replace(b"\n\n", b"\n\n" + chance.choice(NOISE), 1)
    return name, stream.replace(b"\n", chance.choice(ENDS)), True


def _word(chance):
    if chance.random() < 0.3:
        return "".join(chr(chance.choice([65, 233, 8239, 20013, 128512])) for _ in range(3))
    return chance.choice(WORDS)


def replayed():
    """The shorter recorded responses, streamed and whole."""
    for record in sorted(recorded(), key=lambda r: len(r["thinking"]))[:7]:
        yield "chat", b"".join(events(record)), True
        yield "chat", json.dumps(reply(record)).encode(), False


def whole(data, chance):
    return [data]


def bytewise(data, chance):
    return [data[i : i + 1] for i in range(len(data))]


def sliced(data, chance):
    edges = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(8))})
    return [data[a:b] for a, b in pairwise(edges)]


async def whole_road(shared, name, pieces, *, streaming):
    """Send a reply through a relay with its sessions, as the sidecar does."""
    reader = dialect_for(PATHS[name]).reader(streaming=streaming)
    room = Share(Budget(2**30))
    origin = Trace(trace_id="t", parts=())

    async def chunks():
        for piece in pieces:
            yield piece

    relay = Relay(shared, origin, reader, chunks(), streaming=streaming, room=room)
    running = asyncio.create_task(relay.run())
    got = b"".join([data async for data in relay.output()])
    conclusion = await running
    room.close()
    assert conclusion.worst.decision is Decision.ALLOW, conclusion.worst.unscored
    return got


def reader_and_gate(mode, name, pieces, chance, *, streaming):
    """Send a reply through reader and gate while judgement lags behind at random."""
    reader, gate = dialect_for(PATHS[name]).reader(streaming=streaming), Gate(mode)
    fed, judged, left = Counter(), Counter(), []
    for frames in [*map(reader.feed, pieces), reader.close()]:
        for frame in frames:
            assert frame.problem is None
            left += gate.frame(frame, judged).frames
            fed.update({d.choice: len(d.text) for d in frame.deltas})
            if chance.random() < 0.3:
                judged = Counter({c: chance.randint(judged[c], n) for c, n in fed.items()})
                left += gate.on(Event.JUDGED, judged).frames
    left += gate.on(Event.PASSED, fed).frames
    return b"".join(frame.raw for frame in left)


async def test_ten_thousand_allowed_responses_are_byte_identical(capsys):
    chance = random.Random(20261121)
    engines = [engine(rules=policy(mode), classifier=fake()) for mode in Mode]
    cuts = [bytewise] * BYTEWISE + [whole, sliced] * 50
    known = list(replayed())
    compared = differing = 0
    for number in range(STREAMS):
        name, data, streaming = known[number] if number < len(known) else generated(chance)
        pieces = cuts[number % 100](data, chance)
        shared = engines[number // 10 % 3]
        if number % WHOLE_ROAD == 0:
            got = await whole_road(shared, name, pieces, streaming=streaming)
        else:
            mode = shared.policy.top.mode
            got = reader_and_gate(mode, name, pieces, chance, streaming=streaming)
        differing += data != got and sum(a != b for a, b in zip_longest(data, got))
        compared += len(data)
    with capsys.disabled():
        print(f"\n{STREAMS} responses, {compared:,} bytes compared, {differing} differ")  # noqa: T201
    assert differing == 0
