"""The real `openai` and `anthropic` packages work through the sidecar without a changed line."""

import asyncio
import inspect
from contextlib import AsyncExitStack
from typing import NamedTuple

import anthropic
import openai
import pytest

from monitor.policy import DEFAULT_REFUSAL
from monitor.types import Decision
from tests.unit.data_wire import BUILDERS

PAD = "Some ordinary words that make up a sentence of usual length. " * 6
ANSWER = ["All is ", "good. ", PAD]
ALLOWED = ([PAD, "So it is ", "good."], ANSWER, [{"city": "Ulm"}])
BLOCKED = ([PAD, "So I PLOT ", "it."], ANSWER, [{"city": "SAFE"}])
ASK = [{"role": "user", "content": "Well?"}]


class Outcome(NamedTuple):
    """What an application sees of a response."""

    text: str
    #: Arguments of the tool calls.
    calls: list
    ended: str


async def done(value):
    """A value of the synchronous or of the asynchronous client."""
    return await value if inspect.isawaitable(value) else value


async def items(stream):
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


async def entered(stack, manager):
    if hasattr(manager, "__aenter__"):
        return await stack.enter_async_context(manager)
    return stack.enter_context(manager)


def seen_in_chat(choice):
    message = choice.message
    calls = [call.function.arguments for call in message.tool_calls or ()]
    return Outcome(message.content, calls, choice.finish_reason)


async def chat_create(client, stack):
    reply = await done(client.chat.completions.create(model="m", messages=ASK))
    return seen_in_chat(reply.choices[0])


async def chat_create_stream(client, stack):
    stream = await done(client.chat.completions.create(model="m", messages=ASK, stream=True))
    choices = [chunk.choices[0] for chunk in await items(stream)]
    calls: dict[int, str] = {}
    for call in (c for choice in choices for c in choice.delta.tool_calls or ()):
        calls[call.index] = calls.get(call.index, "") + (call.function.arguments or "")
    text = "".join(choice.delta.content or "" for choice in choices)
    return Outcome(text, list(calls.values()), choices[-1].finish_reason)


async def chat_stream(client, stack):
    stream = await entered(stack, client.chat.completions.stream(model="m", messages=ASK))
    await items(stream)
    try:
        final = await done(stream.get_final_completion())
    except openai.ContentFilterFinishReasonError as error:  # how the package says `content_filter`
        final = error.completion
    return seen_in_chat(final.choices[0])


async def completions_create(client, stack):
    choice = (await done(client.completions.create(model="m", prompt="Well?"))).choices[0]
    return Outcome(choice.text, [], choice.finish_reason)


async def completions_create_stream(client, stack):
    stream = await done(client.completions.create(model="m", prompt="Well?", stream=True))
    choices = [chunk.choices[0] for chunk in await items(stream)]
    return Outcome("".join(c.text for c in choices), [], choices[-1].finish_reason)


def seen_in_response(response):
    calls = [item.arguments for item in response.output if item.type == "function_call"]
    return Outcome(response.output_text, calls, response.status)


async def responses_create(client, stack):
    return seen_in_response(await done(client.responses.create(model="m", input="Well?")))


async def responses_create_stream(client, stack):
    stream = await done(client.responses.create(model="m", input="Well?", stream=True))
    events = await items(stream)
    said = [e.delta for e in events if e.type == "response.output_text.delta"]
    final = seen_in_response(events[-1].response)
    assert "".join(said) == final.text
    return final


async def responses_stream(client, stack):
    stream = await entered(stack, client.responses.stream(model="m", input="Well?"))
    events = await items(stream)
    return seen_in_response(events[-1].response)


def seen_in_message(message):
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [block.input for block in message.content if block.type == "tool_use"]
    return Outcome(text, calls, message.stop_reason)


async def messages_create(client, stack):
    return seen_in_message(
        await done(client.messages.create(model="m", max_tokens=99, messages=ASK))
    )


async def messages_create_stream(client, stack):
    stream = await done(client.messages.create(model="m", max_tokens=99, messages=ASK, stream=True))
    events = await items(stream)
    text = "".join(getattr(e.delta, "text", "") for e in events if e.type == "content_block_delta")
    ended = [e.delta.stop_reason for e in events if e.type == "message_delta"]
    return Outcome(text, None, ended[-1])


async def messages_stream(client, stack):
    stream = await entered(stack, client.messages.stream(model="m", max_tokens=99, messages=ASK))
    said = "".join(await items(stream.text_stream))
    final = seen_in_message(await done(stream.get_final_message()))
    assert said == final.text
    return final


WAYS = [
    chat_create,
    chat_create_stream,
    chat_stream,
    completions_create,
    completions_create_stream,
    responses_create,
    responses_create_stream,
    responses_stream,
    messages_create,
    messages_create_stream,
    messages_stream,
]
ENDS = {
    "chat": ("stop", "content_filter"),
    "completions": ("stop", "content_filter"),
    "responses": ("completed", "incomplete"),
    "messages": ("end_turn", "refusal"),
}


def client_for(dialect, url, *, synchronous):
    if dialect == "messages":
        kind = anthropic.Anthropic if synchronous else anthropic.AsyncAnthropic
        return kind(base_url=url, api_key="k", max_retries=0)
    kind = openai.OpenAI if synchronous else openai.AsyncOpenAI
    return kind(base_url=url + "/v1", api_key="k", max_retries=0)


async def use(way, url, *, synchronous):
    async with AsyncExitStack() as stack:
        dialect = way.__name__.partition("_")[0]
        client = await entered(stack, client_for(dialect, url, synchronous=synchronous))
        return await way(client, stack)


async def outcome(setup, way, words, *, synchronous):
    """What `way` sees when the upstream answers with `words`."""
    dialect, streaming = way.__name__.partition("_")[0], way.__name__.endswith("stream")
    stream, whole = BUILDERS[dialect](*words)
    chunks = (event + b"\n\n" for event in stream.split(b"\n\n")[:-1])
    setup.upstream.streams(*chunks) if streaming else setup.upstream.replies(whole)
    if not synchronous:
        return await use(way, setup.url, synchronous=False)
    work = use(way, setup.url, synchronous=True)
    return await asyncio.to_thread(asyncio.run, work)


@pytest.mark.parametrize("synchronous", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_an_allowed_response_arrives_complete(sidecar, way, synchronous):
    setup = await sidecar()
    got = await outcome(setup, way, ALLOWED, synchronous=synchronous)
    dialect = way.__name__.partition("_")[0]
    assert got.text == "".join(ANSWER)
    if dialect != "completions" and got.calls is not None:
        arguments = ALLOWED[2] if dialect == "messages" else ['{"city": "Ulm"}']
        assert got.calls == arguments
    if way is not completions_create_stream:  # this scripted stream gives no reason
        assert got.ended == ENDS[dialect][0]
    assert (await setup.verdict()).decision is Decision.ALLOW


@pytest.mark.parametrize("synchronous", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_blocked_response_is_understood_as_one(sidecar, way, synchronous):
    setup = await sidecar()
    dialect = way.__name__.partition("_")[0]
    words = BLOCKED if dialect != "completions" else ([], ["PLOT " + PAD, "SAFE"], [])
    got = await outcome(setup, way, words, synchronous=synchronous)
    assert got == Outcome(DEFAULT_REFUSAL, got.calls and [], ENDS[dialect][1])
    assert (await setup.verdict()).decision is Decision.BLOCK


async def test_the_verdict_can_be_read_from_headers_and_body(sidecar):
    setup = await sidecar()
    setup.upstream.replies(BUILDERS["chat"](*BLOCKED)[1])
    async with client_for("chat", setup.url, synchronous=False) as client:
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=ASK)
    verdict = await setup.verdict()
    assert raw.headers["x-subtext-verdict-id"] == verdict.verdict_id
    assert raw.headers["x-subtext-decision"] == "block"
    assert (await done(raw.parse())).subtext["verdict_id"] == verdict.verdict_id


async def test_errors_arrive_as_the_errors_of_the_package(sidecar):
    setup = await sidecar()
    setup.upstream.replies(b'{"error": {"message": "No such model.", "code": "x"}}', status=404)
    async with client_for("chat", setup.url, synchronous=False) as client:
        with pytest.raises(openai.NotFoundError, match="No such model"):
            await client.chat.completions.create(model="m", messages=ASK)
    async with client_for("messages", setup.url, synchronous=False) as client:
        with pytest.raises(anthropic.NotFoundError, match="No such model"):
            await client.messages.create(model="m", max_tokens=9, messages=ASK)
