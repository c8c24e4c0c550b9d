"""Time and identity, passed in so that tests decide them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_now() -> str:
    """The time as stored and shown: UTC, ISO 8601, milliseconds, `Z`."""
    return stamp(datetime.now(UTC))


def stamp(time: datetime) -> str:
    """A time in UTC as stored and shown; such texts compare like their times."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A fresh verdict id."""
    return f"v-{uuid.uuid4().hex[:20]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a session takes from the world besides its text."""

    now: Callable[[], str] = utc_now
    #: Seconds from an arbitrary start; never goes back.
    monotonic: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = new_id
