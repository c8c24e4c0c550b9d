"""What of a response could not be seen: the coverage alarm. Pure.

Thinking that is summarised counts as seen: the monitor judges what there is, and no server shows
more. An alarm about all thinking needs a response that was read to its end.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from monitor.types import Channel, Disclosure, Gap, Trace

#: Tokens of thinking up to which nothing was thought: servers count the empty tags around it.
NO_THOUGHT: Final = 8
_CLOSING = re.compile(r"</think(ing)?>")

MEANING: Final[Mapping[Gap, str]] = {
    Gap.HIDDEN_THINKING: (
        "The server reports thinking and shows none of it: only the answer was judged."
    ),
    Gap.SEALED_THINKING: (
        "The server encrypted, redacted or left out thinking: what it says was not judged."
    ),
    Gap.MISPLACED_THINKING: (
        "A closing </think> that nothing opened stands in the answer: thinking was judged as "
        "answer. If the chat template opens the thinking, say --starts-in-thinking."
    ),
    Gap.UNKNOWN_SHAPE: ("A field of text holds another type of value than its protocol has there."),
}


def gaps(trace: Trace) -> tuple[Gap, ...]:
    """Return what of a response could not be seen; empty when nothing is known to be missing.

    A server that reports nothing about its thinking and shows none leaves nothing to notice.
    """
    found = set(_found(trace, trace.disclosure))
    return tuple(gap for gap in Gap if gap in found)


def _found(trace: Trace, told: Disclosure) -> Iterator[Gap]:
    if told.misshapen:
        yield Gap.UNKNOWN_SHAPE
    if told.redacted:
        yield Gap.SEALED_THINKING
    elif told.complete and not (told.shows_thinking or trace.thinking.strip()):
        yield from _unseen(trace, told)


def _unseen(trace: Trace, told: Disclosure) -> Iterator[Gap]:
    """Why no thinking was seen, if there was some; the most telling reason alone."""
    if told.sealed:
        yield Gap.SEALED_THINKING
    elif any(p.channel is Channel.ANSWER and _CLOSING.search(p.text) for p in trace.parts):
        yield Gap.MISPLACED_THINKING
    elif (told.usage.reasoning_tokens or 0) > NO_THOUGHT:
        yield Gap.HIDDEN_THINKING
