"""The log is one JSON line per event and never quotes a trace."""

import asyncio
import json
import logging

import pytest

from monitor import logs

CANARY = "canary-7f3a\n\x1b[31m"


@pytest.fixture
def lines(capsys):
    before = list(logging.root.handlers)
    logs.configure()
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logging.root.handlers[:] = before


def test_a_complaint_is_one_json_line(lines):
    logs.complain("broke", verdict_id=CANARY)
    (line,) = lines()
    assert (line["event"], line["verdict_id"], line["level"]) == ("broke", CANARY, "error")


@pytest.mark.parametrize("name", ["aiohttp.server", "uvicorn.error", "asyncio", "sqlalchemy"])
def test_a_librarys_message_and_traceback_are_left_out(lines, name):
    logging.getLogger(name).error("Error with %s", CANARY, exc_info=ValueError(CANARY))
    (line,) = lines()
    assert (line["logger"], line["error"]) == (name, "ValueError")
    assert "canary" not in json.dumps(line)


async def test_an_error_that_nobody_awaits_is_told_by_its_name_alone(lines):
    asyncio.get_running_loop().call_exception_handler(
        {"message": CANARY, "exception": ValueError(CANARY)}
    )
    (line,) = lines()
    assert (line["logger"], line["error"]) == ("asyncio", "ValueError")
    assert "canary" not in json.dumps(line)


def test_configuring_twice_says_everything_once(lines):
    logs.configure()
    logging.getLogger("aiohttp.server").error("x")
    assert len(lines()) == 1
