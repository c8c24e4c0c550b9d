"""A verdict that was sent as JSON says the same when it is read."""

from dataclasses import replace

import pytest

from classifiers.errors import InferenceError
from monitor.types import EarlyStop
from monitor.wire import verdict_from_json, verdict_json
from tests.support import engine, fake, policy, trace

PAD = "Some ordinary words that make up a sentence of usual length. " * 6


@pytest.mark.parametrize(
    "judged",
    [
        (PAD + "PLOT and HINT", PAD + "LIAR"),
        ("", PAD),
        (PAD, ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("error", [None, InferenceError("no")])
async def test_what_was_written_is_read(judged, error):
    made = engine(classifier=fake(error=error), rules=policy())
    stop = EarlyStop(tokens_generated_at_least=3, tokens_saved_at_most=None)
    verdict = await made.judge(trace(*judged))
    for told in (verdict, replace(verdict, early_stop=stop)):
        read = verdict_from_json(verdict_json(told))
        assert verdict_json(read) == verdict_json(told)
        assert (read.unscored, read.decision) == (told.unscored, told.decision)


@pytest.mark.parametrize("broken", [{}, {"checks": {}}, {"early_stop": None, "checks": None}])
def test_what_is_no_verdict_is_refused(broken):
    with pytest.raises((KeyError, TypeError, ValueError)):
        verdict_from_json(broken)
