"""What is done about a score: thresholds, mode and the meaning of "could not judge".

Law: `decide` is monotone. More evidence, or a check that could not be made under a policy that
blocks those, never lowers a decision; a case nobody thought of blocks.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.types import Assessment, Decision, Mode, Status

DEFAULT_REFUSAL: Final = "This response was withheld by a safety monitor."
_KEYS: Final = {"mode", "deadline_seconds", "unscored", "absent", "refusal", "thresholds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules for one response."""

    #: From which calibrated probability each check flags and blocks.
    thresholds: Mapping[Check, Thresholds]
    #: What a client may see before the verdict.
    mode: Mode = Mode.HOLD
    #: Longest that a complete step may wait for its score before it counts as UNSCORED.
    deadline_seconds: float = 20.0
    #: The decision on a response that could not be judged. BLOCK is fail-closed.
    unscored: Decision = Decision.BLOCK
    #: The decision for a check that has nothing to read, such as mismatch without thinking.
    absent: Decision = Decision.ALLOW
    #: What the client is told instead of a blocked answer.
    refusal: str = DEFAULT_REFUSAL

    @property
    def version(self) -> str:
        """A hash of what the policy says, whoever wrote it in whatever order."""
        return sha256(to_toml(self).encode()).hexdigest()[:12]

    def in_mode(self, mode: Mode) -> "Policy":
        """The same rules in another mode."""
        return replace(self, mode=mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the policy says about a set of assessments."""

    decision: Decision
    #: A check failed and the policy lets the response pass all the same.
    failed_open: bool


def decide(policy: Policy, assessments: Iterable[Assessment]) -> Ruling:
    """Combine assessments by `max`; no assessment at all cannot be judged."""
    every = tuple(assessments)
    decision = max((rule(policy, a) for a in every), default=policy.unscored)
    failed = any(a.status is Status.UNSCORED and not a.absent for a in every) or not every
    return Ruling(decision=decision, failed_open=failed and decision is not Decision.BLOCK)


def rule(policy: Policy, assessment: Assessment) -> Decision:
    """The decision that one assessment calls for."""
    if assessment.status is Status.SCORED and assessment.probability is not None:
        return reach(policy, assessment.check, assessment.probability)
    if assessment.status is Status.UNSCORED:
        return policy.absent if assessment.absent else policy.unscored
    return Decision.BLOCK


def reach(policy: Policy, check: Check, probability: float) -> Decision:
    """What `probability` reaches; NaN and a check without thresholds block."""
    limits = policy.thresholds.get(check)
    if limits is not None and probability < limits.flag:
        return Decision.ALLOW
    if limits is not None and probability < limits.block:
        return Decision.FLAG
    return Decision.BLOCK


def parse(text: str, defaults: Mapping[Check, Thresholds]) -> Policy:
    """Read a policy file (TOML); thresholds that it does not name come from calibration.

    Raises PolicyError for anything unknown, misspelt or out of range.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"The policy is not valid TOML: {error}.") from error
    _refuse_unknown(table, _KEYS, "the policy")
    return Policy(
        thresholds=_thresholds(table.get("thresholds", {}), defaults),
        mode=_mode(table.get("mode", "hold")),
        deadline_seconds=_seconds(table.get("deadline_seconds", 20.0)),
        unscored=_decision("unscored", table.get("unscored", "block")),
        absent=_decision("absent", table.get("absent", "allow")),
        refusal=_text("refusal", table.get("refusal", DEFAULT_REFUSAL)),
    )


def to_toml(policy: Policy) -> str:
    """The policy as a file that `parse` reads back, with every value spelt out."""
    head = [
        f'mode = "{policy.mode.value}"',
        f"deadline_seconds = {policy.deadline_seconds}",
        f'unscored = "{policy.unscored.name.lower()}"',
        f'absent = "{policy.absent.name.lower()}"',
        f"refusal = {_quoted(policy.refusal)}",
    ]
    for check, limits in sorted(policy.thresholds.items()):
        head += ["", f"[thresholds.{check.value}]", f"flag = {limits.flag}"]
        head += [f"block = {limits.block}"]
    return "\n".join(head) + "\n"


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise PolicyError(
            f"Unknown key {unknown[0]!r} in {where}; known keys: {', '.join(sorted(known))}."
        )


def _thresholds(table: object, defaults: Mapping[Check, Thresholds]) -> Mapping[Check, Thresholds]:
    if not isinstance(table, dict):
        raise PolicyError("`thresholds` must be a table: [thresholds.deception] and so on.")
    _refuse_unknown(table, [c.value for c in Check], "[thresholds]")
    return {check: _limits(check, table.get(check.value, {}), defaults) for check in Check}


def _limits(check: Check, table: object, defaults: Mapping[Check, Thresholds]) -> Thresholds:
    where = f"[thresholds.{check.value}]"
    if not isinstance(table, dict):
        raise PolicyError(f"{where} must be a table with `flag` and `block`.")
    _refuse_unknown(table, ("flag", "block"), where)
    standard = defaults[check]
    flag = _probability(where, table.get("flag", standard.flag))
    block = _probability(where, table.get("block", max(standard.block, flag)))
    if flag > block:
        raise PolicyError(f"In {where}, flag ({flag}) must not be above block ({block}).")
    return Thresholds(flag=flag, block=block)


def _probability(where: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise PolicyError(f"In {where}, a threshold must be above 0 and at most 1, not {value!r}.")


def _mode(value: object) -> Mode:
    if value in {m.value for m in Mode}:
        return Mode(value)
    raise PolicyError(f"`mode` must be one of observe, hold, buffer, not {value!r}.")


def _decision(key: str, value: object) -> Decision:
    if isinstance(value, str) and value in {d.name.lower() for d in Decision}:
        return Decision[value.upper()]
    raise PolicyError(f"`{key}` must be one of allow, flag, block, not {value!r}.")


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise PolicyError(f"`deadline_seconds` must be above 0 and at most 3600, not {value!r}.")


def _text(key: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise PolicyError(f"`{key}` must be a text that is not empty.")


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(c):04X}" if c < " " or c in '"\\\x7f' else c for c in text)
    return f'"{escaped}"'
