"""How long texts are kept, as a person writes it: `30d` for all, `acme=7d` for one tenant. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from monitor.clock import stamp
from monitor.errors import MonitorError
from monitor.store.rows import Query
from monitor.types import Decision

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"([1-9][0-9]{0,5})([mhdw])")


class RetentionError(MonitorError):
    """This does not say how long to keep a text."""


def age_of(text: str) -> timedelta:
    """Read a length of time: a number and m, h, d or w."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise RetentionError(f"{text!r} is no length of time: write 30d, 12h, 2w or 45m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What of the texts goes after which time."""

    age: timedelta
    #: Of this tenant; None: of all that have no rule of their own.
    tenant: str | None = None
    #: Only those of responses that were judged in full and allowed.
    allowed_only: bool = False
    #: As it was written.
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that holds."""

    keeps: tuple[Keep, ...] = ()

    @classmethod
    def read(cls, texts: Sequence[str], allowed: str | None = None) -> Self:
        """Read `30d` and `tenant=30d`; `allowed` is the age for what was allowed."""
        keeps = [_keep(text) for text in texts]
        tenants = [keep.tenant for keep in keeps]
        if len(set(tenants)) < len(tenants):
            raise RetentionError("two rules are about the same tenant")
        if allowed is not None:
            words = f"allowed {allowed.strip()}"
            keeps.append(Keep(age=age_of(allowed), allowed_only=True, words=words))
        return cls(keeps=tuple(keeps))

    @property
    def words(self) -> tuple[str, ...]:
        """The rules as they were written, for the record."""
        return tuple(keep.words for keep in self.keeps)

    def due(self, now: datetime) -> Iterator[tuple[Keep, Query]]:
        """Return what each rule erases now."""
        named = tuple(k.tenant for k in self.keeps if k.tenant is not None)
        for keep in self.keeps:
            others = keep.tenant is None and not keep.allowed_only
            yield (
                keep,
                Query(
                    until=stamp(now - keep.age),
                    tenant=keep.tenant,
                    except_tenants=named if others else (),
                    decision=Decision.ALLOW if keep.allowed_only else None,
                    unscored=False if keep.allowed_only else None,
                ),
            )


#: Texts are kept for ever.
KEEP_ALL = Rules()


def _keep(text: str) -> Keep:
    tenant, equals, age = text.rpartition("=")
    return Keep(age=age_of(age), tenant=tenant if equals else None, words=text.strip())
