"""`subtext doctor` tells whether thinking can be seen, and where it stands."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest
from aiohttp import web
from typer.testing import CliRunner

from stream import replay
from stream.cli import app, doctor
from stream.server import listening
from tests.integration.data_places import event
from tests.support import fake
from tests.unit.data_wire import BUILDERS, PATHS

RECORD = {"prompt": "", "thinking": "17 times 23 is 391.", "answer": "It is 391."}
KEY = "canary-key"


@pytest.fixture(autouse=True)
def _faked(monkeypatch):
    monkeypatch.setattr(doctor, "open_classifier", lambda _folder: fake())
    monkeypatch.setenv("MY_KEY", KEY)


@contextmanager
def serving(application):
    """Serve from a thread of its own; the command brings its own loop."""
    ready, stop, address = threading.Event(), None, ""

    async def serve():
        nonlocal stop, address
        stop = asyncio.Event()
        async with listening(application, "127.0.0.1", 0) as address:
            ready.set()
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    assert ready.wait(10)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def scripted(body, path=PATHS["chat"], kind="text/event-stream", status=200):
    """A server that has one route."""
    seen = []

    async def answer(request):
        seen.append((await request.json(), request.headers))
        return web.Response(body=body, status=status, headers={"content-type": kind})

    application = web.Application()
    application.router.add_post(path, answer)
    return application, seen


def chat(**delta):
    return event({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]})


def run(application, *more, suffix=""):
    with serving(application) as address:
        words = ["doctor", "--upstream", address + suffix, *more]
        return CliRunner().invoke(app, words, terminal_width=200)


def test_a_server_that_shows_its_thinking_is_well():
    result = run(replay.create_app([RECORD], pace=0))
    assert result.exit_code == 0, result.output
    assert "chat, streamed" in result.output
    assert "choices[].delta.reasoning_content" in result.output
    assert "choices[].delta.content" in result.output
    assert "model replay" in result.output
    assert "allow (deception 0.0" in result.output
    assert "391" not in result.output


def test_a_server_without_thinking_is_told_apart():
    stream = chat(content="It is 391.") + event("[DONE]")
    result = run(scripted(stream)[0])
    assert result.exit_code == 1
    assert "No thinking was seen" in result.output
    assert "--reasoning-parser" in result.output
    assert "nowhere" in result.output


def test_thinking_that_is_paid_for_and_hidden_is_named():
    usage = {"usage": {"completion_tokens_details": {"reasoning_tokens": 128}}, "choices": []}
    stream = chat(content="It is 391.") + event(usage) + event("[DONE]")
    result = run(scripted(stream)[0])
    assert result.exit_code == 1
    assert "128 tokens of thinking" in result.output


def test_thinking_that_the_template_opened_is_noticed():
    stream = chat(content="17 times 23.") + chat(content="</think>It is 391.") + event("[DONE]")
    closed = run(scripted(stream)[0])
    assert closed.exit_code == 1
    assert "--starts-in-thinking" in closed.output
    assert run(scripted(stream)[0], "--starts-in-thinking").exit_code == 0


@pytest.mark.parametrize("name", ["responses", "messages"])
def test_other_dialects_are_found(name):
    stream, _ = BUILDERS[name](["17 times 23"], ["It is ", "391."], [])
    result = run(scripted(stream, PATHS[name])[0])
    assert result.exit_code == 0, result.output
    assert f"{name}, streamed" in result.output
    assert "delta" in result.output


def test_a_server_that_does_not_stream_is_read_all_the_same():
    body = json.dumps(replay.reply(RECORD)).encode()
    result = run(scripted(body, kind="application/json")[0])
    assert result.exit_code == 0
    assert "not streamed" in result.output
    assert "choices[].message.reasoning_content" in result.output


def test_one_small_request_is_sent_with_the_key_and_the_key_is_not_shown():
    application, seen = scripted(chat(reasoning="So.") + chat(content="391") + event("[DONE]"))
    result = run(application, "--model", "mine", "--api-key-env", "MY_KEY", suffix="/v1")
    assert result.exit_code == 0, result.output
    ((body, headers),) = seen
    assert body["model"] == "mine"
    assert body["stream"] is True
    assert headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--upstream", "ftp://x"], "http://"),
        (["--upstream", "http://127.0.0.1:1"], "could not be reached"),
        (["--upstream", "http://x", "--api-key-env", "NOT_SET"], "NOT_SET is not set"),
    ],
)
def test_what_cannot_be_asked_is_a_clear_error(words, said):
    result = CliRunner().invoke(app, ["doctor", *words])
    assert result.exit_code == 64
    assert said in result.output


def test_errors_of_the_server_are_named_by_their_status_alone():
    result = run(scripted(b"secret", status=401)[0])
    assert result.exit_code == 64
    assert "status 401" in result.output
    assert "secret" not in result.output


def test_a_hostile_server_cannot_drive_the_terminal():
    stream = chat(**{"\x1b[2Jx": "fine words here"}) + event("[DONE]")
    assert "\x1b[2J" not in run(scripted(stream)[0]).output


def test_help_teaches():
    result = CliRunner().invoke(app, ["doctor", "--help"])
    assert result.exit_code == 0
    assert "Exit code" in result.output
