"""The time of a partition, by which its traces fall silent. Pure.

Law: it never runs ahead of what was read. While messages wait to be read, a trace whose next piece
may be among them is not silent.
"""

#: A turn of the worker takes no longer; if it did, the worker itself stood still.
LONGEST_TURN = 5.0


class Clock:
    """Shows the time of the newest message; passes by itself only while none is waiting."""

    def __init__(self) -> None:
        #: Seconds since 1970.
        self.now = 0.0

    def heard(self, timestamp: float, wall: float) -> None:
        """A message of this time was read; a time ahead of our own clock is not believed."""
        self.now = max(self.now, min(timestamp, wall))

    def passes(self, seconds: float) -> None:
        """Nothing waited in the last turn, which took `seconds`."""
        self.now += min(seconds, LONGEST_TURN)
