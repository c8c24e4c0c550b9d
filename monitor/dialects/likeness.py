"""Events that differ from the one before in a single text, and need not be parsed again.

Of most events of a stream only one string is new. The law: what is found here is what parsing would
have found. So the string holds nothing that JSON escapes, it stands in the event once, nothing else
was heard in that event, and nothing of what was heard depended on what it says.
"""

import re
from typing import NamedTuple, Self

from monitor.dialects.scribe import Heard
from monitor.dialects.sse import MAX_EVENT

__all__ = ["Likeness"]

_ESCAPED = re.compile(rb'["\\\x00-\x1f]')


class Likeness(NamedTuple):
    """An event but for its text."""

    before: bytes
    after: bytes
    #: Where the text was heard, as what.
    heard: Heard

    @classmethod
    def of(cls, raw: bytes, heard: Heard) -> Self | None:
        """What an event has that said `heard` and nothing else; None where that is not certain."""
        quoted = b'"%b"' % heard.text.encode("utf-8", "surrogatepass")
        place = raw.find(quoted)
        if b"\\" in raw or place < 0 or place != raw.rfind(quoted):
            return None
        return cls(raw[: place + 1], raw[place + len(quoted) - 1 :], heard)

    def text(self, raw: bytes) -> str | None:
        """What the event says, if it differs from this one in nothing else."""
        if not (raw.startswith(self.before) and raw.endswith(self.after)):
            return None
        said = raw[len(self.before) : len(raw) - len(self.after)]
        if not said or _ESCAPED.search(said) or len(raw) > MAX_EVENT:
            return None
        try:
            return said.decode()
        except UnicodeDecodeError:
            return None
