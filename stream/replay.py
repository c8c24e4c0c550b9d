"""A small upstream that replays recorded responses as Chat Completions, at a real model's pace."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import cycle
from typing import Any

from aiohttp import web

#: Tokens per second of a mid-sized reasoning model on one GPU.
PACE = 60.0
_TOKEN = re.compile(r"\s*\S+|\s+$")
_RECORDS = web.AppKey("records", dict[str, Mapping[str, str]])
_TURNS = web.AppKey("turns", Iterator[Mapping[str, str]])
_PACE = web.AppKey("pace", float)


def recorded() -> list[dict[str, str]]:
    """The recorded responses that ship with Subtext: authored, CC0-1.0."""
    text = files("stream").joinpath("demo.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def create_app(records: Sequence[Mapping[str, str]], *, pace: float = PACE) -> web.Application:
    """Serve `records` on `/v1/chat/completions`: by their prompt, for other prompts in turn.

    `pace` is in tokens per second; 0 sends everything at once.
    """
    app = web.Application()
    app[_RECORDS] = {record["prompt"]: record for record in records}
    app[_TURNS], app[_PACE] = cycle(records), pace
    app.router.add_post("/v1/chat/completions", _complete)
    app.router.add_get("/v1/models", _models)
    return app


async def _models(_request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "replay", "object": "model"}]})


async def _complete(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    asked = body["messages"][-1]["content"]
    turns = request.app[_TURNS]
    record = request.app[_RECORDS].get(asked) or next(turns)
    if body.get("stream"):
        return await _stream(request, record)
    return web.json_response(reply(record))


async def _stream(request: web.Request, record: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    async for event in _paced(record, request.app[_PACE]):
        await response.write(event)
    await response.write_eof()
    return response


async def _paced(record: Mapping[str, str], pace: float) -> AsyncIterator[bytes]:
    for event in events(record):
        yield event
        if pace:
            await asyncio.sleep(1 / pace)


def events(record: Mapping[str, str]) -> Iterator[bytes]:
    """A recorded response as server-sent events, a word each."""
    yield _event({"role": "assistant", "content": ""})
    for token in _TOKEN.findall(record["thinking"]):
        yield _event({"reasoning_content": token})
    for token in _TOKEN.findall(record["answer"]):
        yield _event({"content": token})
    yield _event({}, finish="stop")
    yield b"data: [DONE]\n\n"


def reply(record: Mapping[str, str]) -> dict[str, Any]:
    """A recorded response as one JSON reply."""
    message = {
        "role": "assistant",
        "content": record["answer"],
        "reasoning_content": record["thinking"],
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_envelope("chat.completion"), "choices": [choice]}


def _event(delta: Mapping[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {**_envelope("chat.completion.chunk"), "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-replay", "object": kind, "created": 1767225600, "model": "replay"}
