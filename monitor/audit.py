"""The hash chain of the audit log: each record carries the hash of the one before it.

The hash of a record is the SHA-256 of the canonical JSON of its other five fields. What the chain
cannot show by itself is that its newest records were cut off: for that, remember a size and a head
somewhere else and give them to `verify`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: What the first record names as the hash before it.
GENESIS = "0" * 64
#: A report lists no more problems than this, so that a ruined log cannot fill the memory.
MAX_PROBLEMS = 1000

_encoder = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")
)


class Kind(StrEnum):
    """What a record tells."""

    #: A verdict and the hash of the content it is about.
    VERDICT = "verdict"
    #: The policy that holds from here on.
    POLICY = "policy"
    #: Somebody changed the policy file in the console: what, who and why. That it holds is another
    #: record.
    CHANGE = "change"
    #: A reviewer's answer to a verdict, with the hash of the note.
    REVIEW = "review"
    #: Something that decides who may do what: a user, a token, a login. Never a secret.
    ACCOUNT = "account"
    #: What became of texts: how long they are kept, which were erased, by whom and why.
    RETENTION = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A link of the chain."""

    #: From 0, without gaps.
    seq: int
    kind: str
    #: UTC, ISO 8601.
    created_at: str
    #: Plain JSON values.
    body: Mapping[str, Any]
    #: Hash of the record before; `GENESIS` for the first.
    previous: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A place where the log is not what was written."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verification found."""

    #: Records read.
    size: int
    #: Hash of the last record; `GENESIS` when there is none.
    head: str
    #: At most `MAX_PROBLEMS` of them.
    problems: tuple[Problem, ...]
    #: Verdicts whose text was erased; the chain still covers its hash.
    erased: int = 0
    #: Verdicts whose text was not compared, because it is encrypted and its key was not given.
    locked: int = 0

    @property
    def ok(self) -> bool:
        """Whether the log is what was written."""
        return not self.problems


class Verbatim(dict[str, Any]):
    """The body of a record as it was read, with the text that it was read from.

    That text is what must have been hashed. To verify it, it need not be written anew, which takes
    longer than everything else about a record; only who computes all hashes anew can bring in one
    that is not in canonical form.
    """

    def __init__(self, values: Mapping[str, Any], text: str) -> None:
        super().__init__(values)
        self.text = text


class Unread(Mapping[str, Any]):
    """Like `Verbatim`, but parsed only when somebody looks into it.

    Whoever compares hashes does not, and parsing takes longer than comparing.
    """

    __slots__ = ("_parse", "_values", "text")

    def __init__(self, text: str, parse: Callable[[str], Mapping[str, Any]]) -> None:
        self.text = text
        self._parse = parse
        self._values: Mapping[str, Any] | None = None

    def _parsed(self) -> Mapping[str, Any]:
        if self._values is None:
            self._values = self._parse(self.text)
        return self._values

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 (plain JSON)
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())


def canonical(value: object) -> bytes:
    """Return the one JSON form of a plain value: sorted keys, no spaces, ASCII.

    Everything outside ASCII is escaped, a lone surrogate like any other code point, so each text
    that a model can write has a form. A high surrogate followed by a low one reads back as the
    character that they mean. NaN and infinity are a ValueError.
    """
    return _encoder.encode(value).encode("ascii")


def seal(
    *, seq: int, kind: str, created_at: str, body: Mapping[str, Any], previous: str
) -> AuditRecord:
    """Return the record that follows the one with the hash `previous`."""
    fields = {"seq": seq, "kind": kind, "created_at": created_at, "previous": previous}
    digest = hashlib.sha256(canonical({**fields, "body": body})).hexdigest()
    return AuditRecord(
        seq=seq, kind=kind, created_at=created_at, body=body, previous=previous, hash=digest
    )


# The verifier shares nothing with the writer above but `canonical`.


def verify(
    records: Iterable[AuditRecord],
    *,
    expect_size: int | None = None,
    expect_head: str | None = None,
) -> Report:
    """Read a log from its first record and report every record that does not fit.

    `expect_size` and `expect_head` are what the log was once known to be. It may have grown since,
    but must still contain that state.
    """
    problems: list[Problem] = []
    size, seq, head = 0, 0, GENESIS
    kept = _is_state(0, GENESIS, expect_size, expect_head)
    for record in records:
        problems.extend(_misfits(record, seq, head))
        del problems[MAX_PROBLEMS:]
        size, seq, head = size + 1, record.seq + 1, record.hash
        kept = kept or _is_state(size, head, expect_size, expect_head)
    if not kept:
        lost = "the remembered state is not part of this log"
        problems.insert(0, Problem(seq=seq, what=lost))
    return Report(size=size, head=head, problems=tuple(problems[:MAX_PROBLEMS]))


def _is_state(size: int, head: str, expect_size: int | None, expect_head: str | None) -> bool:
    return expect_size in (None, size) and expect_head in (None, head)


def _misfits(record: AuditRecord, seq: int, head: str) -> Iterator[Problem]:
    if record.seq != seq:
        yield Problem(seq=record.seq, what=f"record {seq} should stand here")
    if record.previous != head:
        yield Problem(seq=record.seq, what="does not continue the record before it")
    if record.hash != _digest_of(record):
        yield Problem(seq=record.seq, what="was altered: its hash does not match")


def _digest_of(record: AuditRecord) -> str | None:
    form = b'{"body":%b,"created_at":%b,"kind":%b,"previous":%b,"seq":%d}'
    try:
        body = record.body
        text = body.text.encode() if isinstance(body, (Verbatim, Unread)) else canonical(body)
        values = map(canonical, (record.created_at, record.kind, record.previous))
        return hashlib.sha256(form % (text, *values, record.seq)).hexdigest()
    except (TypeError, ValueError):
        return None
