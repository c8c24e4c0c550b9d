"""A policy file: what holds for every response, and rules for some of them. Pure.

Laws: the first rule that matches decides, and what it does not say comes from the top; where none
matches, the top holds. `resolve` is the one way from a response to its policy, for every door.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from posixpath import normpath
from typing import Any

from monitor.policy import Policy
from monitor.types import Mode, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which responses a rule is for: each attribute that is given must match one of its patterns.

    `*` stands for any characters, `/` included, and `?` for one. Routes and models are compared
    without regard to case, tenants with it.
    """

    #: Path of the request, `/v1/messages`; blank for a trace that came without a request.
    route: tuple[str, ...] = ()
    #: The model that was asked for.
    model: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()

    def matches(self, origin: Trace) -> bool:
        """Whether a response is one of these."""
        model = origin.requested_model or origin.model
        return (
            _any(self.route, _plain(origin.route), folded=True)
            and _any(self.model, model, folded=True)
            and _any(self.tenant, origin.tenant, folded=False)
        )

    def covers(self, other: "When") -> bool:
        """Whether all that `other` matches is matched here; False also where that is unclear."""
        return (
            _cover(self.route, other.route, folded=True)
            and _cover(self.model, other.model, folded=True)
            and _cover(self.tenant, other.tenant, folded=False)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An exception to the top of the policy file."""

    name: str
    when: When
    #: What the file says here, under its own keys and as plain values.
    says: Mapping[str, Any]
    #: What holds where it matches: that, and the top for the rest.
    policy: Policy

    def in_mode(self, mode: Mode) -> "Rule":
        """The same rule, but for the mode."""
        says = {key: value for key, value in self.says.items() if key != "mode"}
        return replace(self, says=says, policy=self.policy.in_mode(mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """A whole policy file."""

    #: What holds where no rule matches.
    top: Policy
    #: In the order of the file.
    rules: tuple[Rule, ...] = ()
    #: A hash of what the file says, whoever wrote it in whatever layout.
    version: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        version = sha256(to_toml(self).encode()).hexdigest()[:12]
        object.__setattr__(self, "version", version)

    def resolve(self, origin: Trace) -> Policy:
        """What holds for a response; `origin` says where it comes from and whose it is."""
        for rule in self.rules:
            if rule.when.matches(origin):
                return replace(rule.policy, rule=rule.name, version=self.version)
        return replace(self.top, version=self.version)

    def in_mode(self, mode: Mode) -> "Rulebook":
        """The same file with one mode everywhere, whatever its rules say."""
        rules = tuple(rule.in_mode(mode) for rule in self.rules)
        return Rulebook(top=self.top.in_mode(mode), rules=rules)


def spelt(policy: Policy) -> dict[str, Any]:
    """Every value of a policy as the file writes it."""
    return {
        "mode": policy.mode.value,
        "deadline_seconds": policy.deadline_seconds,
        "unscored": policy.unscored.name.lower(),
        "absent": policy.absent.name.lower(),
        "refusal": policy.refusal,
        "thresholds": {
            check.value: {"flag": limits.flag, "block": limits.block}
            for check, limits in sorted(policy.thresholds.items())
        },
    }


def to_toml(book: Rulebook) -> str:
    """The file that `policy_file.parse` reads back as the same, with every value of the top."""
    lines = list(_written(spelt(book.top), "thresholds"))
    for rule in book.rules:
        lines += [
            "",
            "[[rules]]",
            f"name = {_quoted(rule.name)}",
            f"when = {_condition(rule.when)}",
        ]
        lines += _written(rule.says, "rules.thresholds")
    return "\n".join(lines) + "\n"


def _written(values: Mapping[str, Any], table: str) -> Iterator[str]:
    """Lines of TOML; `table` is the address of the thresholds."""
    for key, value in values.items():
        if key != "thresholds":
            yield f"{key} = {_quoted(value) if isinstance(value, str) else value}"
    for check, limits in values.get("thresholds", {}).items():
        yield from ("", f"[{table}.{check}]")
        yield from (f"{key} = {value}" for key, value in limits.items())


def _condition(when: When) -> str:
    given = (("route", when.route), ("model", when.model), ("tenant", when.tenant))
    inner = (f"{key} = {_patterns(patterns)}" for key, patterns in given if patterns)
    return "{ " + ", ".join(inner) + " }"


def _patterns(patterns: tuple[str, ...]) -> str:
    quoted = [_quoted(pattern) for pattern in patterns]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(c):04X}" if c < " " or c in '"\\\x7f' else c for c in text)
    return f'"{escaped}"'


def _plain(route: str) -> str:
    """A path without what servers ignore: doubled and trailing slashes, `.` and `..`."""
    return normpath("/" + route.lstrip("/")) if route else ""


def _any(patterns: tuple[str, ...], value: str, *, folded: bool) -> bool:
    if folded:
        value, patterns = value.casefold(), _folded(patterns)
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def _cover(patterns: tuple[str, ...], others: tuple[str, ...], *, folded: bool) -> bool:
    narrow = others or ("*",)
    if folded:
        patterns, narrow = _folded(patterns), _folded(narrow)
    wide = [re.compile(_swallowing(pattern)) for pattern in patterns]
    return not wide or all(any(w.fullmatch(n) for w in wide) for n in narrow)


def _folded(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern.casefold() for pattern in patterns)


def _swallowing(pattern: str) -> str:
    """A regular expression for patterns that are no wider than `pattern`: only `*` takes a `*`."""
    wild = {"*": ".*", "?": "[^*]"}
    return "".join(wild.get(character) or re.escape(character) for character in pattern)
