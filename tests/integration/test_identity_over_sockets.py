"""A sample of `tests/property/test_byte_identity.py` through the whole sidecar, over sockets."""

import random

from aiohttp import web

from monitor.types import Decision, Mode
from tests.property.test_byte_identity import generated, sliced
from tests.support import policy
from tests.unit.data_wire import PATHS

SAMPLE = 40


async def test_allowed_responses_are_byte_identical_over_sockets(sidecar):
    chance = random.Random(60)
    for mode in Mode:
        setup = await sidecar(rules=policy(mode))
        for _ in range(SAMPLE):
            name, data, streaming = generated(chance)
            setup.upstream.handler = answering(sliced(data, chance), streaming=streaming)
            status, got, _ = await setup.post({"stream": streaming}, PATHS[name])
            assert (status, got) == (200, data)
        await setup.until(lambda: len(setup.record.verdicts) == SAMPLE)  # noqa: B023 -- awaited here
        assert {verdict.decision for verdict, _ in setup.record.verdicts} == {Decision.ALLOW}


def answering(pieces, *, streaming):
    kind = "text/event-stream" if streaming else "application/json"

    async def handler(request):
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    return handler
